import { SigmaQuantError } from '../../errors.ts';

/** Longer names would push C99's 63 significant characters of an identifier aside. */
const LONGEST_NAME = 40;
const LONGEST_COMMENT = 80;

/**
 * What every identifier of a network begins with: `sq_` and the name in lower case with whatever is no letter or digit
 * as `_`. The prefix keeps C's keywords and reserved names out of reach. Plain `sq` where nothing of the name is left.
 */
export function prefixOf(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, LONGEST_NAME)
    .replace(/_+$/, '');
  return plain === '' || plain === 'sq' ? 'sq' : `sq_${plain}`;
}

/** Any text inside a C comment: what could end it, splice lines or is not ASCII becomes a dot. */
export function comment(text: string): string {
  const plain = text.replace(/[^A-Za-z0-9 _.,:;()[\]<>=+/-]/g, '.').replace(/\/{2,}/g, '/');
  return plain.length > LONGEST_COMMENT ? `${plain.slice(0, LONGEST_COMMENT - 3)}...` : plain;
}

/** A float32 as a hexadecimal literal: read without rounding by every compiler. Throws for what has none. */
export function floatLiteral(value: number, what: string): string {
  const x = Math.fround(value);
  if (!Number.isFinite(x))
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected finite numbers for C but received ${value} for ${what}.`,
    );
  if (x === 0) return Object.is(x, -0) ? '-0.0f' : '0.0f';
  let [mantissa, exponent] = [Math.abs(x), 0];
  for (; mantissa >= 2; mantissa /= 2) exponent++;
  for (; mantissa < 1; mantissa *= 2) exponent--;
  const fraction = ((mantissa - 1) * 2 ** 24).toString(16).padStart(6, '0').replace(/0+$/, '');
  return `${x < 0 ? '-' : ''}0x1${fraction && `.${fraction}`}p${exponent}f`;
}

/** An int32; the least has no literal of its own. */
export function intLiteral(value: number): string {
  return value === -(2 ** 31) ? 'INT32_MIN' : String(value);
}
