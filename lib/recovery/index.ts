import type { Calibration, InputStatistics } from '../analysis/analysis.ts';
import { createPace, pause } from '../analysis/pace.ts';
import { layerScales } from '../analysis/scales.ts';
import { refuse } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { bitWidth } from '../quant/bitwidth.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { leastScale, roundWeights } from '../quant/weights.ts';
import { correctBias } from './bias-correction.ts';
import { type RoundingProblem, roundingProblem, roundSecondOrder } from './gptq.ts';
import { layerHessians } from './hessian.ts';
import type { Recovery } from './recovery.ts';

export { type FinetuneOptions, type FinetuneResult, finetune } from './finetune.ts';
export { type BlockReport, type ReconstructOptions, reconstruct } from './reconstruct.ts';
export type * from './recovery.ts';

/** What a recovery knows of the layer that it rounds. */
interface Task {
  layer: Layer;
  bits: number;
  /** Null without calibration data. */
  input: InputStatistics | null;
  /** Null where activations are not quantized (weights alone). */
  inputScale: number | null;
  floors: Float32Array;
  kernels: Kernels;
  signal?: AbortSignal;
}

type Round = (task: Task) => Promise<QuantizedLayer>;

/** Scales of least squared error, weighted by the inputs' second moment; integers to the nearest. */
const none: Round = async ({ layer, bits, input, floors, signal }) => {
  const scales = await layerScales(layer, bits, input?.power ?? null, floors, createPace(signal));
  const bias = Float32Array.from(layer.bias ?? new Float32Array(layer.outChannels));
  return { bits, q: roundWeights(layer.weights, scales, bits), scales, bias };
};

/** Second-order rounding and bias correction. Keeps the factorized Hessians of the last layer for its next width. */
function gptq(): Round {
  let last: RoundingProblem | null = null;
  return async (task) => {
    const { layer, bits, input, inputScale, floors, kernels, signal } = task;
    if (input === null) return none(task);
    const pace = createPace(signal);
    if (last?.layer !== layer) {
      last = null;
      const hessians = await layerHessians(layer, input, pace);
      if (hessians !== null) last = roundingProblem(layer, hessians);
    }
    const { q, scales } =
      last === null
        ? await none(task)
        : await roundSecondOrder(last, bits, input.power, floors, kernels, pace);
    return { bits, q, scales, bias: correctBias(layer, input, q, scales, inputScale) };
  };
}

/** One row per recovery, in rising cost. */
const recoveries: Readonly<Record<Recovery['name'], () => Round>> = { none: () => none, gptq };

export interface RecoverySource {
  layers: readonly Layer[];
  /** Null for weights alone. */
  calibration: Calibration | null;
  /** By layer name, the smallest scale its input may get (it bounds weight scales); null for weights alone. */
  inputScales: ReadonlyMap<string, number> | null;
  kernels: Kernels;
}

/**
 * The recovery of that name over a network's layers. Calls of `quantize` run one after the other.
 * Throws INVALID_ARGUMENT for an unknown name, layer or width, or a layer without a positive input scale.
 */
export function createRecovery(name: Recovery['name'], source: RecoverySource): Recovery {
  if (!Object.hasOwn(recoveries, name))
    refuse(`one of ${Object.keys(recoveries).join(', ')}`, 'recovery', name);
  const round = recoveries[name]();
  const layers = new Map(source.layers.map((layer) => [layer.name, layer]));
  const cache = new Map<string, QuantizedLayer>();
  let queue: Promise<unknown> = Promise.resolve();

  const task = (layerName: string, bits: number, signal?: AbortSignal): Task => {
    const layer = layers.get(layerName);
    if (layer === undefined) refuse('the name of a layer', 'layer', layerName);
    bitWidth(bits);
    const inputScale = source.inputScales === null ? null : (source.inputScales.get(layerName) ?? 0);
    if (inputScale !== null && !(inputScale > 0))
      refuse('a positive scale', `the input of layer "${layerName}"`, inputScale);
    const floors = Float32Array.from({ length: layer.outChannels }, (_, row) =>
      leastScale(layer.bias?.[row] ?? 0, inputScale ?? 1),
    );
    const input = source.calibration?.inputs.get(layerName) ?? null;
    return { layer, bits, input, inputScale, floors, kernels: source.kernels, signal };
  };

  const make = async (key: string, layerName: string, bits: number, signal?: AbortSignal) => {
    const made = cache.get(key);
    if (made !== undefined) return made;
    await pause(signal);
    const result = await round(task(layerName, bits, signal));
    cache.set(key, result);
    return result;
  };

  return {
    name,
    get cached() {
      return cache.size;
    },
    async quantize(layerName, bits, signal) {
      signal?.throwIfAborted();
      const key = `${bits} ${layerName}`;
      const made = cache.get(key);
      if (made !== undefined) return made;
      const result = queue.then(() => make(key, layerName, bits, signal));
      queue = result.catch(() => {});
      return result;
    },
  };
}
