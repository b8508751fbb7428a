/**
 * Logarithm, exponential and rounding that give the same bits on every backend: only float64 additions,
 * multiplications and divisions in a fixed order, never the platform's libm. After FreeBSD's msun (e_log.c,
 * e_exp.c; Copyright 1993 Sun Microsystems, freely distributable), error below one unit in the last place.
 */

import type { ConvShape } from './kernels.ts';

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const INVERSE_LN2 = Math.LOG2E;
const TWO_54 = 2 ** 54;
/** High word of sqrt(2)/2, from which the mantissa's range starts. */
const SQRT_HALF_HIGH = 0x3fe6a09e;

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

/** Natural logarithm; -Infinity at 0, NaN below. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let exponent = 0;
  if (x < 2.2250738585072014e-308) {
    exponent = -54;
    x *= TWO_54;
  }
  float[0] = x;
  const high = words[1] + (0x3ff00000 - SQRT_HALF_HIGH);
  exponent += (high >>> 20) - 0x3ff;
  words[1] = (high & 0x000fffff) + SQRT_HALF_HIGH;
  const f = float[0] - 1;
  const half = 0.5 * f * f;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const t1 = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const t2 =
    z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  return s * (half + (t2 + t1)) + exponent * LN2_LOW - half + f + exponent * LN2_HIGH;
}

/** e^x; 0 below -745.13, Infinity above 709.78. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019411) return 0;
  const k = Math.trunc(INVERSE_LN2 * x + (x < 0 ? -0.5 : 0.5));
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const rr = r * r;
  const c =
    r -
    rr *
      (0.16666666666666602 +
        rr *
          (-0.0027777777777015593 +
            rr * (0.00006613756321437934 + rr * (-0.0000016533902205465252 + rr * 4.1381367970572385e-8))));
  const y = 1 + ((r * c) / (2 - c) - low + high);
  return k > -1022
    ? k > 1023
      ? y * 2 * powerOfTwo(k - 1)
      : y * powerOfTwo(k)
    : y * powerOfTwo(k + 1000) * powerOfTwo(-1000);
}

/** 2^k for -1022 <= k <= 1023. */
function powerOfTwo(k: number): number {
  words[0] = 0;
  words[1] = (k + 1023) << 20;
  return float[0];
}

/** Adding and taking away 1.5 * 2^52 leaves the nearest integer, ties to even, for |x| < 2^51. */
export const ROUND = 1.5 * 2 ** 52;

/** Half to even. Exact for |x| < 2^51; larger numbers have no fraction worth keeping here. */
export function roundHalfEven(x: number): number {
  return Math.abs(x) < 2 ** 51 ? x + ROUND - ROUND : x;
}

/** Runs of a weight gradient: as many as share work well, each long enough to pay, all their sums in 16 MiB. */
const MOST_RUNS = 16;
const LEAST_RUN = 64;
const RUN_SUMS = 2 ** 22;

/** Output positions per run of a weight gradient (see `floatConvGradient`). */
export function gradientRun(s: ConvShape): number {
  const positions = s.batch * s.outHeight * s.outWidth;
  const weights = s.outChannels * s.kernelHeight * s.kernelWidth * (s.inChannels / s.groups);
  const runs = Math.min(MOST_RUNS, Math.floor(RUN_SUMS / weights), Math.ceil(positions / LEAST_RUN));
  return Math.ceil(positions / Math.max(runs, 1));
}
