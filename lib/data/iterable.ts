import { SigmaQuantError } from '../errors.ts';
import { contentHash } from './content-hash.ts';
import type { Dataset, Preprocessing } from './dataset.ts';
import { frame, framedShape } from './preprocessing.ts';
import { checkLabel, datasetOf } from './samples.ts';
import { mismatch } from './source.ts';

/** One sample and perhaps its class. */
export interface IterableSample {
  /** Of the stated shape, row-major, before preprocessing. */
  x: Uint8Array | Int8Array | Float32Array;
  /** Class; either every sample has one or none. */
  label?: number;
}

/** What a data set made of samples in memory is told of them. */
export interface IterableOptions {
  preprocessing?: Preprocessing;
  /** Number of samples where it is known. */
  size?: number;
}

/**
 * Any (async) iterable as a data set. `samples` is called for each pass and must give the same samples again.
 * The first one is looked at to see whether there are labels. DATA_MISMATCH where a sample is not of the stated shape.
 */
export async function fromIterable(
  name: string,
  shape: readonly number[],
  samples: () => AsyncIterable<IterableSample> | Iterable<IterableSample>,
  { preprocessing = {}, size }: IterableOptions = {},
): Promise<Dataset> {
  const length = shape.reduce((product, side) => product * side, 1);
  const framed = framedShape(shape, preprocessing, name);
  const isFramed = preprocessing.resize !== undefined || preprocessing.crop !== undefined;

  async function* checkedSamples() {
    let index = 0;
    for await (const sample of samples()) {
      if (
        !(sample.x instanceof Uint8Array || sample.x instanceof Int8Array || sample.x instanceof Float32Array)
      ) {
        throw mismatch(`Expected a Uint8Array, Int8Array or Float32Array as sample ${index} of ${name}.`);
      }
      if (sample.x.length !== length) {
        throw mismatch(
          `Expected ${length} numbers for shape [${shape.join(', ')}] in sample ${index} of ${name} but received ${sample.x.length}.`,
        );
      }
      yield { index: index++, x: sample.x, label: sample.label };
    }
  }

  let labelled: boolean | null = null;
  for await (const { label } of checkedSamples()) {
    labelled = label !== undefined;
    break;
  }
  if (labelled === null)
    throw new SigmaQuantError('DATA_MISMATCH', `Expected at least one sample in ${name} but received none.`);

  return datasetOf(
    {
      name,
      size: size ?? null,
      shape: framed,
      labelled,
      async *samples(select, signal) {
        for await (const { index, x, label } of checkedSamples()) {
          signal?.throwIfAborted();
          if (!select(index)) continue;
          if (labelled) checkLabel(label ?? Number.NaN, () => `the label of sample ${index} of ${name}`);
          yield { index, x: isFramed ? frame(x, shape, preprocessing) : x, label: label ?? 0 };
        }
      },
      async fingerprint() {
        const hash = contentHash();
        hash.update(`${shape.join('x')}\n`);
        for await (const { x, label } of checkedSamples()) {
          hash.update(`${x.constructor.name} ${label ?? ''}\n`);
          hash.update(new Uint8Array(x.buffer, x.byteOffset, x.byteLength));
        }
        return hash.hex();
      },
    },
    preprocessing,
  );
}
