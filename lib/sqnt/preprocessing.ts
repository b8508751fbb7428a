import { LARGEST_SIDE, malformedAt } from './layout.ts';
import type { PackedPreprocessing } from './model.ts';
import { readNumbers, writeNumbers } from './numbers.ts';
import type { Sink, Source } from './sections.ts';

/** The bit of each field that is there, lowest first, and the order of their values. */
const FIELDS = ['resize', 'crop', 'scale', 'mean', 'std'] as const;
const KNOWN = (1 << FIELDS.length) - 1;

type Field = (typeof FIELDS)[number];
type Value = number | readonly number[];

/** What the numbers of a field must be. */
const RULES: Readonly<Record<Field, { says: string; holds(value: number): boolean }>> = {
  resize: { says: `sides from 1 to ${LARGEST_SIDE} for resize`, holds: isSide },
  crop: { says: `sides from 1 to ${LARGEST_SIDE} for crop`, holds: isSide },
  scale: { says: 'a number other than 0 for scale', holds: (x) => Number.isFinite(x) && x !== 0 },
  mean: { says: 'finite numbers for mean', holds: Number.isFinite },
  std: { says: 'positive numbers for std', holds: (x) => Number.isFinite(x) && x > 0 },
};

function isSide(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= LARGEST_SIDE;
}

/** A number is a list of length 0 in the file, so that it comes back as it was. */
export function writePreprocessing({ manifest }: Sink, preprocessing: PackedPreprocessing): void {
  const present = FIELDS.filter((field) => preprocessing[field] !== undefined);
  manifest.byte(present.reduce((mask, field) => mask | (1 << FIELDS.indexOf(field)), 0));
  for (const field of present) {
    const value: Value = preprocessing[field]!;
    manifest.count(typeof value === 'number' ? 0 : value.length);
    writeNumbers(manifest, typeof value === 'number' ? [value] : value);
  }
}

export function readPreprocessing(source: Source): PackedPreprocessing {
  const mask = source.manifest.byte('the fields of preprocessing', 0, KNOWN);
  const fields = FIELDS.filter((_, i) => mask & (1 << i));
  return Object.fromEntries(fields.map((field) => [field, readField(source, field)]));
}

function readField({ manifest }: Source, field: Field): Value {
  const at = manifest.at;
  const isFrame = field === 'resize' || field === 'crop';
  const count = manifest.countOf(`numbers of ${field}`);
  if (isFrame ? count !== 2 : field === 'scale' && count !== 0)
    malformedAt(at, isFrame ? `two sides for ${field}` : 'a single number for scale', `${count} in a list`);
  const values = readNumbers(manifest, Math.max(1, count), field);
  const { says, holds } = RULES[field];
  for (const value of values) if (!holds(value)) malformedAt(at, says, value);
  return count === 0 ? values[0] : values;
}
