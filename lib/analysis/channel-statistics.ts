import type { Dataset } from '../data/dataset.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { ChannelStatistics, Graph, Origin } from '../graph/index.ts';
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

/** What is run: the channels-last form with its origins (`withOrigins`), or the ONNX form alone. */
export interface StatisticsSource {
  graph: Graph;
  origins?: ReadonlyMap<string, Origin>;
}

/** A value under the name and in the layout in which the graph has it. */
interface Place {
  name: string;
  layout: Origin['layout'];
}

/**
 * Extremes and moments per channel (axis 1 in ONNX form) of the named values, in one streaming pass of the float network.
 * Values that the graph does not have are left out. Throws DATA_MISMATCH where no sample comes; rejects with
 * signal.reason within 200 ms of an abort.
 */
export async function channelStatistics(
  source: StatisticsSource,
  values: readonly string[],
  kernels: Kernels,
  data: Dataset,
  options: ChannelOptions,
): Promise<Map<string, ChannelStatistics>> {
  const places = placesOf(source, values);
  const executor = (options.compile ?? compile)(source.graph, kernels);
  const sums = new Map<string, Sums>();
  const pace = createPace(options.signal);
  try {
    const run = repeatedRun(
      executor,
      [...places.values()].map(({ name }) => name),
    );
    for await (const batch of feedBatches(source.graph, data, options)) {
      const fetched = run(batch);
      for (const [value, { name, layout }] of places) {
        const { shape, data: x } = fetched.get(name)!;
        const axis = layout === 'last' ? shape.length - 1 : 1;
        const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
        const known = sums.get(value) ?? empty(shape[axis]);
        sums.set(value, known);
        add(known, x as Float32Array, shape[axis], inner);
        await pace(4 * x.length);
      }
    }
  } finally {
    executor.dispose();
  }
  if (places.size > 0 && sums.size === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample in ${data.name} but received none.`,
    );
  return new Map([...sums].map(([name, known]) => [name, means(known)]));
}

function placesOf({ graph, origins }: StatisticsSource, values: readonly string[]): Map<string, Place> {
  const has = (name: string) => graph.types.has(name);
  if (!origins) return new Map(values.filter(has).map((name) => [name, { name, layout: 'first' }]));
  const wanted = new Set(values);
  const places = new Map<string, Place>();
  for (const [name, { value, layout }] of origins)
    if (wanted.has(value) && has(name) && !places.has(value)) places.set(value, { name, layout });
  return places;
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
