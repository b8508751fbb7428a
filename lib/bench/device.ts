import type { Executor } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import type { Tensor } from '../graph/graph.ts';
import { sizeOf } from '../graph/index.ts';
import { type DeviceLatency, isLayerKind, type StepFeature } from '../hardware/device.ts';
import { DEVICE_VERSION, type Device } from '../hardware/index.ts';
import { fitTerms } from '../hardware/least-squares.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { bitWidths } from '../quant/bitwidth.ts';
import type { Computer } from './bench.ts';
import { chainOf, type DeviceCase, layerCase, stepCases } from './device-cases.ts';
import { LAYER_SHAPES } from './device-shapes.ts';
import type { BenchHost } from './measure.ts';
import { median } from './statistics.ts';

export interface MeasureDeviceOptions {
  kernels: Kernels;
  name: string;
  computer: Computer;
  host: BenchHost;
  /** Times that every case has its turn. */
  rounds?: number;
  signal?: AbortSignal | undefined;
  onProgress?: ((stage: string, done: number, total: number) => void) | undefined;
}

export const DEVICE_ROUNDS = 15;
/** Of one turn; the first is not counted, since others ran in between. */
const SAMPLES = 4;
/** Before the first round: compilers of JavaScript and clocks settle. */
const WARM_UP = 20;
/** Layers of a chain that tells what looking at the clock costs. */
const CHAIN = 48;
const CHAIN_RUNS = 400;
/** Activations are bytes whatever their width. */
const BYTE_BITS = 8;
const MICROSECONDS = 1000;
/** Nothing is faster than this; what is left of a step without the clock's share. Microseconds. */
const LEAST = 0.02;

/** A case that is timed. */
interface Running {
  given: DeviceCase;
  executor: Executor;
  feeds: ReadonlyMap<string, Tensor>;
  samples: number[];
  /** Of quantizing the first input. */
  quantize: number[];
}

/** What one case took, microseconds. */
export interface MeasuredCase extends Pick<DeviceCase, 'kind' | 'bits' | 'features'> {
  microseconds: number;
}

/**
 * A device file of this machine: our own kernels timed one step at a time over shapes of every kind and all widths of
 * weights, in turns, and a rule fitted for each. Activations are bytes whatever their width.
 * Rejects with the signal's reason.
 */
export async function measureDevice(options: MeasureDeviceOptions): Promise<Device> {
  const measured = await measureCases(options);
  return deviceOf(measured, options);
}

async function measureCases(options: MeasureDeviceOptions): Promise<MeasuredCase[]> {
  const { kernels, host, rounds = DEVICE_ROUNDS, signal, onProgress } = options;
  const cases = [
    ...LAYER_SHAPES.flatMap((shape) =>
      [...bitWidths.map(({ bits }) => bits), null].map((bits) => layerCase(shape, bits)),
    ),
    ...stepCases(),
  ];
  const running = cases.map((given) => start(given, kernels));
  try {
    const share = overheads(kernels, host);
    for (let round = 0; round < rounds; round++) {
      for (const one of round % 2 === 0 ? running : running.toReversed()) {
        signal?.throwIfAborted();
        turn(one, host, round === 0 ? WARM_UP : 0);
      }
      await host.pause();
      onProgress?.('measure', round + 1, rounds);
    }
    const took = (samples: readonly number[]) => Math.max(LEAST, median(samples) - share.clock);
    return [
      ...running.map(({ given: { kind, bits, features }, samples }) => ({
        kind,
        bits,
        features,
        microseconds: took(samples),
      })),
      ...running.flatMap(({ given: { features }, quantize }): MeasuredCase[] => {
        if (quantize.length === 0) return [];
        const { inputs } = features;
        return [
          {
            kind: 'quantize',
            bits: null,
            features: { step: 1, macs: 0, inputs, patches: 0, outputs: inputs, weights: 0 },
            microseconds: took(quantize) + share.run,
          },
        ];
      }),
    ];
  } finally {
    for (const { executor } of running) executor.dispose();
  }
}

function start(given: DeviceCase, kernels: Kernels): Running {
  const { graph, quantization } = given;
  const feeds = new Map(
    graph.inputs.map(({ name, shape }): [string, Tensor] => {
      const own = shape as number[];
      const data = Float32Array.from({ length: sizeOf(own) }, (_, i) => ((i * 37) % 256) / 64);
      return [name, { dtype: 'float32', shape: own, data }];
    }),
  );
  return {
    given,
    executor: compile(graph, kernels, quantization ? { quantization } : {}),
    feeds,
    samples: [],
    quantize: [],
  };
}

function turn(
  { given, executor, feeds, samples, quantize }: Running,
  { now }: BenchHost,
  warmUp: number,
): void {
  for (let i = -warmUp; i < SAMPLES; i++) {
    const steps = executor.profile(feeds, ['y'], now);
    if (i < 1) continue;
    const own = steps.filter(({ node }) => node === given.node);
    samples.push(own.reduce((sum, { milliseconds }) => sum + milliseconds, 0) * MICROSECONDS);
    // Cases with two inputs quantize two.
    if (given.quantization && feeds.size === 1) quantize.push(steps[0].milliseconds * MICROSECONDS);
  }
}

/** What a run costs beside its steps, and a look at the clock beside a step; microseconds. */
interface Overheads {
  run: number;
  clock: number;
}

/** From chains of one tiny layer: long against short tells the layer, what is left the run. */
function overheads(kernels: Kernels, host: BenchHost): Overheads {
  const [short, long] = [CHAIN / 2, CHAIN].map((length) => chainTimes(kernels, host, length));
  const layer = Math.max(0, (long.run - short.run) / (CHAIN / 2));
  return { run: Math.max(0, short.run - (CHAIN / 2) * layer), clock: Math.max(0, long.step - layer) };
}

function chainTimes(kernels: Kernels, { now }: BenchHost, length: number): { run: number; step: number } {
  const { graph, quantization, fetch } = chainOf(length);
  const executor = compile(graph, kernels, { quantization });
  const [{ name, shape }] = graph.inputs;
  const data = new Float32Array(sizeOf(shape as number[]));
  const feeds = new Map([[name, { dtype: 'float32', shape: shape as number[], data } as const]]);
  const runs: number[] = [];
  const steps: number[] = [];
  for (let i = 0; i < CHAIN_RUNS; i++) {
    const began = now();
    executor.run(feeds, [fetch]);
    runs.push((now() - began) * MICROSECONDS);
    steps.push(
      ...executor
        .profile(feeds, [fetch], now)
        .slice(2)
        .map(({ milliseconds }) => milliseconds),
    );
  }
  executor.dispose();
  return { run: median(runs.slice(WARM_UP)), step: median(steps) * MICROSECONDS };
}

/** Every feature that a kind's cases tell apart; terms that do not help come out as nothing. */
const FEATURES: Readonly<Record<'layer' | 'step', readonly StepFeature[]>> = {
  layer: ['step', 'macs', 'inputs', 'patches', 'outputs', 'weights'],
  step: ['step', 'inputs', 'patches', 'outputs'],
};

function deviceOf(measured: readonly MeasuredCase[], options: MeasureDeviceOptions): Device {
  const { kernels, name, computer, rounds = DEVICE_ROUNDS } = options;
  const machine = `${kernels.backend} ${kernels.isa}, ${kernels.threads} ${kernels.threads === 1 ? 'thread' : 'threads'}`;
  return {
    version: DEVICE_VERSION,
    name,
    title: `${computer.processor}, ${machine}`,
    baseline: null,
    sources: {
      measured: `sigmaquant devices measure on ${computer.processor} (${computer.platform}, Node.js ${computer.node}), kernels ${machine}; medians of ${rounds} rounds.`,
    },
    notes: [
      'One sample at a time, weights and values in the caches as in a loop over one network.',
      'Operators that run outside the kernels count nothing.',
    ],
    packing: { rowBits: 1, source: 'measured' },
    array: null,
    pairs: [],
    memories: [],
    latency: {
      unit: 'us',
      source: 'measured',
      threads: kernels.threads,
      rules: rulesOf(measured),
      timings: [],
    },
  };
}

/** One rule per kind and width of weights. */
export function rulesOf(measured: readonly MeasuredCase[]): DeviceLatency['rules'] {
  const groups = new Map<string, MeasuredCase[]>();
  for (const one of measured) {
    const key = `${one.kind} ${one.bits}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((rows) => {
    const [{ kind, bits }] = rows;
    const points = rows.map(({ features, microseconds }) => ({ features, value: microseconds }));
    const terms = fitTerms(points, FEATURES[isLayerKind(kind) ? 'layer' : 'step']);
    return { kind, weights: bits, activations: bits === null ? null : BYTE_BITS, terms };
  });
}
