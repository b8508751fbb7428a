/** Preprocessing of a stored sample: resize, crop, then (x * scale - mean) / std per channel. Stored in artefacts. */
export interface Preprocessing {
  /** [width, height] */
  resize?: readonly [number, number];
  /** Centre crop, [width, height]. */
  crop?: readonly [number, number];
  /** Default 1. */
  scale?: number;
  /** One number or one per channel; default 0. */
  mean?: number | readonly number[];
  /** Default 1. */
  std?: number | readonly number[];
}

/** Some samples of a data set, side by side. */
export interface Batch {
  /** [count][...shape] after preprocessing, channels first like ONNX inputs. */
  x: Float32Array;
  count: number;
  /** Class of each sample; null without labels. */
  labels: Int32Array | null;
  /** Index of each sample in the data set. */
  indices: Int32Array;
}

/** How samples are batched, and which of them. */
export interface BatchOptions {
  /** Samples per batch; the last may be smaller. */
  size: number;
  /** Only samples whose index passes; others are not decoded. */
  select?: (index: number) => boolean;
  signal?: AbortSignal;
}

/** Samples that stream: memory does not grow with their number. Iterating twice gives the same samples. */
export interface Dataset {
  /** What reports print. */
  readonly name: string;
  /** Number of samples; null where only iterating would tell. */
  readonly size: number | null;
  /** Of one sample, after preprocessing: [channels, height, width]. */
  readonly shape: readonly number[];
  readonly labelled: boolean;
  /** Name of each class where the source says (a folder per class: class index -> folder). */
  readonly classNames?: readonly string[];
  /** Samples that could not be decoded so far, by name; they are left out. More than 1 % of them is an error. */
  readonly unreadable?: readonly string[];
  /** Content hash of the source (hex), for cache keys and provenance; independent of paths. */
  fingerprint(): Promise<string>;
  /** All samples in their order, batch by batch. Rejects with DATA_UNREADABLE, or the signal's reason. */
  batches(options: BatchOptions): AsyncIterable<Batch>;
}
