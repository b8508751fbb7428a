import type { Dataset } from '../data/dataset.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { ChannelStatistics } from '../graph/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { RunningOptions } from './analysis.ts';
import { feedBatches, repeatedRun } from './feeds.ts';
import { createPace } from './pace.ts';

export interface ChannelOptions extends RunningOptions {
  /** Samples at most. */
  samples: number;
  batch: number;
}

/** Sums over what was seen of one value. */
interface Sums extends ChannelStatistics {
  /** Numbers per channel. */
  count: number;
}

/**
 * Per channel, extremes and moments of the named values in one streaming pass of the float network. `graph` is what
 * is run (channels-last for our engine); channels are the last axis there, and axis 1 in ONNX form. Throws
 * DATA_MISMATCH where no sample comes; rejects with signal.reason within 200 ms of an abort.
 */
export async function channelStatistics(
  graph: Graph,
  values: readonly string[],
  kernels: Kernels,
  data: Dataset,
  options: ChannelOptions,
): Promise<Map<string, ChannelStatistics>> {
  const executor = (options.compile ?? compile)(graph, kernels);
  const sums = new Map<string, Sums>();
  const pace = createPace(options.signal);
  try {
    const run = repeatedRun(executor, values);
    for await (const batch of feedBatches(graph, data, options)) {
      const fetched = run(batch);
      for (const name of values) {
        const { shape, data: x } = fetched.get(name)!;
        const axis = graph.layout === 'channels-last' ? shape.length - 1 : 1;
        const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
        const known = sums.get(name) ?? empty(shape[axis]);
        sums.set(name, known);
        add(known, x as Float32Array, shape[axis], inner);
        await pace(4 * x.length);
      }
    }
  } finally {
    executor.dispose();
  }
  if (values.length > 0 && sums.size === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample in ${data.name} but received none.`,
    );
  return new Map([...sums].map(([name, known]) => [name, means(known)]));
}

function empty(channels: number): Sums {
  return {
    count: 0,
    min: new Float64Array(channels).fill(Number.POSITIVE_INFINITY),
    max: new Float64Array(channels).fill(Number.NEGATIVE_INFINITY),
    mean: new Float64Array(channels),
    power: new Float64Array(channels),
  };
}

function add(sums: Sums, x: Float32Array, channels: number, inner: number): void {
  const { min, max, mean, power } = sums;
  for (let at = 0; at < x.length; )
    for (let channel = 0; channel < channels; channel++)
      for (let i = 0; i < inner; i++, at++) {
        const value = x[at];
        if (value < min[channel]) min[channel] = value;
        if (value > max[channel]) max[channel] = value;
        mean[channel] += value;
        power[channel] += value * value;
      }
  sums.count += x.length / channels;
}

function means({ count, min, max, mean, power }: Sums): ChannelStatistics {
  return { min, max, mean: mean.map((sum) => sum / count), power: power.map((sum) => sum / count) };
}
