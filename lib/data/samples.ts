import { refuse } from '../errors.ts';
import type { Batch, BatchOptions, Dataset, Preprocessing } from './dataset.ts';
import type { NumberArray } from './npy.ts';
import { normalizer } from './preprocessing.ts';
import { mismatch } from './source.ts';

/** One sample as its source stores it, already resized and cropped. */
export interface Sample {
  index: number;
  x: NumberArray;
  label: number;
}

/** What a kind of source implements; `datasetOf` makes the rest of a Dataset from it. */
export interface SampleStore {
  name: string;
  size: number | null;
  /** Of a sample as `samples` gives it. */
  shape: readonly number[];
  labelled: boolean;
  classNames?: readonly string[];
  unreadable?: readonly string[];
  /** Selected samples in ascending order of index. `x` may be reused for the next one. */
  samples(select: (index: number) => boolean, signal?: AbortSignal): AsyncIterable<Sample>;
  fingerprint(): Promise<string>;
}

/** Normalization and batches over a store. Checks the preprocessing against the shape at once. */
export function datasetOf(store: SampleStore, preprocessing: Preprocessing): Dataset {
  const { name, size, shape, labelled, classNames, unreadable } = store;
  const normalize = normalizer(preprocessing, shape, name);
  const sampleSize = shape.reduce((product, side) => product * side, 1);
  let hash: Promise<string> | null = null;

  async function* batches({ size: count, select = () => true, signal }: BatchOptions): AsyncGenerator<Batch> {
    if (!Number.isInteger(count) || count < 1)
      refuse('a whole number of at least 1', 'the batch size', count);
    const empty = () => ({
      x: new Float32Array(count * sampleSize),
      labels: labelled ? new Int32Array(count) : null,
      indices: new Int32Array(count),
    });
    let batch = empty();
    let filled = 0;
    for await (const sample of store.samples(select, signal)) {
      normalize(sample.x, batch.x, filled * sampleSize, () => `sample ${sample.index} of ${name}`);
      batch.indices[filled] = sample.index;
      if (batch.labels) batch.labels[filled] = sample.label;
      if (++filled < count) continue;
      await eventLoop();
      signal?.throwIfAborted();
      yield { ...batch, count };
      batch = empty();
      filled = 0;
    }
    signal?.throwIfAborted();
    if (filled === 0) return;
    yield {
      x: batch.x.slice(0, filled * sampleSize),
      labels: batch.labels?.slice(0, filled) ?? null,
      indices: batch.indices.slice(0, filled),
      count: filled,
    };
  }

  return {
    name,
    size,
    shape,
    labelled,
    ...(classNames && { classNames }),
    ...(unreadable && { unreadable }),
    fingerprint: () => (hash ??= store.fingerprint()),
    batches,
  };
}

/** Lets timers, signals and progress have their turn: work between batches never leaves JavaScript otherwise. */
function eventLoop(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}

/** Throws DATA_MISMATCH for a label that is not a class index. `where` completes "Expected ... for". */
export function checkLabel(label: number, where: () => string): void {
  if (Number.isInteger(label) && label >= 0 && label < 2 ** 31) return;
  throw mismatch(`Expected a whole number of at least 0 for ${where()} but received ${label}.`);
}
