import { refuse } from '../errors.ts';
import { bitWidth } from '../quant/bitwidth.ts';

/**
 * What the cycles and the energy of a multiplier depend on, as means over a layer's integers. Digits are those of the
 * magnitude |q|, set bits those of two's complement.
 */
export interface WeightDigits {
  /** Stored width. */
  bits: number;
  /** Share of integers that are not zero. */
  nonZero: number;
  /** max(1, set bits of |q|): cycles of a design that skips zero bits, and spends one on a zero. */
  digits: number;
  /** Set bits of q in `bits` bits. */
  setBits: number;
  /** Set bits of q sign-extended to 8 bits: rows of an 8-bit array multiplier that add something. */
  extendedBits: number;
  /** Bits of q sign-extended to 8 bits that change from one weight to the next, neighbours taken as independent. */
  toggles: number;
}

/** int8 values, -128 first. */
const VALUES = 256;
const LOWEST = -128;
const REGISTER_BITS = 8;

/** Of a layer's integers. Throws INVALID_ARGUMENT for none and for one that `bits` bits do not hold. */
export function digitsOf(q: Int8Array, bits: number): WeightDigits {
  const counts = new Float64Array(VALUES);
  for (let i = 0; i < q.length; i++) counts[q[i] - LOWEST]++;
  return digitsOfCounts(counts, bits);
}

/** Of how often each int8 value occurs, counts or probabilities, [256] from -128 up. Throws as digitsOf. */
export function digitsOfCounts(counts: Float64Array, bits: number): WeightDigits {
  const { low, high } = bitWidth(bits);
  const sums = { total: 0, nonZero: 0, digits: 0, setBits: 0, extendedBits: 0 };
  const ones = new Float64Array(REGISTER_BITS);
  for (let value = LOWEST; value < LOWEST + VALUES; value++) {
    const count = counts[value - LOWEST];
    if (count === 0) continue;
    if (value < low || value > high) refuse(`integers from ${low} to ${high}`, 'weights', value);
    sums.total += count;
    if (value !== 0) sums.nonZero += count;
    sums.digits += count * Math.max(1, setBits(Math.abs(value)));
    sums.setBits += count * setBits(value & (2 ** bits - 1));
    sums.extendedBits += count * setBits(value & (2 ** REGISTER_BITS - 1));
    for (let bit = 0; bit < REGISTER_BITS; bit++) if ((value >> bit) & 1) ones[bit] += count;
  }
  const { total } = sums;
  if (total === 0) refuse('at least one integer', 'weights', 'none');
  return {
    bits,
    nonZero: sums.nonZero / total,
    digits: sums.digits / total,
    setBits: sums.setBits / total,
    extendedBits: sums.extendedBits / total,
    toggles: ones.reduce((sum, count) => sum + 2 * (count / total) * (1 - count / total), 0),
  };
}

function setBits(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** How far the integers of an assumed distribution are told apart, in standard deviations. */
const GRID = { reach: 6, step: 0.001 };

/**
 * Of Gaussian weights at the scale of least squared error: what is assumed of a layer whose integers are not known
 * yet. Real layers have more zeros where training made them sparse.
 */
export function gaussianDigits(bits: number): WeightDigits {
  let digits = assumed.get(bits);
  if (!digits) {
    digits = digitsOfCounts(gaussianCounts(bits, clipOfLeastError(bits)), bits);
    assumed.set(bits, digits);
  }
  return digits;
}

const assumed = new Map<number, WeightDigits>();

/** Probability of each int8 value for unit Gaussian weights whose largest integer stands for `clip`. */
export function gaussianCounts(bits: number, clip: number): Float64Array {
  const density = (x: number) => Math.exp((-x * x) / 2);
  return countsOf(bits, clip, density, GRID.reach);
}

/** The same for Laplacian weights of scale 1 (density exp(-|x|) / 2). */
export function laplacianCounts(bits: number, clip: number): Float64Array {
  return countsOf(bits, clip, (x) => Math.exp(-Math.abs(x)), 4 * GRID.reach);
}

function countsOf(bits: number, clip: number, density: (x: number) => number, reach: number): Float64Array {
  const { high } = bitWidth(bits);
  const counts = new Float64Array(VALUES);
  let total = 0;
  for (let i = -Math.round(reach / GRID.step); i <= Math.round(reach / GRID.step); i++) {
    const x = i * GRID.step;
    const q = Math.min(Math.max(Math.round((x * high) / clip), -high), high);
    counts[q - LOWEST] += density(x);
    total += density(x);
  }
  return counts.map((count) => count / total);
}

/** Standard deviations at which clipping costs Gaussian weights the least squared error. */
export function clipOfLeastError(bits: number): number {
  const { high } = bitWidth(bits);
  const error = (clip: number) => {
    const scale = clip / high;
    let sum = 0;
    for (let x = -GRID.reach; x <= GRID.reach; x += 20 * GRID.step) {
      const q = Math.min(Math.max(Math.round(x / scale), -high), high);
      sum += (x - q * scale) ** 2 * Math.exp((-x * x) / 2);
    }
    return sum;
  };
  const clips = Array.from({ length: 401 }, (_, i) => 0.5 + i / 100);
  return clips.reduce((best, clip) => (error(clip) < error(best) ? clip : best));
}
