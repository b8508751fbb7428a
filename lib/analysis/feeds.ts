import type { Batch, Dataset } from '../data/dataset.ts';
import type { Evaluator } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { WorkOptions } from './analysis.ts';
import { pause } from './pace.ts';

export interface FedBatch {
  feeds: Map<string, Tensor>;
  count: number;
  batch: Batch;
}

export interface FeedOptions extends WorkOptions {
  /** Samples at most. */
  samples: number;
  /** Samples per batch. */
  batch: number;
}

/**
 * `samples` samples spread evenly over a data set (the first ones where its size is unknown: a folder per class
 * would give one class only) as feeds of the network's one input, pausing after every batch. Throws DATA_MISMATCH
 * where the network has several inputs or the shapes differ.
 */
export async function* feedBatches(
  graph: Graph,
  data: Dataset,
  options: FeedOptions,
): AsyncGenerator<FedBatch> {
  const { samples, batch: size, signal } = options;
  const name = inputFor(graph, data);
  let left = samples;
  signal?.throwIfAborted();
  if (left <= 0) return;
  const select = evenly(samples, data.size);
  for await (const batch of data.batches({ size, select, signal })) {
    const count = Math.min(batch.count, left);
    const shape = [count, ...data.shape];
    const length = shape.reduce((product, dimension) => product * dimension, 1);
    const tensor: Tensor = { dtype: 'float32', shape, data: batch.x.subarray(0, length) };
    yield { feeds: new Map([[name, tensor]]), count, batch };
    await pause(signal);
    left -= count;
    if (left <= 0) return;
  }
}

/** Runs an executor again and again for the same values, into the same buffers while the batch stays as large. */
export function repeatedRun(
  executor: Evaluator,
  fetches: readonly string[],
): (batch: FedBatch) => ReadonlyMap<string, Tensor> {
  let fetched: Map<string, Tensor> | undefined;
  let last = 0;
  return ({ feeds, count }) => {
    fetched = executor.run(feeds, fetches, count === last ? fetched : undefined);
    last = count;
    return fetched;
  };
}

/** Which of `size` indices to take for exactly `samples` evenly spaced ones. */
function evenly(samples: number, size: number | null): (index: number) => boolean {
  if (size === null) return (index) => index < samples;
  if (samples >= size) return () => true;
  return (index) => Math.floor(((index + 1) * samples) / size) > Math.floor((index * samples) / size);
}

function inputFor(graph: Graph, data: Dataset): string {
  if (graph.inputs.length !== 1)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected a network with one input for ${data.name} but "${graph.name}" has ${graph.inputs.length}.`,
    );
  const [{ name, shape }] = graph.inputs;
  const fits =
    shape.length === data.shape.length + 1 &&
    data.shape.every((size, i) => typeof shape[i + 1] === 'string' || shape[i + 1] === size);
  if (!fits)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected samples of shape [${shape.slice(1)}] for input "${name}" but ${data.name} holds [${data.shape}].`,
    );
  return name;
}
