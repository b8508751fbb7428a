import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { z } from 'zod';
import { refuse, SigmaQuantError } from '../errors.ts';
import { nearest } from '../pipeline/nearest.ts';

/** Found in the working directory where no other file is named. */
export const CONFIG_FILE = 'sigmaquant.config.json';
/** Preprocessing may stand in an object of its own, as in allocation.json. */
const GROUP = 'preprocessing';
const GROUPED: readonly string[] = ['resize', 'crop', 'scale', 'mean', 'std'];
/** Editors look here for the schema of the file. */
const SCHEMA_KEY = '$schema';

/** What an option's placeholder in --help says of its value in a file. */
interface Kind {
  schema: z.ZodType;
  /** As errors say it. */
  expected: string;
  /** Values of the flag; each repeats it. */
  words(value: unknown, folder: string): string[];
}

const text = z.string();
const number = z.number();
const integer = z.int();
const numbers = z.array(number);
const one = (value: unknown) => [String(value)];
const whole: Kind = { schema: integer, expected: 'a whole number', words: one };
const real: Kind = { schema: number, expected: 'a number', words: one };
const path: Kind = {
  schema: text,
  expected: 'a path',
  words: (value, folder) => [isAbsolute(String(value)) ? String(value) : resolve(folder, String(value))],
};
const name: Kind = { schema: text, expected: 'a text', words: one };

/** The kinds of values by placeholder; what is not here is a text. */
const KINDS: Readonly<Record<string, Kind>> = {
  N: whole,
  POINTS: real,
  PERCENT: real,
  DB: real,
  X: { schema: z.union([number, text]), expected: 'a number or a fraction such as "1/255"', words: one },
  LIST: {
    schema: z.union([numbers, number, text]),
    expected: 'a list of numbers',
    words: (value) => [joined(value, ',')],
  },
  WxH: {
    schema: z.union([z.tuple([integer, integer]), text]),
    expected: 'a width and a height',
    words: (value) => [joined(value, 'x')],
  },
  'RESOURCE=LIMIT': repeated(z.union([text, number]), 'targets', ','),
  'LAYER=BITS': repeated(integer, 'widths by layer', ','),
  'LAYER=LIST': repeated(z.union([z.array(integer), integer, text]), 'lists of widths by layer', ','),
  'NAME=DIMS': repeated(z.union([z.array(integer), text]), 'dimensions by input', 'x'),
  WHAT: {
    schema: z.union([text, z.array(z.union([text, z.array(text)]))]),
    expected: 'add, concat or lists of layers',
    words: (value) => [value].flat().map((item) => joined(item, ',')),
  },
  DATA: path,
  DIR: path,
  PATH: path,
  FILE: path,
  'FILE.mjs': path,
  'NAME|FILE': {
    ...name,
    words: (value, folder) => (/[/\\]|\.json$/i.test(String(value)) ? path.words(value, folder) : one(value)),
  },
};

/** An object of what each name is given, or the texts of the flags. */
function repeated(item: z.ZodType, what: string, separator: string): Kind {
  return {
    schema: z.union([z.record(text, item), z.array(text), text]),
    expected: `an object of ${what} or a list of texts`,
    words: (value) =>
      isRecord(value)
        ? Object.entries(value).map(([key, own]) => `${key}=${joined(own, separator)}`)
        : [value].flat().map(String),
  };
}

function joined(value: unknown, separator: string): string {
  return Array.isArray(value) ? value.join(separator) : String(value);
}

/** What one option may be given in a file, and the flags that it stands for. */
interface Entry {
  option: Option;
  schema: z.ZodType;
  expected: string;
  flags(value: unknown, folder: string): string[];
}

/** Options of a command by their name in a file; none for a command that reads no file. */
function entriesOf({ options }: Command): Map<string, Entry> {
  if (!options.some(({ long }) => long === '--config')) return new Map();
  const own = options.filter(({ long, negate }) => !negate && long !== '--config');
  return new Map(
    own.map((option) => {
      const without = options.find(({ negate, long }) => negate && long === `--no-${option.name()}`);
      return [option.name(), entryOf(option, without?.long ?? null)];
    }),
  );
}

function entryOf(option: Option, without: string | null): Entry {
  const { long, description, argChoices } = option;
  if (option.isBoolean())
    return {
      option,
      schema: z.boolean().describe(description),
      expected: 'true or false',
      flags: (value) => (value ? [long!] : []),
    };
  const kind = KINDS[/<(.+)>/.exec(option.flags)?.[1] ?? ''] ?? name;
  const schema = argChoices ? z.enum(argChoices) : kind.schema;
  return {
    option,
    schema: (without ? z.union([schema, z.literal(false)]) : schema).describe(description),
    expected: argChoices ? `one of ${argChoices.join(', ')}` : kind.expected,
    flags: (value, folder) =>
      value === false && without ? [without] : kind.words(value, folder).map((word) => `${long}=${word}`),
  };
}

/** Options of all commands that read the file, each once. */
function allEntries(commands: readonly Command[]): Map<string, Entry> {
  return new Map(commands.flatMap((command) => [...entriesOf(command)]));
}

/**
 * The flags that a file of options stands for: that of `--config`, else sigmaquant.config.json of the working
 * directory if there is one, none with `--no-config`. Names are those of flags in either spelling (`max-drop`,
 * `maxDrop`); paths count from the file's folder; flags that were given win; options of other commands are left to
 * them, so that one file serves all. Throws INVALID_ARGUMENT naming file and option.
 */
export function configFlags(command: Command, given: readonly string[]): string[] {
  const entries = entriesOf(command);
  const { config } = command.opts();
  if (entries.size === 0 || config === false) return [];
  const file = typeof config === 'string' ? config : CONFIG_FILE;
  if (typeof config !== 'string' && !existsSync(file)) return [];
  const others = allEntries(command.parent?.commands ?? [command]);
  return Object.entries(readConfig(file)).flatMap(([key, value]) => {
    const found = entries.get(kebab(key));
    if (!found && others.has(kebab(key))) return [];
    if (!found) return unknown(key, file, command, others);
    if (!found.schema.safeParse(value).success) refuse(found.expected, `${key} of config ${file}`, value);
    const { long } = found.option;
    const flags = [long!, `--no-${found.option.name()}`];
    const overridden = given.some((word) =>
      flags.some((flag) => word === flag || word.startsWith(`${flag}=`)),
    );
    return overridden ? [] : found.flags(value, dirname(file));
  });
}

function unknown(key: string, file: string, command: Command, others: ReadonlyMap<string, Entry>): never {
  const hint = nearest(kebab(key), [...others.keys(), GROUP]);
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected names of ${command.name()}'s options for config ${file} but received ${JSON.stringify(key)}${hint ? ` (did you mean ${hint}?)` : ''}.`,
  );
}

/** Entries of the file, those of the group among them. */
function readConfig(file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable JSON file for config but received ${JSON.stringify(file)}: ${(error as Error).message}.`,
      { cause: error },
    );
  }
  if (!isRecord(value)) refuse('an object', `config ${file}`, value);
  const { [GROUP]: group = {}, [SCHEMA_KEY]: _, ...entries } = value;
  if (!isRecord(group)) refuse('an object', `${GROUP} of config ${file}`, group);
  const stranger = Object.keys(group).find((key) => !GROUPED.includes(key));
  if (stranger !== undefined)
    refuse(`names among ${GROUPED.join(', ')}`, `${GROUP} of config ${file}`, stranger);
  return { ...entries, ...group };
}

/** The published schema of the file, made of the commands' own options. */
export function configJsonSchema(commands: readonly Command[]): unknown {
  const entries = allEntries(commands);
  const optional = (names: readonly string[]) =>
    Object.fromEntries(
      names.flatMap((key) => {
        const schema = entries.get(key)!.schema.optional();
        return [...new Set([key, camel(key)])].map((spelling) => [spelling, schema]);
      }),
    );
  const file = z.strictObject({
    [SCHEMA_KEY]: text.optional(),
    ...optional([...entries.keys()].sort()),
    [GROUP]: z
      .strictObject(optional(GROUPED.filter((key) => entries.has(key))))
      .optional()
      .describe('Resize, centre crop, then (x * scale - mean) / std.'),
  });
  return z.toJSONSchema(file);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function camel(key: string): string {
  return key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
