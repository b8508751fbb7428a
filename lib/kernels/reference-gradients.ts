import type { ConvShape } from './kernels.ts';
import { gradientRun, roundHalfEven } from './math.ts';
import { forEachInput, forEachOutput } from './reference-integer.ts';
import { laneSum } from './reference-statistics.ts';

const { fround } = Math;
/** Rows of a block of sumChannels, elements of a block of quantizeGradient. */
const SUM_ROWS = 1024;
const GRADIENT_BLOCK = 65_536;

export function floatConvGradient(
  x: Float32Array,
  outGradient: Float32Array,
  shape: ConvShape,
  gradient: Float32Array,
): void {
  const channels = shape.inChannels / shape.groups;
  const depth = shape.kernelHeight * shape.kernelWidth * channels;
  const run = gradientRun(shape);
  const sums = new Float32Array(gradient.length);
  gradient.fill(0);
  let position = -1;
  forEachOutput(shape, (pixel, n, index) => {
    if (n === 0 && ++position % run === 0 && position > 0) addInto(gradient, sums);
    forEachInput(shape, channels, pixel, n, (at, k) => {
      sums[n * depth + k] = fround(sums[n * depth + k] + x[at] * outGradient[index]);
    });
  });
  addInto(gradient, sums);
}

function addInto(total: Float32Array, sums: Float32Array): void {
  for (let i = 0; i < total.length; i++) total[i] += sums[i];
  sums.fill(0);
}

export function sumChannels(a: Float32Array, b: Float32Array, channels: number, sums: Float64Array): void {
  sums.fill(0);
  for (let first = 0; first < a.length; first += SUM_ROWS * channels) {
    const block = new Float64Array(2 * channels);
    for (let i = first; i < Math.min(first + SUM_ROWS * channels, a.length); i++) {
      block[i % channels] += a[i];
      block[channels + (i % channels)] += a[i] * b[i];
    }
    for (let c = 0; c < sums.length; c++) sums[c] += block[c];
  }
}

export function affineChannels(
  x: Float32Array,
  scales: Float32Array,
  shifts: Float32Array,
  low: number,
  high: number,
  out: Float32Array,
): void {
  for (let i = 0; i < x.length; i++) {
    const c = i % scales.length;
    out[i] = Math.min(Math.max(fround(fround(x[i] * scales[c]) + shifts[c]), low), high);
  }
}

export function combineChannels(
  x: Float32Array,
  y: Float32Array,
  a: Float32Array,
  b: Float32Array,
  shifts: Float32Array,
  out: Float32Array,
): void {
  for (let i = 0; i < x.length; i++) {
    const c = i % a.length;
    out[i] = fround(fround(x[i] * a[c]) + fround(y[i] * b[c])) + shifts[c];
  }
}

export function clampGradient(
  y: Float32Array,
  gradient: Float32Array,
  low: number,
  high: number,
  out: Float32Array,
): void {
  for (let i = 0; i < y.length; i++) out[i] = y[i] > low && y[i] < high ? gradient[i] : 0;
}

export function quantizeGradient(
  x: Float32Array,
  gradient: Float32Array,
  scale: number,
  zeroPoint: number,
  low: number,
  high: number,
  out: Float32Array,
): number {
  const factor = fround(scale);
  const [least, most] = [low - zeroPoint, high - zeroPoint];
  const term = (i: number) => {
    const r = fround(x[i] / factor);
    const level = roundHalfEven(r);
    const inside = level >= least && level <= most;
    const g = gradient[i];
    out[i] = inside ? g : 0;
    return fround(g * (inside ? fround(level - r) : level < least ? least : most));
  };
  let sum = 0;
  for (let first = 0; first < x.length; first += GRADIENT_BLOCK)
    sum += laneSum(Math.min(GRADIENT_BLOCK, x.length - first), (i) => term(first + i));
  return sum;
}
