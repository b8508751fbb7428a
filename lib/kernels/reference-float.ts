import type { ConvShape, WeightsShape } from './kernels.ts';
import { forEachInput, forEachOutput, matrixShape } from './reference-integer.ts';

const { fround } = Math;

export function floatWeightsSize({ outChannels, taps, channels }: WeightsShape): number {
  return 4 * outChannels * taps * channels;
}

export function packFloatWeights(w: Float32Array, _: WeightsShape, packed: Uint8Array): void {
  packed.set(new Uint8Array(w.buffer, w.byteOffset, w.byteLength));
}

export function floatGemm(
  a: Float32Array,
  packed: Uint8Array,
  weights: WeightsShape,
  m: number,
  bias: Float32Array | null,
  low: number,
  high: number,
  out: Float32Array,
): void {
  floatConv(a, packed, weights, matrixShape(weights, m), bias, low, high, out);
}

export function floatConv(
  a: Float32Array,
  packed: Uint8Array,
  weights: WeightsShape,
  shape: ConvShape,
  bias: Float32Array | null,
  low: number,
  high: number,
  out: Float32Array,
): void {
  const depth = weights.taps * weights.channels;
  const w = new Float32Array(packed.slice(0, floatWeightsSize(weights)).buffer);
  forEachOutput(shape, (pixel, n, index) => {
    let sum = 0;
    forEachInput(shape, weights.channels, pixel, n, (at, k) => {
      sum = fround(sum + a[at] * w[n * depth + k]);
    });
    out[index] = Math.min(Math.max(fround(sum + (bias ? bias[n] : 0)), low), high);
  });
}
