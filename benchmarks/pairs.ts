import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Preprocessing } from '../lib/data/dataset.ts';
import { type PreprocessingInput, parsePreprocessing } from '../lib/data/index.ts';

/** A network with its data, as `pairs.json` lists it; paths are absolute once loaded. */
export interface Pair {
  name: string;
  model: string;
  calibration: string;
  validation?: string;
  evaluate: string;
  preprocessing: Preprocessing;
}

const OURS = fileURLToPath(new URL('pairs.json', import.meta.url));
const PATHS = ['model', 'calibration', 'validation', 'evaluate'] as const;

/** A path as the person who typed the command means it: npm changes the folder, INIT_CWD remembers. */
export function typedPath(path: string): string {
  return resolve(process.env['INIT_CWD'] ?? process.cwd(), path);
}

/** Pairs of a `pairs.json` or of the folder that holds one; without a path our own list. `only` selects by name. */
export function loadPairs(path: string | undefined, only: string | undefined): Pair[] {
  const given = path === undefined ? OURS : typedPath(path);
  const file = statSync(given).isDirectory() ? join(given, 'pairs.json') : given;
  const list: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(list)) throw new Error(`Expected a list of pairs in ${file}.`);
  const pattern = new RegExp(only ?? '');
  const pairs = list.map((entry) => readPair(entry, file)).filter(({ name }) => pattern.test(name));
  if (pairs.length === 0) throw new Error(`Expected a pair whose name matches ${pattern} in ${file}.`);
  return pairs;
}

function readPair(entry: Record<string, unknown>, file: string): Pair {
  const pair = {
    ...entry,
    preprocessing: parsePreprocessing((entry['preprocessing'] ?? {}) as PreprocessingInput),
  };
  for (const key of ['name', ...PATHS]) {
    const value = entry[key];
    if (value === undefined && key === 'validation') continue;
    if (typeof value !== 'string') throw new Error(`Expected a text for ${key} of each pair in ${file}.`);
    if (key !== 'name') Object.assign(pair, { [key]: resolve(dirname(file), value) });
  }
  return pair as unknown as Pair;
}
