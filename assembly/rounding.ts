/**
 * Rounding half to even of small float32 numbers: adding 1.5 * 2^23 leaves the integer in the low bits. Faster than
 * f32x4.nearest and trunc_sat, which take several instructions each on x86.
 */
export const MAGIC: f32 = 12582912.0;

/** 1.5 * 2^52, the same for float64. */
const MAGIC_DOUBLE: f64 = 6755399441055744.0;

/** f32x4 -> f32x4 of whole numbers for |x| < 2^22. */
@inline
export function roundSmallFloat(x: v128): v128 {
  return f32x4.sub(f32x4.add(x, f32x4.splat(MAGIC)), f32x4.splat(MAGIC));
}

/** For |x| < 2^22. */
@inline
export function roundSmallScalar(x: f32): f32 {
  return x + MAGIC - MAGIC;
}

/** For |x| < 2^51; +0 where the result is zero. */
@inline
export function roundDouble(x: f64): f64 {
  return x + MAGIC_DOUBLE - MAGIC_DOUBLE;
}

/** min(max(x, low), high) in one instruction each; NaN stays NaN. */
@inline
export function limit(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, low), high);
}

/**
 * min(max(x, low), high) as Math.max and Math.min do it, NaN staying NaN and -0 below +0, for limits that are not
 * -0. Comparing and selecting is half the instructions of f32x4.min and f32x4.max on x86.
 */
@inline
export function limitFloats(x: v128, low: v128, high: v128): v128 {
  const above = v128.bitselect(low, x, f32x4.le(x, low));
  return v128.bitselect(high, above, f32x4.ge(above, high));
}

/** NaN becomes 0. */
@inline
export function withoutNaN(x: v128): v128 {
  return v128.and(x, f32x4.eq(x, x));
}

@inline
function lowByte(x: v128): v128 {
  return v128.and(f32x4.add(x, f32x4.splat(MAGIC)), i32x4.splat(255));
}

/**
 * Sixteen floats, |x| < 2^22, rounded and then added to the bytes of `zero`. All modulo 256, so that it does not matter
 * whether the bytes are signed.
 */
@inline
export function roundToBytes(a: v128, b: v128, c: v128, d: v128, zero: v128): v128 {
  const low = i16x8.narrow_i32x4_s(lowByte(a), lowByte(b));
  const high = i16x8.narrow_i32x4_s(lowByte(c), lowByte(d));
  return i8x16.add(i8x16.narrow_i16x8_u(low, high), zero);
}
