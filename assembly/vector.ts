import { eight } from './bits';
import { own } from './own';

/**
 * One row of activations times one panel, the weights taken from their packed form: read once, so never written down.
 * Weights below 8 bits are taken unsigned; 2^(bits-1) times the sum of the activations puts that right.
 */
const PAIRS_IN_BLOCK: usize = 8;

/** The eight sums of the last `multiplyVector`. */
@inline
export function rowProducts(): usize {
  return own;
}

@inline
function products(a: usize, from: usize, length: usize, bits: i32): void {
  let low = v128.load(own), high = low;
  for (const end = from + (length >> 3) * bits; from < end; from += <usize>bits << 4) {
    let x = v128.load_splat<i32>(a);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 0)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 1)));
    x = v128.load_splat<i32>(a, 4);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 2)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 3)));
    x = v128.load_splat<i32>(a, 8);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 4)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 5)));
    x = v128.load_splat<i32>(a, 12);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 6)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 7)));
    x = v128.load_splat<i32>(a, 16);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 8)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 9)));
    x = v128.load_splat<i32>(a, 20);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 10)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 11)));
    x = v128.load_splat<i32>(a, 24);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 12)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 13)));
    x = v128.load_splat<i32>(a, 28);
    low = i32x4.add(low, i32x4.dot_i16x8_s(x, eight(from, bits, 14)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(x, eight(from, bits, 15)));
    a += PAIRS_IN_BLOCK << 2;
  }
  v128.store(own, low);
  v128.store(own, high, 16);
}

/** One function per width, as in bits.ts. */
function products2(a: usize, from: usize, length: usize): void {
  products(a, from, length, 2);
}
function products3(a: usize, from: usize, length: usize): void {
  products(a, from, length, 3);
}
function products4(a: usize, from: usize, length: usize): void {
  products(a, from, length, 4);
}
function products5(a: usize, from: usize, length: usize): void {
  products(a, from, length, 5);
}
function products6(a: usize, from: usize, length: usize): void {
  products(a, from, length, 6);
}
function products7(a: usize, from: usize, length: usize): void {
  products(a, from, length, 7);
}
function products8(a: usize, from: usize, length: usize): void {
  products(a, from, length, 8);
}

/**
 * a int16 [depth], then at least 32 bytes that may be overwritten; the panel at `from` has `length` bytes when decoded.
 * `offset` is what correctionOf returned for these activations.
 */
export function multiplyVector(a: usize, offset: i32, from: usize, length: usize, bits: i32): void {
  v128.store(own, i32x4.splat(offset));
  if (bits == 2) products2(a, from, length);
  else if (bits == 3) products3(a, from, length);
  else if (bits == 4) products4(a, from, length);
  else if (bits == 5) products5(a, from, length);
  else if (bits == 6) products6(a, from, length);
  else if (bits == 7) products7(a, from, length);
  else products8(a, from, length);
}

/** What the sums of one row begin with, so that unsigned weights count as signed ones. Zeroes what follows the row. */
export function correctionOf(a: usize, depth: i32, bits: i32): i32 {
  memory.fill(a + (<usize>depth << 1), 0, 2 * PAIRS_IN_BLOCK << 1);
  if (bits == 8) return 0;
  let sums = i32x4.splat(0);
  for (const end = a + (<usize>depth << 1); a < end; a += 16)
    sums = i32x4.add(sums, i32x4.dot_i16x8_s(v128.load(a), i16x8.splat(1)));
  const total =
    i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
  return -(total << (bits - 1));
}
