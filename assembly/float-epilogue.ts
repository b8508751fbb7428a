import { copyShort, storeFour } from './epilogue';
import { own } from './own';
import { limitFloats } from './rounding';

/** Of the call that is running. */
let least: f32 = 0;
let most: f32 = 0;

export function setRange(low: f32, high: f32): void {
  least = low;
  most = high;
}

@inline
function limited(sum: v128, bias: v128): v128 {
  return limitFloats(f32x4.add(sum, bias), f32x4.splat(least), f32x4.splat(most));
}

/** Writes `count` (1..8) outputs of one pixel. */
@inline
export function finishFloat(out: usize, count: i32, low: v128, high: v128, biasLow: v128, biasHigh: v128): void {
  const to = count == 8 ? out : own;
  v128.store(to, limited(low, biasLow));
  v128.store(to, limited(high, biasHigh), 16);
  if (count != 8) copyShort(out, own, count << 2);
}

/** Writes `count` (1..4) channels of up to four pixels. */
@inline
export function finishFourFloats(
  out: usize, outStride: usize, pixels: i32, count: i32, s0: v128, s1: v128, s2: v128, s3: v128, bias: v128,
): void {
  storeFour(out, outStride, pixels, count, limited(s0, bias), limited(s1, bias), limited(s2, bias), limited(s3, bias));
}
