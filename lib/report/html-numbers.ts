import { RESOURCES } from './amounts.ts';
import { bytes, significant, whole } from './numbers.ts';

/** Where nothing is known, or no number is. */
export const UNKNOWN = '\u2013';
/** Files hold the largest number for infinity, since JSON has none. */
const INFINITE = 1e300;
/** Beyond these a number without a prefix is hard to read. */
const LARGE = 1e5;
const SMALL = 1e-2;
const PREFIXES: readonly (readonly [factor: number, prefix: string])[] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
  [1e-3, 'm'],
  [1e-6, '\u00b5'],
  [1e-9, 'n'],
  [1e-12, 'p'],
];
/** Units that take a prefix; uJ, ms and mm² have one. */
const BARE = new Set(['J', 's', 'W', 'Hz', 'BOPs', 'MACs', 'cycles', '']);
export function resourceOf(name: string): { title: string; unit: string } {
  return Object.hasOwn(RESOURCES, name) ? RESOURCES[name] : { title: name, unit: '' };
}

/** A finite number that does not stand for an infinite one. */
export function isKnown(value: number | null | undefined): value is number {
  return typeof value === 'number' && Math.abs(value) < INFINITE;
}

/** A dash where there is no number. */
export function shown(value: number | null | undefined, format: (value: number) => string): string {
  return isKnown(value) ? format(value) : UNKNOWN;
}

/** `118.2 kB`, `4.10 MJ`, `2.505 bits`; bytes where the unit says so. */
export function amount(value: number | null | undefined, unit: string): string {
  return shown(value, (known) => {
    if (unit === 'B' || unit === 'bytes') return bytes(known);
    const [factor, prefix] = BARE.has(unit) ? prefixOf(known) : [1, ''];
    return `${plain(known / factor)} ${prefix}${unit}`.trimEnd();
  });
}

function prefixOf(value: number): readonly [number, string] {
  const size = Math.abs(value);
  if (size === 0 || (size >= SMALL && size < LARGE)) return [1, ''];
  return PREFIXES.find(([factor]) => size >= factor) ?? PREFIXES[PREFIXES.length - 1];
}

const plain = (value: number) => (Math.abs(value) >= 1e4 ? whole(value) : significant(value, 4));

/** Two digits; with an exponent where zeros would hide the size: `0.012`, `4.0e-5`. */
export function twoDigits(value: number): string {
  return value !== 0 && Math.abs(value) < SMALL ? value.toExponential(1) : significant(value, 2);
}
