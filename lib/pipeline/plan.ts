import type { Verdict } from '../allocate/allocate.ts';
import { strategies } from '../allocate/index.ts';
import { weightProfile } from '../analysis/index.ts';
import { layers as layersOf } from '../graph/index.ts';
import { createKernels } from '../kernels/index.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import { createRecovery } from '../recovery/index.ts';
import { choicesOf } from './choices.ts';
import { openModel, requireLayers } from './model.ts';
import { nodeHost } from './node-host.ts';
import { checkOptions, DEFAULTS, type SearchOptions } from './options.ts';
import { costsOn, deviceOf, digitsFrom, floatBytesOf, planStrategyOf, problemLayers } from './resources.ts';
import type { LayerResult } from './result.ts';

/** A network and what is asked of it; no data. */
export interface PlanOptions extends SearchOptions {}

/** The document of `plan --json`. */
export interface PlanResult {
  model: string;
  layers: LayerResult[];
  averageBits: number;
  floatBytes: number;
  weightBytes: number;
  /** About the ceilings; nothing is known of accuracy without data. */
  verdict: Verdict;
  binding: { layer: string; reason: string }[];
  strategy: string;
  backend: BackendName;
  isa: Isa;
  threads: number;
  seconds: number;
}

/** Chooses widths from the weights alone: no data, seconds. Any operator is accepted, since nothing is run. */
export async function plan(options: PlanOptions): Promise<PlanResult> {
  const started = performance.now();
  checkOptions(options);
  options.signal?.throwIfAborted();
  const strategy = planStrategyOf(options.strategy);
  const model = await openModel(options, nodeHost);
  requireLayers(model.name, model.layers);
  const layers = layersOf(model.graph);
  const choices = choicesOf(model.graph, layers, options);
  const device = await deviceOf(options.device, nodeHost);
  await costsOn(device, model.graph, layers, [], () => null, nodeHost).ceilings(options.targets);
  const kernels = await createKernels({
    backend: options.backend,
    isa: options.isa,
    threads: options.threads,
  });
  try {
    const widths = [...new Set(choices.layers.flatMap(({ bits }) => bits))].sort((a, b) => a - b);
    const profiles = await weightProfile(model.graph, layers, kernels, widths, {
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    });
    const recovery = createRecovery('none', { layers, calibration: null, inputScales: null, kernels });
    const digits = device.array ? await digitsFrom(recovery, choices, options.signal) : () => null;
    const costs = costsOn(device, model.graph, layers, [], digits, nodeHost);
    const allocation = await strategies[strategy]({
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onProgress ? { onProgress: options.onProgress } : {}),
      layers: problemLayers(profiles, choices),
      ties: choices.ties,
      cost: costs.model,
      goal: 'weightBytes',
      seed: options.seed ?? DEFAULTS.seed,
      ceilings: await costs.ceilings(options.targets),
      maxDrop: null,
      evaluate: null,
      budget: 0,
      buffer: DEFAULTS.buffer,
    });
    return {
      model: model.name,
      layers: layers.map(({ name, op, parameters, macs }, index) => ({
        name,
        op,
        parameters,
        macs,
        sigma: profiles[index].sigma,
        ...allocation.widths.get(name)!,
      })),
      averageBits: allocation.cost['averageBits'],
      floatBytes: floatBytesOf(layers),
      weightBytes: allocation.cost['weightBytes'],
      verdict: allocation.verdict,
      binding: [...allocation.binding],
      strategy,
      backend: kernels.backend,
      isa: kernels.isa,
      threads: kernels.threads,
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } finally {
    kernels.dispose();
  }
}
