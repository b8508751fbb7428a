import type { Dataset } from '../data/dataset.ts';
import type { Evaluator } from '../engine/engine.ts';
import { compile, quantizedValues } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Layer, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Calibrate, CalibrateOptions, Calibration, ValueStatistics } from './analysis.ts';
import { feedBatches, repeatedRun } from './feeds.ts';
import { createPace } from './pace.ts';
import { layerShape, PatchSums } from './patches.ts';

/** Bins of an activation's histogram: eight per level at eight bits. */
const BINS = 2048;
/** Bytes that all Grams together may take; layers whose Gram does not fit keep first and second moments alone. */
const GRAM_CEILING = 2 ** 30;
/** Weights per output channel beyond which factorizing the Gram (k³) would take minutes: no layer gets one. */
const LARGEST_GRAM = 6144;

/** What the first pass knows of a value; float64 sums in the order of the samples' batches. */
interface Moments {
  count: number;
  min: number;
  max: number;
  sum: number;
  squares: number;
}

/**
 * Two streaming passes of the float network: moments and Grams, then histograms over the ranges that the first
 * found. Memory does not depend on the number of samples. Throws DATA_MISMATCH where no sample comes or
 * activations are not finite; rejects with signal.reason within 200 ms of an abort.
 */
export const calibrate: Calibrate = async (graph, layers, kernels, data, options) => {
  const executor = (options.compile ?? compile)(graph, kernels);
  try {
    const values = quantizedValues(graph).map(({ value }) => value);
    const first = await gatherMoments(executor, layers, values, kernels, data, options);
    const histograms = await gatherHistograms(executor, first.moments, kernels, data, options);
    return {
      samples: first.samples,
      values: histograms,
      inputs: new Map(layers.map(({ name }) => [name, first.sums.get(name)!.statistics()])),
    } satisfies Calibration;
  } finally {
    executor.dispose();
  }
};

/**
 * Layers that get a Gram: smallest first while all fit under the ceiling, so that the fewest go without; none of more
 * than 6,144 weights per output channel.
 */
export function layersWithGram(layers: readonly Layer[], ceiling = GRAM_CEILING): Set<string> {
  const bytes = ({ groups, taps, channels }: Layer) => 8 * groups * (taps * channels) ** 2;
  let left = ceiling;
  const chosen = new Set<string>();
  for (const layer of [...layers].sort((a, b) => bytes(a) - bytes(b))) {
    if (layer.taps * layer.channels > LARGEST_GRAM) continue;
    left -= bytes(layer);
    if (left < 0) break;
    chosen.add(layer.name);
  }
  return chosen;
}

async function gatherMoments(
  executor: Evaluator,
  layers: readonly Layer[],
  values: readonly string[],
  kernels: Kernels,
  data: Dataset,
  options: CalibrateOptions,
): Promise<{ samples: number; moments: Map<string, Moments>; sums: Map<string, PatchSums> }> {
  const { graph } = executor;
  const pace = createPace(options.signal);
  const grams = options.gram ? layersWithGram(layers) : new Set<string>();
  const sums = new Map(layers.map((layer) => [layer.name, new PatchSums(layer, grams.has(layer.name))]));
  const moments = new Map<string, Moments>();
  const fetches = [...new Set([...values, ...layers.flatMap(({ input, output }) => [input, output])])];
  const into = new Float64Array(6);
  let samples = 0;
  const run = repeatedRun(executor, fetches);
  for await (const batch of feedBatches(graph, data, options)) {
    const { count } = batch;
    const fetched = run(batch);
    for (const name of values) {
      kernels.moments(floats(fetched, name), into);
      moments.set(name, joined(moments.get(name), into, floats(fetched, name).length));
    }
    for (const layer of layers) {
      const shape = layerShape(graph, layer, fetched.get(layer.input)!, fetched.get(layer.output)!);
      const x = floats(fetched, layer.input);
      await pace(sums.get(layer.name)!.add(kernels, x, shape, count, options.patches));
    }
    samples += count;
    options.onProgress?.('calibrate', samples, 2 * total(data, options));
  }
  if (samples === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample in ${data.name} but received none.`,
    );
  return { samples, moments, sums };
}

async function gatherHistograms(
  executor: Evaluator,
  moments: ReadonlyMap<string, Moments>,
  kernels: Kernels,
  data: Dataset,
  options: CalibrateOptions,
): Promise<Map<string, ValueStatistics>> {
  const statistics = new Map([...moments].map(([name, known]) => [name, emptyHistogram(name, known)]));
  const fetches = [...statistics.keys()];
  let samples = total(data, options);
  const run = repeatedRun(executor, fetches);
  for await (const batch of feedBatches(executor.graph, data, options)) {
    const fetched = run(batch);
    for (const [name, { low, high, counts }] of statistics)
      kernels.histogram(floats(fetched, name), low, high, counts);
    samples += batch.count;
    options.onProgress?.('calibrate', samples, 2 * total(data, options));
  }
  return statistics;
}

const total = (data: Dataset, { samples }: CalibrateOptions) => Math.min(samples, data.size ?? samples);

const floats = (fetched: ReadonlyMap<string, Tensor>, name: string) =>
  fetched.get(name)!.data as Float32Array;

function joined(known: Moments | undefined, into: Float64Array, count: number): Moments {
  const { min, max, sum, squares, count: before } = known ?? EMPTY;
  return {
    count: before + count,
    min: Math.min(min, into[0]),
    max: Math.max(max, into[1]),
    sum: sum + into[2],
    squares: squares + into[3],
  };
}

const EMPTY: Moments = {
  count: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
  sum: 0,
  squares: 0,
};

function emptyHistogram(name: string, { count, min, max, sum, squares }: Moments): ValueStatistics {
  if (![min, max, sum, squares].every(Number.isFinite))
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected finite activations for "${name}" but calibration gave values from ${min} to ${max}.`,
    );
  const mean = sum / count;
  // A histogram needs a range; a constant value gets one around it.
  const reach = Math.max(Math.abs(min) * 2 ** -10, 2 ** -60);
  const [low, high] = min < max ? [min, max] : [min - reach, max + reach];
  const std = Math.sqrt(Math.max(squares / count - mean * mean, 0));
  return { min, max, mean, std, low, high, counts: new Float64Array(BINS) };
}
