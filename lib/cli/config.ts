import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { refuse, SigmaQuantError } from '../errors.ts';

/** Options whose value is a path: those count from the folder of the config file. */
const PATHS = new Set([
  'calibration',
  'validation',
  'evaluate',
  'metric',
  'out',
  'cache',
  'allocation',
  'data',
  'svg',
]);
/** Flags that may be given more than once: lists, and those of pairs objects. */
const REPEATED = new Set(['--target', '--pin', '--ban', '--group', '--input-shape']);
/** Preprocessing may stand in an object of its own, as in allocation.json. */
const GROUP = 'preprocessing';

/**
 * A JSON file of options as the flags that it stands for. Names are those of the flags, in either spelling
 * (`max-drop`, `maxDrop`); lists may be arrays, `target` an array of texts, `pin` and `input-shape` objects.
 * Throws INVALID_ARGUMENT.
 */
export function configFlags(path: string, command: Command, given: readonly string[]): string[] {
  const flags: string[] = [];
  const root = readConfig(path);
  const entries = Object.entries(root).flatMap(([key, value]) =>
    key === GROUP && isRecord(value) ? Object.entries(value) : [[key, value] as [string, unknown]],
  );
  for (const [key, value] of entries) {
    const option = command.options.find((o) => o.long === `--${kebab(key)}` && o.long !== '--config');
    if (!option) refuse(`names of ${command.name()}'s options`, `config ${path}`, key);
    const long = option.long!;
    const overridden = given.some((word) => word === long || word.startsWith(`${long}=`));
    if (!overridden) flags.push(...words(option, value, dirname(path)));
  }
  return flags;
}

function words(option: Option, value: unknown, folder: string): string[] {
  const long = option.long!;
  if (option.isBoolean()) {
    if (typeof value !== 'boolean') refuse('true or false', long, value);
    return value ? [long] : [];
  }
  const repeated = REPEATED.has(long);
  if (repeated && isRecord(value))
    return Object.entries(value).map(
      ([key, item]) =>
        `${long}=${key}=${Array.isArray(item) ? item.join(long === '--ban' ? ',' : 'x') : item}`,
    );
  if (repeated && Array.isArray(value)) return value.map((item) => `${long}=${item}`);
  const joined = Array.isArray(value)
    ? value.join(long === '--resize' || long === '--crop' ? 'x' : ',')
    : value;
  if (typeof joined !== 'string' && typeof joined !== 'number') refuse('a text, number or list', long, value);
  const path = PATHS.has(option.name()) && !isAbsolute(String(joined));
  return [`${long}=${path ? resolve(folder, String(joined)) : joined}`];
}

function readConfig(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable JSON file for config but received ${JSON.stringify(path)}: ${(error as Error).message}.`,
      { cause: error },
    );
  }
  if (!isRecord(value)) refuse('an object', `config ${path}`, value);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
