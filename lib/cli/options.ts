import type { Preprocessing } from '../data/index.ts';
import { parsePreprocessing } from '../data/index.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import type { BackendName } from '../kernels/kernels.ts';
import type { CommonOptions, SearchOptions } from '../pipeline/options.ts';
import type { QuantizeSummary } from '../pipeline/result.ts';
import type { Flags } from './program.ts';
import type { Terminal } from './terminal.ts';

/** Parsed flags (commander's camelCase) as options of the API. */

export function commonOptions(model: string, flags: Flags, terminal: Terminal): CommonOptions {
  return {
    model,
    ...defined({
      inputShapes: pairs(flags['inputShape'], 'input-shape'),
      threads: flags['threads'] as number | undefined,
      backend: flags['backend'] as BackendName | undefined,
    }),
    signal: terminal.signal,
    onProgress: terminal.progress,
  };
}

export function searchOptions(model: string, flags: Flags, terminal: Terminal): SearchOptions {
  return {
    ...commonOptions(model, flags, terminal),
    ...defined({
      targets: flags['target'] as string[] | undefined,
      strategy: flags['strategy'] as string | undefined,
      bits: flags['bits'] as number[] | undefined,
      activationBits: flags['activationBits'] as number[] | undefined,
      freeEnds: flags['freeEnds'] as boolean | undefined,
      pins: pairs(flags['pin'], 'pin'),
      bans: pairs(flags['ban'], 'ban'),
      groups: flags['group'] as SearchOptions['groups'],
      minimize: flags['minimize'] as string | undefined,
      device: flags['device'] as string | undefined,
      seed: flags['seed'] as number | undefined,
    }),
  };
}

/** Undefined where no flag speaks of preprocessing, so that a stored one may hold. */
export function preprocessingOption(flags: Flags): Preprocessing | undefined {
  const given = defined({
    resize: flags['resize'] as string | undefined,
    crop: flags['crop'] as string | undefined,
    scale: flags['scale'] as string | undefined,
    mean: flags['mean'] as string | undefined,
    std: flags['std'] as string | undefined,
  });
  return Object.keys(given).length === 0 ? undefined : parsePreprocessing(given);
}

/** What ran, for people: onnxruntime only where it did. */
export function ranOn({
  executor,
  backend,
  isa,
  threads,
}: Pick<QuantizeSummary, 'executor' | 'backend' | 'isa' | 'threads'>): string {
  const kernels = `${backend} (${isa}, ${threads} threads)`;
  return executor.name === 'engine' ? kernels : `${executor.name} ${executor.version} and ${kernels}`;
}

/** A flag that a command cannot do without. */
export function required(flags: Flags, key: string, what = 'a path'): string {
  const value = flags[key];
  if (typeof value === 'string') return value;
  throw new SigmaQuantError('INVALID_ARGUMENT', `Expected ${what} for --${key} but received none.`);
}

/** Leaves out what was not given, so that defaults stay in one place. */
export function defined<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

function pairs<T>(list: unknown, name: string): Record<string, T> | undefined {
  if (list === undefined) return undefined;
  const entries = list as [string, T][];
  const record = Object.fromEntries(entries);
  if (Object.keys(record).length < entries.length)
    refuse('each name once', name, entries.map(([key]) => key).join(', '));
  return record;
}
