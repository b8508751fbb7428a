import { limit, roundSmall } from './rounding';

/** Types of the output: int32 sums, scaled floats, requantized bytes. lib/kernels/wasm.ts uses the same numbers. */
export const SUMS: i32 = 0;
export const SCALED: i32 = 1;
export const BYTES: i32 = 2;

/** Of the call that is running; there is one thread. */
let kind: i32 = 0;
let least: f32 = 0;
let most: f32 = 0;
let zero: i32 = 0;
export let outputBytes: i32 = 0;

const partial = memory.data(32, 16);

export function setEpilogue(output: i32, outZeroPoint: i32, low: i32, high: i32): void {
  kind = output;
  zero = outZeroPoint;
  least = <f32>(low - outZeroPoint);
  most = <f32>(high - outZeroPoint);
  outputBytes = output == BYTES ? 1 : 4;
}

@inline
function requantized(sums: v128, multipliers: v128): v128 {
  const scaled = f32x4.mul(f32x4.convert_i32x4_s(sums), multipliers);
  return i32x4.add(roundSmall(limit(scaled, f32x4.splat(least), f32x4.splat(most))), i32x4.splat(zero));
}

/** Writes `count` (1..8) outputs of one pixel from their sums. */
@inline
export function finish(out: usize, count: i32, low: v128, high: v128, scaleLow: v128, scaleHigh: v128): void {
  const to = count == 8 ? out : partial;
  if (kind == BYTES) {
    const words = v128.and(
      i16x8.narrow_i32x4_s(requantized(low, scaleLow), requantized(high, scaleHigh)),
      i16x8.splat(255),
    );
    v128.store_lane<u64>(to, i8x16.narrow_i16x8_u(words, words), 0);
  } else if (kind == SCALED) {
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(low), scaleLow));
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(high), scaleHigh), 16);
  } else {
    v128.store(to, low);
    v128.store(to, high, 16);
  }
  if (count != 8) memory.copy(out, partial, <usize>(count * outputBytes));
}

/** Four of up to eight 32-bit values from `first` on, zeros beyond `count` or where there is no array. */
export function partialWords(values: usize, first: i32, count: i32): v128 {
  if (values == 0 || count <= first) return i32x4.splat(0);
  if (count - first >= 4) return v128.load(values + (<usize>first << 2));
  v128.store(partial, i32x4.splat(0));
  memory.copy(partial, values + (<usize>first << 2), <usize>(count - first) << 2);
  return v128.load(partial);
}
