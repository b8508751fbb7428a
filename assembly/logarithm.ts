/** `log` of lib/kernels/math.ts, operation by operation: the same bits. After FreeBSD's msun, e_log.c. */
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;
const TWO_54: f64 = 18014398509481984.0;
const SQRT_HALF_HIGH: u32 = 0x3fe6a09e;

export function log(x: f64): f64 {
  if (!(x > 0)) return x == 0 ? -Infinity : NaN;
  if (x == Infinity) return x;
  let exponent: i32 = 0;
  if (x < 2.2250738585072014e-308) {
    exponent = -54;
    x *= TWO_54;
  }
  const bits = reinterpret<u64>(x);
  const high = <u32>(bits >> 32) + (0x3ff00000 - SQRT_HALF_HIGH);
  exponent += <i32>(high >>> 20) - 0x3ff;
  const mantissa = (high & 0x000fffff) + SQRT_HALF_HIGH;
  const f = reinterpret<f64>((<u64>mantissa << 32) | (bits & 0xffffffff)) - 1.0;
  const e = <f64>exponent;
  const half = 0.5 * f * f;
  const s = f / (2.0 + f);
  const z = s * s;
  const w = z * z;
  const t1 = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const t2 =
    z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  return s * (half + (t2 + t1)) + e * LN2_LOW - half + f + e * LN2_HIGH;
}
