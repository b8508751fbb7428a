import type { ByteArray, ConvShape, WeightsShape } from './kernels.ts';
import { roundHalfEven } from './math.ts';

const { fround } = Math;

const limit = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

function quantizeOne(x: number, scale: number, zeroPoint: number, low: number, high: number): number {
  const value = fround(x / scale);
  return limit(Number.isNaN(value) ? zeroPoint : roundHalfEven(value) + zeroPoint, low, high);
}

export function quantize(
  x: Float32Array,
  scale: number,
  zeroPoint: number,
  low: number,
  high: number,
  q: ByteArray,
): void {
  const divisor = fround(scale);
  for (let i = 0; i < x.length; i++) q[i] = quantizeOne(x[i], divisor, zeroPoint, low, high);
}

export function quantizeChannels(
  x: Float32Array,
  scales: Float32Array,
  zeroPoints: Int32Array,
  inner: number,
  low: number,
  high: number,
  q: ByteArray,
): void {
  for (let i = 0; i < x.length; i++) {
    const c = Math.trunc(i / inner) % scales.length;
    q[i] = quantizeOne(x[i], scales[c], zeroPoints[c], low, high);
  }
}

export function dequantize(q: ByteArray, scale: number, zeroPoint: number, x: Float32Array): void {
  const factor = fround(scale);
  for (let i = 0; i < q.length; i++) x[i] = (q[i] - zeroPoint) * factor;
}

export function dequantizeChannels(
  q: ByteArray,
  scales: Float32Array,
  zeroPoints: Int32Array,
  inner: number,
  x: Float32Array,
): void {
  for (let i = 0; i < q.length; i++) {
    const c = Math.trunc(i / inner) % scales.length;
    x[i] = (q[i] - zeroPoints[c]) * scales[c];
  }
}

export function pack(q: ByteArray, bits: number, packed: Uint8Array): void {
  packed.fill(0);
  for (let i = 0; i < q.length; i++) {
    const value = q[i] & ((1 << bits) - 1);
    const at = i * bits;
    const byte = Math.floor(at / 8);
    const shift = at % 8;
    packed[byte] |= value << shift;
    if (shift + bits > 8) packed[byte + 1] |= value >> (8 - shift);
  }
}

export function unpack(packed: Uint8Array, bits: number, q: ByteArray): void {
  const signed = q instanceof Int8Array;
  for (let i = 0; i < q.length; i++) {
    const at = i * bits;
    const byte = Math.floor(at / 8);
    const pair = packed[byte] | ((packed[byte + 1] ?? 0) << 8);
    const value = (pair >> (at % 8)) & ((1 << bits) - 1);
    q[i] = signed ? (value << (32 - bits)) >> (32 - bits) : value;
  }
}

export function weightsSize({ outChannels, taps, channels, bits }: WeightsShape): number {
  return Math.ceil((outChannels * taps * channels * bits) / 8);
}

export function packWeights(q: Int8Array, { bits }: WeightsShape, packed: Uint8Array): void {
  pack(q, bits, packed);
}

export function gemm(
  a: ByteArray,
  packed: Uint8Array,
  weights: WeightsShape,
  m: number,
  zeroPoint: number,
  bias: Int32Array | null,
  multipliers: Float32Array | null,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Int32Array | Float32Array | ByteArray,
): void {
  const shape = matrixShape(weights, m);
  conv(a, packed, weights, shape, zeroPoint, bias, multipliers, outZeroPoint, low, high, out);
}

export function conv(
  a: ByteArray,
  packed: Uint8Array,
  weights: WeightsShape,
  shape: ConvShape,
  zeroPoint: number,
  bias: Int32Array | null,
  multipliers: Float32Array | null,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Int32Array | Float32Array | ByteArray,
): void {
  const depth = weights.taps * weights.channels;
  const w = new Int8Array(weights.outChannels * depth);
  unpack(packed, weights.bits, w);
  forEachOutput(shape, (pixel, n, index) => {
    let sum = bias ? bias[n] : 0;
    forEachInput(shape, weights.channels, pixel, n, (at, k) => {
      sum = (sum + (a[at] - zeroPoint) * w[n * depth + k]) | 0;
    });
    if (out instanceof Int32Array) out[index] = sum;
    else if (out instanceof Float32Array) out[index] = fround(sum) * multipliers![n];
    else out[index] = limit(roundHalfEven(fround(fround(sum) * multipliers![n])) + outZeroPoint, low, high);
  });
}

/** A matrix product as a 1x1 convolution over m pixels. */
export function matrixShape({ outChannels, taps, channels }: WeightsShape, m: number): ConvShape {
  return {
    batch: 1,
    inHeight: 1,
    inWidth: m,
    inChannels: taps * channels,
    outHeight: 1,
    outWidth: m,
    outChannels,
    kernelHeight: 1,
    kernelWidth: 1,
    strideHeight: 1,
    strideWidth: 1,
    dilationHeight: 1,
    dilationWidth: 1,
    padTop: 0,
    padLeft: 0,
    groups: 1,
  };
}

export interface Pixel {
  batch: number;
  y: number;
  x: number;
}

/** Every output element in memory order: its pixel, channel and index. */
export function forEachOutput(
  shape: ConvShape,
  visit: (pixel: Pixel, channel: number, index: number) => void,
): void {
  let index = 0;
  for (let batch = 0; batch < shape.batch; batch++)
    for (let y = 0; y < shape.outHeight; y++)
      for (let x = 0; x < shape.outWidth; x++)
        for (let n = 0; n < shape.outChannels; n++) visit({ batch, y, x }, n, index++);
}

/** The input elements that lie inside for one output, k = (tap, channel) ascending: index in a, and k. */
export function forEachInput(
  s: ConvShape,
  channels: number,
  pixel: Pixel,
  outChannel: number,
  visit: (at: number, k: number) => void,
): void {
  const group = Math.trunc(outChannel / (s.outChannels / s.groups));
  for (let ky = 0; ky < s.kernelHeight; ky++) {
    for (let kx = 0; kx < s.kernelWidth; kx++) {
      const y = pixel.y * s.strideHeight - s.padTop + ky * s.dilationHeight;
      const x = pixel.x * s.strideWidth - s.padLeft + kx * s.dilationWidth;
      if (y < 0 || y >= s.inHeight || x < 0 || x >= s.inWidth) continue;
      const at = ((pixel.batch * s.inHeight + y) * s.inWidth + x) * s.inChannels + group * channels;
      const k = (ky * s.kernelWidth + kx) * channels;
      for (let c = 0; c < channels; c++) visit(at + c, k + c);
    }
  }
}
