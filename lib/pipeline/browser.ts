import type { Dataset } from '../data/dataset.ts';
import type { FileLike } from '../data/file-folder.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import { browserHost } from './browser-host.ts';
import { quantizeOn } from './conclusion.ts';
import type { MetricFunction } from './metric.ts';
import { checkOptions, type QuantizeOptions } from './options.ts';
import type { QuantizeResult } from './result.ts';

export type { Progress } from '../analysis/analysis.ts';
export type { FileLike } from '../data/file-folder.ts';
export type { Batch, BatchOptions, Dataset, Preprocessing } from '../data/index.ts';
export { fromIterable } from '../data/iterable.ts';
export { type ErrorCode, SigmaQuantError } from '../errors.ts';
export { type AllocationFile, serializeAllocation } from '../export/allocation.ts';
export type { MetricFunction, MetricInput, MetricOutput } from './metric.ts';
export type { AccuracyResult, Artefacts, LayerResult, QuantizeResult } from './result.ts';

/** A file (`.npz`, `.npy`, CIFAR binary), the files of a folder of images, or any `Dataset`. */
export type BrowserData = FileLike | readonly FileLike[] | Dataset;

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
  model: FileLike | { name: string; bytes: Uint8Array };
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
      `Expected memory for ${named.model} but the browser has no more: close other pages, give fewer or smaller samples, or use the command line.`,
      { cause: error },
    );
  }
}

/** Files get names, by which the options and the report's command speak of them. */
function withNames(options: BrowserQuantizeOptions): {
  files: Map<string, readonly FileLike[]>;
  named: QuantizeOptions;
} {
  const { model, calibration, validation, evaluate, ...rest } = options;
  const files = new Map<string, readonly FileLike[]>();
  const nameOf = (own: readonly FileLike[], role: string): string => {
    const wanted = own.length === 1 ? own[0].name : folderName(own);
    const taken = files.get(wanted);
    const name = taken && !same(taken, own) ? `${role}/${wanted}` : wanted;
    files.set(name, own);
    return name;
  };
  const data = (given: BrowserData, role: string): string | Dataset => {
    if (typeof given !== 'object' || given === null) refuse('files or a data set', role, given);
    if ('batches' in given) return given;
    const own = isList(given) ? given : [given];
    return own.length > 0 ? nameOf(own, role) : refuse('at least one file', role, 'none');
  };
  if (typeof model !== 'object' || model === null) refuse('a file', 'model', model);
  const named: QuantizeOptions = {
    ...rest,
    // A browser's File has something called bytes too.
    model: 'slice' in model ? nameOf([model], 'model') : model,
    calibration: data(calibration, 'calibration'),
    ...(validation !== undefined && { validation: data(validation, 'validation') }),
    ...(evaluate !== undefined && { evaluate: data(evaluate, 'evaluate') }),
  };
  return { files, named };
}

const isList = (data: FileLike | readonly FileLike[]): data is readonly FileLike[] => Array.isArray(data);

/** The folder that was chosen; files that were dropped one by one have none. */
function folderName([first]: readonly FileLike[]): string {
  return first.webkitRelativePath?.split('/')[0] || 'images';
}

function same(a: readonly FileLike[], b: readonly FileLike[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index]);
}

/** Engines say that memory is exhausted with a RangeError, as they say that calls nest too deep. */
function isExhaustion(error: unknown): boolean {
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (code === 'OUT_OF_MEMORY') return cause !== undefined; // else it says itself what is too large
  if (code === 'BACKEND_UNAVAILABLE') return isExhaustion(cause);
  return error instanceof RangeError && !/call stack/i.test(error.message);
}
