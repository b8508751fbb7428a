import { refuse } from '../errors.ts';
import { roundHalfEven } from '../kernels/math.ts';
import { bitWidth } from './bitwidth.ts';
import type { Quantizer } from './quantizer.ts';
import { entropyRange, mseRange, percentileRange } from './range-search.ts';

/** How a range of activations is chosen: the extremes, a share of the values, least squared error, least divergence. */
export type RangeMethod = 'minmax' | 'percentile' | 'mse' | 'entropy';

/** What calibration knows of a tensor's values: extremes, and a histogram over [low, high]. */
export interface RangeStatistics {
  min: number;
  max: number;
  low: number;
  high: number;
  counts: Float64Array;
}

/** Values beyond it are clipped by `percentile`: one in ten thousand per tail, the usual choice. */
const PERCENTILE = 99.99;
/** Two scales' product stays a normal float32 down to here: (2^-60)^2 = 2^-120. */
export const LEAST_SCALE = 2 ** -60;
/** Products of two scales stay finite up to here. */
const LARGEST_SCALE = 2 ** 60;

/** One row per method: the clipping range, before zero is made representable. */
const methods: Record<RangeMethod, (statistics: RangeStatistics, levels: number) => [number, number]> = {
  minmax: ({ min, max }) => [min, max],
  percentile: (statistics) => percentileRange(statistics, PERCENTILE),
  mse: (statistics, levels) => mseRange(statistics, levels),
  entropy: (statistics, levels) => entropyRange(statistics, levels),
};

/**
 * The quantizer of an activation: unsigned, affine, zero exactly representable; never-negative tensors have zero
 * point 0. Throws INVALID_ARGUMENT for a width that is not offered or statistics that are not finite.
 */
export function chooseQuantizer(
  statistics: RangeStatistics,
  bits: number,
  method: RangeMethod = 'mse',
): Quantizer {
  const { levels } = bitWidth(bits);
  const { min, max } = statistics;
  if (!Object.hasOwn(methods, method)) refuse(`one of ${Object.keys(methods).join(', ')}`, 'method', method);
  if (!Number.isFinite(min) || !Number.isFinite(max) || min > max)
    refuse('finite min <= max', 'the range of an activation', `${min}, ${max}`);
  if (min === max || method === 'minmax') return rangeQuantizer(min, max, bits);
  const [low, high] = methods[method](statistics, levels);
  return rangeQuantizer(Math.max(low, min), Math.min(high, max), bits);
}

/** The unsigned quantizer whose levels span [low, high] and zero. */
export function rangeQuantizer(low: number, high: number, bits: number): Quantizer {
  const last = bitWidth(bits).levels - 1;
  const from = Math.min(low, 0);
  const to = Math.max(high, 0);
  const step = (to - from) / last;
  const scale = step > 0 ? Math.fround(Math.min(Math.max(step, LEAST_SCALE), LARGEST_SCALE)) : 1;
  const zeroPoint = Math.min(Math.max(roundHalfEven(-from / scale), 0), last);
  return { bits, scale, zeroPoint: zeroPoint + 0, low: 0, high: last };
}
