import { log, roundHalfEven } from '../kernels/math.ts';
import type { RangeStatistics } from './ranges.ts';

/** Clipping ends tried per side, as shares of the extreme; finer gains less than the histogram's bins allow. */
const SHARES = 40;
/** Rounds of narrowing around the best pair of ends, each with half the stride. */
const REFINEMENTS = 3;
/** Clipping below this share of the range never won on a real activation and would starve the search. */
const LEAST_SHARE = 0.02;

type Range = [number, number];

/** Cuts the tail mass beyond `percent` on each side that has one. */
export function percentileRange({ low, high, counts, min, max }: RangeStatistics, percent: number): Range {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const tail = total * (1 - percent / 100);
  const width = (high - low) / counts.length;
  let [first, last] = [0, counts.length - 1];
  for (let sum = counts[first]; sum <= tail && first < last; sum += counts[first]) first++;
  for (let sum = counts[last]; sum <= tail && last > first; sum += counts[last]) last--;
  return [min >= 0 ? 0 : Math.max(low + first * width, min), Math.min(low + (last + 1) * width, max)];
}

/** Bins that hold something: their centres and counts. */
function occupied({ low, high, counts }: RangeStatistics): { centres: Float64Array; mass: Float64Array } {
  const width = (high - low) / counts.length;
  const used = [...counts.keys()].filter((bin) => counts[bin] > 0);
  return {
    centres: Float64Array.from(used, (bin) => low + (bin + 0.5) * width),
    mass: Float64Array.from(used, (bin) => counts[bin]),
  };
}

/** Σ count * (centre - its nearest level)² with the zero point that rangeQuantizer would choose. */
function squaredError(
  centres: Float64Array,
  mass: Float64Array,
  low: number,
  high: number,
  last: number,
): number {
  const scale = (high - low) / last;
  const zeroPoint = Math.min(Math.max(roundHalfEven(-low / scale), 0), last);
  const inverse = 1 / scale;
  let sum = 0;
  for (let i = 0; i < centres.length; i++) {
    let level = roundHalfEven(centres[i] * inverse);
    if (level < -zeroPoint) level = -zeroPoint;
    else if (level > last - zeroPoint) level = last - zeroPoint;
    const error = centres[i] - level * scale;
    sum += mass[i] * error * error;
  }
  return sum;
}

/** The range of least squared error over the histogram: grids over each end, then narrower ones around the best. */
export function mseRange(statistics: RangeStatistics, levels: number): Range {
  const { centres, mass } = occupied(statistics);
  const [bottom, top] = [Math.min(statistics.min, 0), Math.max(statistics.max, 0)];
  let best: Range = [bottom, top];
  let least = squaredError(centres, mass, bottom, top, levels - 1);
  const attempt = (low: number, high: number) => {
    if (!(high > low) || low < bottom || high > top) return;
    const error = squaredError(centres, mass, low, high, levels - 1);
    if (error < least) [least, best] = [error, [low, high]];
  };
  // Clipping is nearly separable: both ends together, then one at a time around the best other end, twice.
  const shares = Array.from(
    { length: SHARES },
    (_, i) => LEAST_SHARE + ((1 - LEAST_SHARE) * (i + 1)) / SHARES,
  );
  for (const share of shares) attempt(share * bottom, share * top);
  for (let round = 0; round < 2 && bottom < 0 && top > 0; round++) {
    const [low] = best;
    for (const share of shares) attempt(low, share * top);
    const [, high] = best;
    for (const share of shares) attempt(share * bottom, high);
  }
  for (let round = 0, stride = 1 / SHARES; round < REFINEMENTS; round++, stride /= 2) {
    const [low, high] = best;
    for (const i of [-1, -0.5, 0, 0.5, 1])
      for (const j of [-1, -0.5, 0, 0.5, 1]) attempt(low + i * stride * bottom, high + j * stride * top);
  }
  return best;
}

/**
 * The range whose quantized histogram diverges least from the clipped one (the calibration known from int8
 * inference libraries): both ends shrink together; mass beyond them counts in the outermost bins of P but not of Q.
 */
export function entropyRange(statistics: RangeStatistics, levels: number): Range {
  const { low, high } = statistics;
  const counts = statistics.counts.slice();
  const width = (high - low) / counts.length;
  const zero = Math.min(Math.max(Math.floor(-low / width), 0), counts.length - 1);
  // Zeros (half of what a Relu leaves) are exact whatever the range: their bin counts no more than its neighbours.
  counts[zero] = Math.min(counts[zero], Math.max(counts[zero - 1] ?? 0, counts[zero + 1] ?? 0));
  const reach = Math.max(counts.length - zero, zero + 1);
  let best: Range = [low, high];
  let least = Number.POSITIVE_INFINITY;
  const stride = Math.max(1, Math.floor(reach / 128));
  for (let span = Math.min(levels, reach); span <= reach; span += stride) {
    const first = Math.max(0, zero - Math.ceil((span * (zero + 1)) / reach) + 1);
    const last = Math.min(counts.length, zero + Math.ceil((span * (counts.length - zero)) / reach));
    const divergence = clippedDivergence(counts, first, last, levels);
    if (divergence < least) [least, best] = [divergence, [low + first * width, low + last * width]];
  }
  return best;
}

/** KL in nats of bins [first, last) with the clipped mass at the ends, against their spread over `levels` groups. */
function clippedDivergence(counts: Float64Array, first: number, last: number, levels: number): number {
  const p = counts.slice(first, last);
  const inside = p.reduce((sum, count) => sum + count, 0);
  if (inside === 0) return Number.POSITIVE_INFINITY;
  p[0] += counts.subarray(0, first).reduce((sum, count) => sum + count, 0);
  p[p.length - 1] += counts.subarray(last).reduce((sum, count) => sum + count, 0);
  const total = p.reduce((sum, count) => sum + count, 0);
  let divergence = 0;
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * p.length) / levels);
    const to = Math.floor(((level + 1) * p.length) / levels);
    let [sum, used] = [0, 0];
    for (let bin = from; bin < to; bin++) {
      sum += counts[first + bin];
      if (p[bin] > 0) used++;
    }
    // A group that holds only clipped mass would diverge without bound; one count keeps it finite but costly.
    const q = Math.max(sum, 1) / Math.max(used, 1) / inside;
    for (let bin = from; bin < to; bin++)
      if (p[bin] > 0) divergence += (p[bin] / total) * (log(p[bin] / total) - log(q));
  }
  return divergence;
}
