import { roundHalfEven } from '../kernels/math.ts';
import { bitWidth } from './bitwidth.ts';
import { LEAST_SCALE } from './ranges.ts';

/**
 * Shares of the max-abs scale that are tried before the best is polished: evenly down to a half, where wide
 * formats have their optimum, then by ratios for narrow ones and for outliers that meet no input.
 */
const SHARES = [
  ...Array.from({ length: 32 }, (_, i) => 1 - (i + 1) / 64),
  ...Array.from({ length: 16 }, (_, i) => 0.5 * 0.87 ** (i + 1)),
];
/** Alternating least squares settles within a few rounds. */
const POLISH_ROUNDS = 6;
/** An integer bias of at most 2^30 leaves room for the sum of products beside it in int32. */
const BIAS_LIMIT = 2 ** 30;

/** Smallest float32 that is not below x > 0. */
function roundUp(x: number): number {
  const single = Math.fround(x);
  return single >= x ? single : Math.fround(x * (1 + 2 ** -23));
}

/** The scale below which a channel's integer bias would pass 2^30: |bias| / (inputScale * 2^30), and at least 2^-60. */
export function leastScale(bias: number, inputScale: number): number {
  return roundUp(Math.max(Math.abs(bias) / (inputScale * BIAS_LIMIT), LEAST_SCALE));
}

/** The smallest scale that clips nothing. 0 where all weights are 0. */
export function maxAbsScale(row: Float32Array, low: number, high: number): number {
  let scale = 0;
  for (let i = 0; i < row.length; i++) scale = Math.max(scale, row[i] / (row[i] < 0 ? low : high));
  return scale;
}

/** Σ importance * (w - q*scale)² with q the nearest integer of [low, high]; float64, k ascending. */
export function rowError(
  row: Float32Array,
  importance: Float64Array | null,
  scale: number,
  low: number,
  high: number,
): number {
  const inverse = 1 / scale;
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    let q = roundHalfEven(row[i] * inverse);
    if (q < low) q = low;
    else if (q > high) q = high;
    const error = row[i] - q * scale;
    sum += importance === null ? error * error : importance[i] * error * error;
  }
  return sum;
}

/** The scale of least squared error for the integers that `scale` gives: Σ i*w*q / Σ i*q². 0 where all q are 0. */
function refit(
  row: Float32Array,
  importance: Float64Array | null,
  scale: number,
  low: number,
  high: number,
): number {
  const inverse = 1 / scale;
  let [cross, power] = [0, 0];
  for (let i = 0; i < row.length; i++) {
    let q = roundHalfEven(row[i] * inverse);
    if (q < low) q = low;
    else if (q > high) q = high;
    const weighted = importance === null ? q : importance[i] * q;
    cross += weighted * row[i];
    power += weighted * q;
  }
  return power > 0 ? cross / power : 0;
}

/**
 * The float32 scale of one output channel with the least (importance-weighted) squared error: a grid of clipping
 * shares, then alternating least squares from the best. Never worse than the max-abs scale, never below `floor`.
 */
export function searchScale(
  row: Float32Array,
  importance: Float64Array | null,
  bits: number,
  floor: number,
): number {
  const { low, high } = bitWidth(bits);
  const widest = roundUp(Math.max(maxAbsScale(row, low, high), floor));
  if (widest === floor) return floor;
  let best = widest;
  let least = rowError(row, importance, widest, low, high);
  const attempt = (candidate: number): boolean => {
    const scale = Math.max(Math.fround(candidate), floor);
    const error = rowError(row, importance, scale, low, high);
    if (!(error < least)) return false;
    [best, least] = [scale, error];
    return true;
  };
  for (const share of SHARES) attempt(widest * share);
  for (let round = 0; round < POLISH_ROUNDS; round++) {
    const scale = refit(row, importance, best, low, high);
    if (!(scale > 0) || !attempt(scale)) break;
  }
  return best;
}

/**
 * Scales of output channels [first, last), by default all, of weights [outChannels][k]. `importance` holds the second moment of what each
 * weight multiplies, [groups][k], or null for equal importance; floors [outChannels] as leastScale gives them.
 */
export function searchScales(
  weights: Float32Array,
  outChannels: number,
  groups: number,
  bits: number,
  importance: Float64Array | null,
  floors: Float32Array,
  first = 0,
  last = outChannels,
): Float32Array {
  const k = weights.length / outChannels;
  return Float32Array.from({ length: last - first }, (_, i) => {
    const row = first + i;
    const group = Math.floor((row * groups) / outChannels);
    const share = importance?.subarray(group * k, (group + 1) * k) ?? null;
    // Inputs that were never seen active say nothing about which weights matter.
    const useful = share?.some((value) => value > 0) ? share : null;
    return searchScale(weights.subarray(row * k, (row + 1) * k), useful, bits, floors[row]);
  });
}

/** q = clamp(rne(fl(w / scale)), low, high) per output channel: what the quantize verb of the kernels gives. */
export function roundWeights(weights: Float32Array, scales: Float32Array, bits: number): Int8Array {
  const { low, high } = bitWidth(bits);
  const k = weights.length / scales.length;
  return Int8Array.from(weights, (w, i) =>
    Math.min(Math.max(roundHalfEven(Math.fround(w / scales[Math.floor(i / k)])), low), high),
  );
}

/** w = fl(q * scale) per output channel, [outChannels][k]. */
export function dequantizeWeights(q: Int8Array, scales: Float32Array): Float32Array {
  const k = q.length / scales.length;
  const w = new Float32Array(q.length);
  for (let row = 0; row < scales.length; row++)
    for (let i = row * k; i < (row + 1) * k; i++) w[i] = q[i] * scales[row];
  return w;
}
