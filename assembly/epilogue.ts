import { own } from './own';
import { limit, roundToBytes } from './rounding';

/** Types of the output: int32 sums, scaled floats, requantized bytes. lib/kernels/wasm.ts uses the same numbers. */
export const SUMS: i32 = 0;
export const SCALED: i32 = 1;
export const BYTES: i32 = 2;

/** Of the call that is running. */
let kind: i32 = 0;
let least: f32 = 0;
let most: f32 = 0;
let zero: i32 = 0;
export let outputBytes: i32 = 0;

export function setEpilogue(output: i32, outZeroPoint: i32, low: i32, high: i32): void {
  kind = output;
  zero = outZeroPoint;
  least = <f32>(low - outZeroPoint);
  most = <f32>(high - outZeroPoint);
  outputBytes = output == BYTES ? 1 : 4;
}

@inline
function scaled(sums: v128, multipliers: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(sums), multipliers);
}

@inline
function limited(sums: v128, scale: v128): v128 {
  return limit(scaled(sums, scale), f32x4.splat(least), f32x4.splat(most));
}

/** Writes `count` (1..8) outputs of one pixel from their sums. */
@inline
export function finish(out: usize, count: i32, low: v128, high: v128, scaleLow: v128, scaleHigh: v128): void {
  const to = count == 8 ? out : own;
  if (kind == BYTES) {
    const l = limited(low, scaleLow), h = limited(high, scaleHigh);
    v128.store_lane<u64>(to, roundToBytes(l, h, l, h, i8x16.splat(<i8>zero)), 0);
  } else if (kind == SCALED) {
    v128.store(to, scaled(low, scaleLow));
    v128.store(to, scaled(high, scaleHigh), 16);
  } else {
    v128.store(to, low);
    v128.store(to, high, 16);
  }
  if (count != 8) copyShort(out, own, count * outputBytes);
}

/** Writes `count` (1..4) channels of up to four pixels. */
@inline
export function finishFour(
  out: usize, outStride: usize, pixels: i32, count: i32, s0: v128, s1: v128, s2: v128, s3: v128, scale: v128,
): void {
  if (kind == BYTES) {
    const bytes = roundToBytes(
      limited(s0, scale), limited(s1, scale), limited(s2, scale), limited(s3, scale), i8x16.splat(<i8>zero),
    );
    if (pixels >= 4 && count == 4) {
      v128.store_lane<u32>(out, bytes, 0);
      v128.store_lane<u32>(out + outStride, bytes, 1);
      v128.store_lane<u32>(out + 2 * outStride, bytes, 2);
      v128.store_lane<u32>(out + 3 * outStride, bytes, 3);
      return;
    }
    v128.store(own, bytes);
  } else {
    const sums = kind == SUMS;
    storeFour(
      out, outStride, pixels, count,
      sums ? s0 : scaled(s0, scale), sums ? s1 : scaled(s1, scale),
      sums ? s2 : scaled(s2, scale), sums ? s3 : scaled(s3, scale),
    );
    return;
  }
  for (let p: usize = 0; <i32>p < min(pixels, 4); p++) copyShort(out + p * outStride, own + (p << 2), count);
}

/** Stores the first `count` words of up to four vectors, a stride apart. */
@inline
export function storeFour(
  out: usize, outStride: usize, pixels: i32, count: i32, v0: v128, v1: v128, v2: v128, v3: v128,
): void {
  if (pixels >= 4 && count == 4) {
    v128.store(out, v0);
    v128.store(out + outStride, v1);
    v128.store(out + 2 * outStride, v2);
    v128.store(out + 3 * outStride, v3);
    return;
  }
  v128.store(own, v0);
  v128.store(own, v1, 16);
  v128.store(own, v2, 32);
  v128.store(own, v3, 48);
  for (let p: usize = 0; <i32>p < min(pixels, 4); p++) copyShort(out + p * outStride, own + (p << 4), count << 2);
}

/** memory.copy for a few bytes, where its call would cost more than the bytes. */
@inline
export function copyShort(to: usize, from: usize, bytes: i32): void {
  for (; bytes >= 4; bytes -= 4) {
    store<u32>(to, load<u32>(from));
    to += 4;
    from += 4;
  }
  for (; bytes > 0; bytes--) store<u8>(to++, load<u8>(from++));
}

/** Four of up to eight 32-bit values from `first` on, zeros beyond `count` or where there is no array. */
export function partialWords(values: usize, first: i32, count: i32): v128 {
  if (values == 0 || count <= first) return i32x4.splat(0);
  if (count - first >= 4) return v128.load(values + (<usize>first << 2));
  v128.store(own, i32x4.splat(0));
  copyShort(own, values + (<usize>first << 2), (count - first) << 2);
  return v128.load(own);
}
