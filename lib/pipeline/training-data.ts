import type { Batch, Dataset } from '../data/dataset.ts';
import { SigmaQuantError } from '../errors.ts';
import type { TrainingSet } from '../training/index.ts';

/** All samples together, as float32: training reads them in an order of its own. */
const MOST_BYTES = 2 ** 32;
/** Samples per read. */
const READ = 256;

/**
 * A labelled data set in memory. Throws DATA_MISMATCH without labels, with one that is no class of the network, and
 * above 4 GiB; OUT_OF_MEMORY where the machine has less.
 */
export async function trainingSet(
  dataset: Dataset,
  classes: number,
  signal?: AbortSignal,
): Promise<TrainingSet & { labels: Int32Array }> {
  if (!dataset.labelled)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected labelled samples for training but received ${dataset.name} without labels.`,
    );
  const set = await samplesInMemory(dataset, Number.POSITIVE_INFINITY, signal, ({ labels, indices }) => {
    checkLabels(labels!, indices, classes, dataset.name);
  });
  return { ...set, labels: set.labels! };
}

/** The first `most` samples in memory, with labels where there are some. Throws as `trainingSet`. */
export async function samplesInMemory(
  dataset: Dataset,
  most: number,
  signal?: AbortSignal,
  check?: (batch: Batch) => void,
): Promise<TrainingSet> {
  const length = dataset.shape.reduce((product, side) => product * side, 1);
  const room = new Room(dataset, length, most);
  for await (const batch of dataset.batches({ size: READ, ...(signal ? { signal } : {}) })) {
    check?.(batch);
    room.add(batch.x, batch.labels, Math.min(batch.count, most - room.count));
    if (room.count >= most) break;
  }
  const { x, labels, count } = room.filled();
  return { x, shape: dataset.shape, count, labels: dataset.labelled ? labels : null };
}

/** Throws DATA_MISMATCH naming the first sample whose label is not below `classes`. */
export function checkLabels(labels: Int32Array, indices: Int32Array, classes: number, name: string): void {
  const wrong = labels.findIndex((label) => label < 0 || label >= classes);
  if (wrong < 0) return;
  throw new SigmaQuantError(
    'DATA_MISMATCH',
    `Expected a label from 0 to ${classes - 1} (the network has ${classes} classes) for sample ${indices[wrong]} of ${name} but received ${labels[wrong]}.`,
  );
}

/** Arrays that grow where a data set does not say how many samples it has. */
class Room {
  readonly #name: string;
  readonly #length: number;
  #x: Float32Array;
  #labels: Int32Array;
  #count = 0;

  constructor({ name, size }: Dataset, length: number, most: number) {
    this.#name = name;
    this.#length = length;
    [this.#x, this.#labels] = this.#allocate(Math.min(size ?? READ, most));
  }

  get count(): number {
    return this.#count;
  }

  add(x: Float32Array, given: Int32Array | null, count: number): void {
    if (this.#count + count > this.#labels.length) {
      const [x, labels] = this.#allocate(2 * this.#labels.length + count);
      x.set(this.#x);
      labels.set(this.#labels);
      [this.#x, this.#labels] = [x, labels];
    }
    this.#x.set(x.subarray(0, count * this.#length), this.#count * this.#length);
    if (given) this.#labels.set(given.subarray(0, count), this.#count);
    this.#count += count;
  }

  filled() {
    const count = this.#count;
    return { x: this.#x.subarray(0, count * this.#length), labels: this.#labels.subarray(0, count), count };
  }

  #allocate(samples: number): [Float32Array, Int32Array] {
    const bytes = samples * this.#length * Float32Array.BYTES_PER_ELEMENT;
    if (bytes > MOST_BYTES)
      throw new SigmaQuantError(
        'DATA_MISMATCH',
        `Expected at most ${MOST_BYTES} bytes of samples for training (they are held in memory as float32) but received ${this.#name} with ${bytes}; train on fewer or smaller images.`,
      );
    try {
      return [new Float32Array(samples * this.#length), new Int32Array(samples)];
    } catch (cause) {
      throw new SigmaQuantError(
        'OUT_OF_MEMORY',
        `Expected ${bytes} bytes of memory for the samples of ${this.#name} but the machine gave none.`,
        { cause },
      );
    }
  }
}
