import type { ByteArray, ConvShape } from './kernels.ts';
import { roundHalfEven } from './math.ts';
import { forEachInput, forEachOutput } from './reference-integer.ts';

const { fround } = Math;

export function add(a: Float32Array, b: Float32Array, low: number, high: number, out: Float32Array): void {
  for (let i = 0; i < a.length; i++) out[i] = Math.min(Math.max(fround(a[i] + b[i]), low), high);
}

export function clamp(x: Float32Array, low: number, high: number, out: Float32Array): void {
  for (let i = 0; i < x.length; i++) out[i] = x[i] > low ? Math.min(x[i], high) : Math.min(low, high);
}

export function quantizedAdd(
  a: Uint8Array,
  scaleA: number,
  zeroA: number,
  b: Uint8Array,
  scaleB: number,
  zeroB: number,
  scaleOut: number,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Uint8Array,
): void {
  const ra = fround(fround(scaleA) / fround(scaleOut));
  const rb = fround(fround(scaleB) / fround(scaleOut));
  const fixed = fround(outZeroPoint - fround(ra * zeroA + fround(rb * zeroB)));
  for (let i = 0; i < a.length; i++) {
    const sum = fround(a[i] * ra + fround(b[i] * rb + fixed));
    out[i] = Math.min(Math.max(roundHalfEven(sum), low), high);
  }
}

export function maxPool(a: Float32Array, shape: ConvShape, out: Float32Array): void {
  maximum(a, shape, out, Number.NEGATIVE_INFINITY);
}

export function quantizedMaxPool(a: Uint8Array, shape: ConvShape, out: Uint8Array): void {
  maximum(a, shape, out, 0);
}

function maximum(
  a: Float32Array | Uint8Array,
  shape: ConvShape,
  out: Float32Array | Uint8Array,
  start: number,
): void {
  forEachOutput(shape, (pixel, channel, index) => {
    let best = start;
    forEachInput({ ...shape, groups: shape.outChannels }, 1, pixel, channel, (at) => {
      best = Math.max(best, a[at]);
    });
    out[index] = best;
  });
}

export function averagePool(
  a: Float32Array,
  shape: ConvShape,
  countPadding: boolean,
  out: Float32Array,
): void {
  forEachOutput(shape, (pixel, channel, index) => {
    let sum = 0;
    let count = 0;
    forEachInput({ ...shape, groups: shape.outChannels }, 1, pixel, channel, (at) => {
      sum = fround(sum + a[at]);
      count++;
    });
    out[index] = fround(sum) / (countPadding ? shape.kernelHeight * shape.kernelWidth : count);
  });
}

export function quantizedGlobalAverage(
  a: Uint8Array,
  batch: number,
  channels: number,
  zeroPoint: number,
  multiplier: number,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Uint8Array,
): void {
  const pixels = a.length / (batch * channels);
  const factor = fround(multiplier);
  for (let i = 0; i < batch * channels; i++) {
    const at = Math.trunc(i / channels) * pixels * channels + (i % channels);
    let sum = -pixels * zeroPoint;
    for (let p = 0; p < pixels; p++) sum += a[at + p * channels];
    out[i] = Math.min(Math.max(roundHalfEven(fround(fround(sum) * factor)) + outZeroPoint, low), high);
  }
}

export function copyPlane(
  from: Float32Array | ByteArray,
  to: Float32Array | ByteArray,
  rows: number,
  columns: number,
  fromAt: number,
  fromRow: number,
  fromColumn: number,
  toAt: number,
  toRow: number,
  toColumn: number,
): void {
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      to[toAt + r * toRow + c * toColumn] = from[fromAt + r * fromRow + c * fromColumn];
}

export function lookup(a: Uint8Array, table: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < a.length; i++) out[i] = table[a[i]];
}
