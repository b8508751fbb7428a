const { abs, ceil, fround, round } = Math;

const INT32_LIMIT = 2 ** 31;
const LARGEST_LEVEL = 255;
/** More would only make the constants longer. */
const MOST_SHIFT = 24;
/** Half a unit for each of 2 * 255 + 1 roundings of constants, and one to be on the safe side. */
const CONSTANT_ERROR = 257;
/** Of the largest sum: two roundings to float32, 2^-24 each, twice. */
const FLOAT_ERROR = 2 ** -22;

/** A sum of two quantized values, y = rne(fl(a*ra + fl(b*rb + fixed))), and the same in fixed point. */
export interface Addition {
  ra: number;
  rb: number;
  fixed: number;
  /** ra, rb and fixed + 1/2 times 2^shift. */
  a: number;
  b: number;
  offset: number;
  /** Nearer to a whole number than this, in units of 2^-shift, the sum in fixed point may be on the wrong side. */
  margin: number;
  shift: number;
}

/**
 * QLinearAdd's constants as the kernels make them (`quantizedAdd`), and the finest fixed point whose sums fit int32.
 * Where there is none, the margin sends every sum to the exact way.
 */
export function additionOf(
  scaleA: number,
  zeroA: number,
  scaleB: number,
  zeroB: number,
  scaleOut: number,
  outZero: number,
): Addition {
  const ra = fround(fround(scaleA) / fround(scaleOut));
  const rb = fround(fround(scaleB) / fround(scaleOut));
  const fixed = fround(outZero - fround(ra * zeroA + fround(rb * zeroB)));
  const largest = LARGEST_LEVEL * (abs(ra) + abs(rb)) + abs(fixed) + 1;
  for (let shift = MOST_SHIFT; shift > 0; shift--) {
    const one = 2 ** shift;
    const margin = CONSTANT_ERROR + ceil(one * largest * FLOAT_ERROR);
    if (largest * one + CONSTANT_ERROR >= INT32_LIMIT || 2 * margin >= one) continue;
    return {
      ra,
      rb,
      fixed,
      a: round(ra * one),
      b: round(rb * one),
      offset: round((fixed + 0.5) * one),
      margin,
      shift,
    };
  }
  return { ra, rb, fixed, a: 0, b: 0, offset: 0, margin: 0, shift: 0 };
}
