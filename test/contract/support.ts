import assert from 'node:assert/strict';
import type { ByteArray, Kernels } from '../../lib/kernels/kernels.ts';
import { createReference } from '../../lib/kernels/reference.ts';

/** Sizes around every vector width, and the empty one. */
export const SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 65, 127, 1000];
/** Enough for several threads; enough to go past the caches (native/spread-inl.h): bytes and floats. */
export const LONG = 300_007;
export const LONGEST_BYTES = 2 ** 24 + 12_345;
export const LONGEST_FLOATS = 2 ** 22 + 12_345;
export const BITS = [2, 3, 4, 5, 6, 7, 8];

export const oracle = createReference();

/** Seeded uniform numbers in [0, 1): mulberry32. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Views at odd byte offsets and at odd element offsets, so that nobody relies on alignment. */
export function bytes(type: 'int8' | 'uint8', n: number, fill: (i: number) => number, offset = 1): ByteArray {
  const view =
    type === 'int8'
      ? new Int8Array(new ArrayBuffer(n + offset), offset)
      : new Uint8Array(new ArrayBuffer(n + offset), offset);
  for (let i = 0; i < n; i++) view[i] = fill(i);
  return view;
}

export function floats(n: number, fill: (i: number) => number): Float32Array {
  const view = new Float32Array(new ArrayBuffer(4 * n + 4), 4);
  for (let i = 0; i < n; i++) view[i] = fill(i);
  return view;
}

export const normal = (next: () => number) => () => (next() + next() + next() + next() - 2) * 1.7;
export const signedRange = (bits: number): [number, number] => [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
export const between = (next: () => number, low: number, high: number) => () =>
  low + Math.floor(next() * (high - low + 1));

export function same(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assert.equal(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++)
    if (actual[i] !== expected[i] && !(Number.isNaN(actual[i]) && Number.isNaN(expected[i])))
      assert.fail(`${what}: [${i}] is ${actual[i]}, expected ${expected[i]}`);
}

/** `period` over and over, n elements. */
export function repeated<T extends Float32Array | ByteArray>(period: T, n: number): T {
  const whole = new (period.constructor as new (length: number) => T)(n);
  for (let i = 0; i < n; i += period.length) whole.set(period.subarray(0, n - i), i);
  return whole;
}

/** That `actual` repeats `period`: lets the oracle answer for arrays that would take it seconds. */
export function repeats(actual: ArrayLike<number>, period: ArrayLike<number>, what: string): void {
  for (let i = 0, j = 0; i < actual.length; i++, j = j + 1 === period.length ? 0 : j + 1)
    if (actual[i] !== period[j]) assert.fail(`${what}: [${i}] is ${actual[i]}, expected ${period[j]}`);
}

/** Runs one verb on the tested kernels and on the oracle with fresh outputs and compares them to the bit. */
export function exactly<T extends ArrayLike<number>>(
  kernels: Kernels,
  output: () => T,
  run: (kernels: Kernels, out: T) => void,
  what: string,
): void {
  const [actual, expected] = [output(), output()];
  run(kernels, actual);
  run(oracle, expected);
  same(actual, expected, what);
}

const single = new Float64Array(1);
const bits64 = new BigInt64Array(single.buffer);

/** a*b + c rounded once to float32: the sum in float64, rounded to odd by its error, then to float32. */
export function fusedMultiplyAdd(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  const back = sum - product;
  const error = product - (sum - back) + (c - back);
  if (error === 0) return Math.fround(sum);
  single[0] = sum;
  if ((bits64[0] & 1n) === 0n) bits64[0] += error > 0 === sum > 0 ? 1n : -1n;
  return Math.fround(single[0]);
}
