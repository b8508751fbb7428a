import type { Dataset } from '../data/dataset.ts';
import type { FileLike } from '../data/file-folder.ts';
import type { OpenOptions } from '../data/stores.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import { browserHost } from './browser-host.ts';
import { quantizeOn } from './conclusion.ts';
import { type InspectResult, inspectOn } from './inspection.ts';
import type { MetricFunction } from './metric.ts';
import { checkOptions, type QuantizeOptions } from './options.ts';
import type { QuantizeResult } from './result.ts';

export type { Progress } from '../analysis/analysis.ts';
export type { FileLike } from '../data/file-folder.ts';
export type { Batch, BatchOptions, Dataset, OpenOptions, Preprocessing } from '../data/index.ts';
export { fromIterable } from '../data/iterable.ts';
export { type ErrorCode, SigmaQuantError } from '../errors.ts';
export { type AllocationFile, serializeAllocation } from '../export/allocation.ts';
export type { InspectedLayer, InspectResult } from './inspection.ts';
export type { MetricFunction, MetricInput, MetricOutput } from './metric.ts';
export type { AccuracyResult, Artefacts, LayerResult, QuantizeResult } from './result.ts';

/** A file (`.npz`, `.npy`, CIFAR binary), the files of a folder of images, or any `Dataset`. */
export type BrowserData = FileLike | readonly FileLike[] | Dataset;

/** A model's file, or its bytes with the name that reports shall print. */
export type BrowserModel = FileLike | { name: string; bytes: Uint8Array };

type Elsewhere =
  | 'model'
  | 'calibration'
  | 'validation'
  | 'evaluate'
  | 'metric'
  | 'executor'
  | 'isa'
  | 'cache'
  | 'out'
  | 'force';

/** As in Node, with files in place of paths. */
export interface BrowserQuantizeOptions extends Omit<QuantizeOptions, Elsewhere> {
  model: BrowserModel;
  calibration: BrowserData;
  validation?: BrowserData;
  evaluate?: BrowserData;
  metric?: MetricFunction;
}

/**
 * As in Node; whatever comes of it is in `artefacts`, and nothing is written or sent. Meant for a worker: it computes
 * where it is called. One thread unless `threads` asks for more and the page is cross-origin isolated. Rejects as in
 * Node, and with OUT_OF_MEMORY where the model is above 256 MB or the browser has no more memory.
 */
export async function quantize(options: BrowserQuantizeOptions): Promise<QuantizeResult> {
  const { signal } = options;
  const { files, named } = withNames(options);
  checkOptions(named);
  signal?.throwIfAborted();
  try {
    return await quantizeOn(browserHost(files), named);
  } catch (error) {
    if (signal?.aborted || !isExhaustion(error)) throw error;
    throw new SigmaQuantError(
      'OUT_OF_MEMORY',
      `Expected memory for ${options.model.name} but the browser has no more: close other pages, give fewer or smaller samples, or use the command line.`,
      { cause: error },
    );
  }
}

/** As in Node: reads a model without running it. Rejects with OUT_OF_MEMORY above 256 MB. */
export function inspect({
  model,
  ...rest
}: Pick<BrowserQuantizeOptions, 'model' | 'inputShapes' | 'signal'>): Promise<InspectResult> {
  const files = new Map<string, readonly FileLike[]>();
  return inspectOn(browserHost(files), { ...rest, model: modelIn(files, model) });
}

/** A data set from a file, or from the files of a folder of images. Throws DATA_UNREADABLE or DATA_MISMATCH. */
export function openDataset(
  given: FileLike | readonly FileLike[],
  options: OpenOptions = {},
): Promise<Dataset> {
  const own = isList(given) ? given : [given];
  const name = nameOf(own);
  return browserHost(new Map([[name, own]])).openDataset(name, options);
}

/** Files get names, by which the options and the report's command speak of them. */
function withNames(options: BrowserQuantizeOptions): {
  files: Map<string, readonly FileLike[]>;
  named: QuantizeOptions;
} {
  const { model, calibration, validation, evaluate, ...rest } = options;
  const files = new Map<string, readonly FileLike[]>();
  const data = (given: BrowserData, role: string): string | Dataset => {
    if (typeof given !== 'object' || given === null) refuse('files or a data set', role, given);
    if ('batches' in given) return given;
    const own = isList(given) ? given : [given];
    return own.length > 0 ? put(files, own, role) : refuse('at least one file', role, 'none');
  };
  const named: QuantizeOptions = {
    ...rest,
    model: modelIn(files, model),
    calibration: data(calibration, 'calibration'),
    ...(validation !== undefined && { validation: data(validation, 'validation') }),
    ...(evaluate !== undefined && { evaluate: data(evaluate, 'evaluate') }),
  };
  return { files, named };
}

function modelIn(
  files: Map<string, readonly FileLike[]>,
  model: BrowserModel,
): string | { name: string; bytes: Uint8Array } {
  if (typeof model !== 'object' || model === null) refuse('a file', 'model', model);
  // A browser's File has something called bytes too.
  return 'slice' in model ? put(files, [model], 'model') : model;
}

/** Keeps files and gives the name that they have from now on. */
function put(files: Map<string, readonly FileLike[]>, own: readonly FileLike[], role: string): string {
  const wanted = nameOf(own);
  const taken = files.get(wanted);
  const name = taken && !same(taken, own) ? `${role}/${wanted}` : wanted;
  files.set(name, own);
  return name;
}

const isList = (data: FileLike | readonly FileLike[]): data is readonly FileLike[] => Array.isArray(data);

/** Several files have the name of the folder that was chosen; those that were dropped one by one have none. */
function nameOf(own: readonly FileLike[]): string {
  if (own.length === 1) return own[0].name;
  return own[0]?.webkitRelativePath?.split('/')[0] || 'images';
}

function same(a: readonly FileLike[], b: readonly FileLike[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index]);
}

/** Engines say that memory is exhausted with a RangeError, as they say that calls nest too deep. */
function isExhaustion(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: string; cause?: unknown };
  if (code === 'OUT_OF_MEMORY') return cause !== undefined; // else it says itself what is too large
  if (code === 'BACKEND_UNAVAILABLE') return isExhaustion(cause);
  return error instanceof RangeError && !/call stack/i.test(error.message);
}
