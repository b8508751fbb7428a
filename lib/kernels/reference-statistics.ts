import type { ConvShape } from './kernels.ts';
import { log, roundHalfEven } from './math.ts';
import { forEachInput } from './reference-integer.ts';

const { fround } = Math;
const LANES = 16;

/** Σ term(i) in the contract's order: 16 lanes, folded by halves. */
export function laneSum(length: number, term: (i: number) => number): number {
  const lanes = new Float64Array(LANES);
  for (let i = 0; i < length; i++) lanes[i % LANES] += term(i);
  for (let half = LANES / 2; half >= 1; half /= 2) for (let j = 0; j < half; j++) lanes[j] += lanes[j + half];
  return lanes[0];
}

export function moments(x: Float32Array, into: Float64Array): void {
  into[0] = x.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  into[1] = x.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  into[2] = laneSum(x.length, (i) => x[i]);
  into[3] = laneSum(x.length, (i) => x[i] * x[i]);
  into[4] = laneSum(x.length, (i) => x[i] * x[i] * x[i]);
  into[5] = laneSum(x.length, (i) => x[i] * x[i] * (x[i] * x[i]));
}

export function histogram(x: Float32Array, low: number, high: number, counts: Float64Array): void {
  const bins = counts.length;
  const from = fround(low);
  const inverse = fround(bins / fround(fround(high) - from));
  for (let i = 0; i < x.length; i++) {
    const position = fround(fround(x[i] - from) * inverse);
    counts[Math.trunc(Math.min(Math.max(position, 0), bins - 1))]++;
  }
}

export function divergence(p: Float64Array, q: Float64Array, smoothing: number): number {
  const totalP = laneSum(p.length, (i) => p[i] + smoothing);
  const totalQ = laneSum(q.length, (i) => q[i] + smoothing);
  return laneSum(p.length, (i) => {
    const share = (p[i] + smoothing) / totalP;
    return share === 0 ? 0 : share * (log(share) - log((q[i] + smoothing) / totalQ));
  });
}

export function squaredError(a: Float32Array, b: Float32Array): number {
  return laneSum(a.length, (i) => (a[i] - b[i]) * (a[i] - b[i]));
}

export function quantizeError(
  x: Float32Array,
  importance: Float32Array | null,
  scale: number,
  zeroPoint: number,
  low: number,
  high: number,
): number {
  const factor = fround(scale);
  return laneSum(x.length, (i) => {
    const level = Math.min(Math.max(roundHalfEven(fround(x[i] / factor)) + zeroPoint, low), high) - zeroPoint;
    const error = x[i] - fround(level * factor);
    return importance ? error * error * importance[i] : error * error;
  });
}

export function gram(
  x: Float32Array,
  shape: ConvShape,
  first: number,
  step: number,
  gram: Float64Array,
): void {
  const channels = shape.inChannels / shape.groups;
  const k = shape.kernelHeight * shape.kernelWidth * channels;
  const positions = shape.batch * shape.outHeight * shape.outWidth;
  const patch = new Float64Array(k);
  for (let position = first; position < positions; position += step) {
    const column = position % shape.outWidth;
    const row = Math.trunc(position / shape.outWidth) % shape.outHeight;
    const batch = Math.trunc(position / (shape.outWidth * shape.outHeight));
    for (let group = 0; group < shape.groups; group++) {
      patch.fill(0);
      const asOneChannelPerGroup = { ...shape, outChannels: shape.groups };
      forEachInput(asOneChannelPerGroup, channels, { batch, y: row, x: column }, group, (at, i) => {
        patch[i] = x[at];
      });
      for (let i = 0; i < k; i++)
        for (let j = 0; j < k; j++) gram[(group * k + i) * k + j] += patch[i] * patch[j];
    }
  }
}

export function roundWithHessian(
  w: Float64Array,
  scales: Float32Array,
  u: Float64Array,
  first: number,
  last: number,
  low: number,
  high: number,
  q: Int8Array,
): void {
  const k = Math.sqrt(u.length);
  for (let row = first; row < last; row++) {
    const scale = scales[row];
    const weights = w.subarray(row * k, (row + 1) * k);
    for (let j = 0; j < k; j++) {
      const level = Math.min(Math.max(roundHalfEven(weights[j] / scale), low), high);
      q[row * k + j] = level;
      const error = (weights[j] - level * scale) / u[j * k + j];
      for (let i = j + 1; i < k; i++) weights[i] -= error * u[j * k + i];
      weights[j] = error;
    }
  }
}
