/** Adds x[2j] * w[2j] + x[2j+1] * w[2j+1] of int16 to lane j. */
@inline
export function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}
