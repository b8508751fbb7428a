import type { Dataset } from '../data/dataset.ts';
import type { OpenOptions } from '../data/index.ts';
import type { Device } from '../hardware/index.ts';
import type { Kernels, KernelsOptions } from '../kernels/kernels.ts';
import type { ReadExternal } from '../onnx/index.ts';
import type { CacheEntries } from './cache-entries.ts';
import type { Executable } from './model.ts';
import type { CommonOptions } from './options.ts';

/** A model as its file has it. */
export interface ModelFile {
  /** File name without folder. */
  name: string;
  bytes: Uint8Array;
  /** Reads what lies beside it; absent where nothing can. */
  external?: ReadExternal;
}

/**
 * What making a quantized network needs of the world around it: Node's or a browser's. Names of files are paths in the
 * one, and in the other those of the files that a page was given. What a host has not, it refuses with a sentence.
 */
export interface Host {
  /** Of this package. */
  readonly version: string;
  /** The kind of processor, for keys of what agrees with itself on one kind alone; null where nobody can tell. */
  readonly processor: string | null;
  /** Throws BACKEND_UNAVAILABLE. */
  createKernels(options: KernelsOptions): Promise<Kernels>;
  /** Throws INVALID_ARGUMENT with the reason, MALFORMED_MODEL where it is too large. */
  readModel(file: string): Promise<ModelFile>;
  /** Throws DATA_UNREADABLE, DATA_MISMATCH. */
  openDataset(place: string, options: OpenOptions): Promise<Dataset>;
  /** A device by its name, or by its file. Throws INVALID_ARGUMENT naming file and field. */
  loadDevice(nameOrFile: string): Promise<Device>;
  /** What a module of the caller exports, and its text. Throws INVALID_ARGUMENT. */
  importModule(file: string): Promise<Record<string, unknown>>;
  readText(file: string): Promise<string>;
  /** Opens a model that onnxruntime shall run. Throws BACKEND_UNAVAILABLE. */
  openOnOnnxruntime(options: CommonOptions): Promise<Executable>;
  /** Entries that outlive the run, by key. Throws INVALID_ARGUMENT where the folder is a file. */
  openCache(
    folder: string,
    warn: (sentence: string) => void,
  ): Promise<(key: unknown) => Promise<CacheEntries>>;
  /** Tells what the run goes on without, where the caller did not ask to be told. */
  warn(sentence: string): void;
}
