import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { malformedAt } from './layout.ts';

/** How the numbers of a list are stored: the first of these that holds all of them exactly. */
const WHOLE = 0;
const SINGLE = 1;
const DOUBLE = 2;
/** Twice its size and its sign still fit 53 bits. */
const LARGEST_WHOLE = 2 ** 52;

function formatOf(values: readonly number[]): number {
  const isWhole = (x: number) => Number.isInteger(x) && Math.abs(x) < LARGEST_WHOLE && !Object.is(x, -0);
  if (values.every(isWhole)) return WHOLE;
  return values.every((x) => Object.is(Math.fround(x), x)) ? SINGLE : DOUBLE;
}

/** The format and the numbers; how many there are is for the caller to write. */
export function writeNumbers(writer: ByteWriter, values: readonly number[]): void {
  const format = formatOf(values);
  writer.byte(format);
  for (const value of values) {
    if (format === WHOLE) writer.count(value < 0 ? -2 * value - 1 : 2 * value);
    else if (format === SINGLE) writer.float32(value);
    else writer.float64(value);
  }
}

/** Throws where the section cannot hold `count` numbers. */
export function readNumbers(reader: ByteReader, count: number, what: string): number[] {
  const format = reader.byte(`the format of ${what}`, WHOLE, DOUBLE);
  if (count > reader.left) malformedAt(reader.at, `${count} numbers of ${what}`, `${reader.left} bytes`);
  const values: number[] = [];
  for (let i = 0; i < count; i++) {
    if (format === SINGLE) values.push(reader.float32(what));
    else if (format === DOUBLE) values.push(reader.float64(what));
    else {
      const folded = reader.count(what, Number.MAX_SAFE_INTEGER);
      values.push(folded % 2 === 1 ? -(folded + 1) / 2 : folded / 2);
    }
  }
  return values;
}
