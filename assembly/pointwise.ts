import { dot } from './dot';
import { finish } from './epilogue';
import { Shape } from './shape';
import { SIGNED_BYTES } from './tile';

/**
 * A matrix product. Its rows of input are read once per panel and by no one else, so they can lie as the micro-kernel
 * wants them: four rows side by side, [pair of k][row][2] int16 less the zero point. One pointer walks over all four:
 * with one for each, the loop waits for their additions.
 */

/** So few rows that decoding weights of 8 bits for them does not pay. */
export const FEW_ROWS: i32 = 8;

/** Bytes of a pair of k of four rows. */
const QUAD_PAIR: usize = 16;

/** Whether the outputs are the products of rows of the input, one after the other. */
export function isPointwise(s: Shape): bool {
  return s.kernelHeight == 1 && s.kernelWidth == 1 && s.groups == 1 && s.strideHeight == 1 && s.strideWidth == 1 &&
    s.padTop == 0 && s.padLeft == 0 && s.inHeight == s.outHeight && s.inWidth == s.outWidth;
}

@inline
function quadBytes(depth: i32): u64 {
  return ((<u64>depth + 1) >> 1) * QUAD_PAIR;
}

export function quadsBytes(rows: i32, depth: i32): u64 {
  return ((<u64>rows + 3) >> 2) * quadBytes(depth);
}

@inline
function eightWords(from: usize, signed: bool, zero: v128): v128 {
  return i16x8.sub(signed ? v128.load_ext<i8>(from) : v128.load_ext<u8>(from), zero);
}

@inline
function word(from: usize, signed: bool, zeroPoint: i32): i32 {
  return (signed ? <i32>load<i8>(from) : <i32>load<u8>(from)) - zeroPoint;
}

@inline
function fillQuad(r0: usize, r1: usize, r2: usize, r3: usize, depth: i32, signed: bool, zeroPoint: i32, to: usize): void {
  const zero = i16x8.splat(<i16>zeroPoint);
  let k = 0;
  for (; k + 8 <= depth; k += 8) {
    const a = eightWords(r0 + k, signed, zero), b = eightWords(r1 + k, signed, zero);
    const c = eightWords(r2 + k, signed, zero), d = eightWords(r3 + k, signed, zero);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7), cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
    v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 16);
    v128.store(to, v128.shuffle<i64>(ab2, cd2, 0, 2), 32);
    v128.store(to, v128.shuffle<i64>(ab2, cd2, 1, 3), 48);
    to += 4 * QUAD_PAIR;
  }
  for (; k < depth; k++) {
    const at = to + ((k & 1) << 1);
    store<i16>(at, <i16>word(r0 + k, signed, zeroPoint));
    store<i16>(at, <i16>word(r1 + k, signed, zeroPoint), 4);
    store<i16>(at, <i16>word(r2 + k, signed, zeroPoint), 8);
    store<i16>(at, <i16>word(r3 + k, signed, zeroPoint), 12);
    if (k & 1) to += QUAD_PAIR;
  }
  if (depth & 1) {
    store<i16>(to, 0, 2);
    store<i16>(to, 0, 6);
    store<i16>(to, 0, 10);
    store<i16>(to, 0, 14);
  }
}

/** Rows of `depth` bytes from a on. Where the last four are fewer, the last stands in for those that are missing. */
export function fillQuads(a: usize, rows: i32, depth: i32, kind: i32, zeroPoint: i32, to: usize): void {
  const bytes = <usize>quadBytes(depth);
  for (let row = 0; row < rows; row += 4) {
    const r0 = a + <usize>row * depth;
    const r1 = a + <usize>min(row + 1, rows - 1) * depth;
    const r2 = a + <usize>min(row + 2, rows - 1) * depth;
    const r3 = a + <usize>min(row + 3, rows - 1) * depth;
    if (kind == SIGNED_BYTES) fillQuad(r0, r1, r2, r3, depth, true, zeroPoint, to);
    else fillQuad(r0, r1, r2, r3, depth, false, zeroPoint, to);
    to += bytes;
  }
}

/** The micro-kernel: all rows times one panel, four rows at a time. */
@inline
function quadRows(
  quads: usize, rows: i32, depth: i32, words: bool, weights: usize,
  bias0: v128, bias1: v128, scale0: v128, scale1: v128, out: usize, outStride: usize, outColumns: i32,
): void {
  const bytes = <usize>quadBytes(depth);
  let a = quads;
  for (let row = 0; row < rows; row += 4) {
    let c00 = bias0, c01 = bias1, c10 = bias0, c11 = bias1;
    let c20 = bias0, c21 = bias1, c30 = bias0, c31 = bias1;
    let w = weights;
    for (const end = a + bytes; a < end; a += QUAD_PAIR) {
      const w0 = words ? v128.load(w) : v128.load_ext<i8>(w);
      const w1 = words ? v128.load(w, 16) : v128.load_ext<i8>(w, 8);
      let x = v128.load_splat<i32>(a);
      c00 = dot(c00, x, w0);
      c01 = dot(c01, x, w1);
      x = v128.load_splat<i32>(a, 4);
      c10 = dot(c10, x, w0);
      c11 = dot(c11, x, w1);
      x = v128.load_splat<i32>(a, 8);
      c20 = dot(c20, x, w0);
      c21 = dot(c21, x, w1);
      x = v128.load_splat<i32>(a, 12);
      c30 = dot(c30, x, w0);
      c31 = dot(c31, x, w1);
      w += words ? 32 : 16;
    }
    finish(out, outColumns, c00, c01, scale0, scale1);
    if (row + 1 < rows) finish(out + outStride, outColumns, c10, c11, scale0, scale1);
    if (row + 2 < rows) finish(out + 2 * outStride, outColumns, c20, c21, scale0, scale1);
    if (row + 3 < rows) finish(out + 3 * outStride, outColumns, c30, c31, scale0, scale1);
    out += 4 * outStride;
  }
}

/** By weights as decodeWords leaves them. */
export function rowsOfWords(
  quads: usize, rows: i32, depth: i32, weights: usize,
  bias0: v128, bias1: v128, scale0: v128, scale1: v128, out: usize, outStride: usize, outColumns: i32,
): void {
  quadRows(quads, rows, depth, true, weights, bias0, bias1, scale0, scale1, out, outStride, outColumns);
}

/** By weights of 8 bits as they are packed: for FEW_ROWS, less work than to decode them first. */
export function rowsInPlace(
  quads: usize, rows: i32, depth: i32, weights: usize,
  bias0: v128, bias1: v128, scale0: v128, scale1: v128, out: usize, outStride: usize, outColumns: i32,
): void {
  quadRows(quads, rows, depth, false, weights, bias0, bias1, scale0, scale1, out, outStride, outColumns);
}
