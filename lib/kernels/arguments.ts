import { refuse, SigmaQuantError } from '../errors.ts';
import type { ByteArray, ConvShape, WeightsShape } from './kernels.ts';

/** int32 sums cannot overflow up to this many products: 2^31 / (128 * 128) and 2^31 / (255 * 128). */
const DEPTH_LIMIT_SIGNED = 131_071;
const DEPTH_LIMIT = 65_793;
/** Element counts beyond this cannot be one typed array everywhere. */
export const ELEMENT_LIMIT = 2 ** 31 - 1;

type Typed = { readonly length: number; readonly buffer: ArrayBufferLike };

const article = (noun: string) => (/^[AEIOU]/.test(noun) ? `an ${noun}` : `a ${noun}`);

function refuseLength(name: string, value: Typed, least: string, length: number): never {
  if (value.buffer.byteLength === 0 && length > 0) refuse('a buffer that is not detached', name, value);
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected ${article(value.constructor.name)} of length ${least}${length} for ${name} but received length ${value.length}.`,
  );
}

function sized(name: string, value: Typed, length: number): void {
  if (value.length !== length) refuseLength(name, value, '', length);
}

export function float32(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Float32Array)) refuse('a Float32Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function float64(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Float64Array)) refuse('a Float64Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function int32(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Int32Array)) refuse('an Int32Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function int8(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Int8Array)) refuse('an Int8Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function uint8(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Uint8Array)) refuse('an Uint8Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function bytes(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Int8Array || value instanceof Uint8Array))
    refuse('an Int8Array or Uint8Array', name, value);
  if (length !== undefined) sized(name, value, length);
}

export function room(packed: Uint8Array, length: number): void {
  uint8('packed', packed);
  if (packed.length < length) refuseLength('packed', packed, 'at least ', length);
}

export function whole(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high)
    refuse(`a whole number from ${low} to ${high}`, name, value);
}

export function positive(name: string, value: number): void {
  const single = Math.fround(value);
  if (!(single > 0) || !Number.isFinite(single)) refuse('a positive finite float32', name, value);
}

const isSigned = (q: unknown) => q instanceof Int8Array;

export function byteRange(q: ByteArray, low: number, high: number): void {
  const [least, most] = isSigned(q) ? [-128, 127] : [0, 255];
  whole('low', low, least, most);
  whole('high', high, low, most);
}

export const zero = (zeroPoint: number, name = 'zeroPoint') => whole(name, zeroPoint, -128, 255);

/** Padding of a product is stored as its zero point, which must therefore be one of the activations' values. */
export function zeroOf(a: ByteArray, zeroPoint: number): void {
  const [least, most] = isSigned(a) ? [-128, 127] : [0, 255];
  whole('zeroPoint', zeroPoint, least, most);
}

export function weightsShape(weights: WeightsShape): void {
  const { outChannels, taps, channels, groups, bits } = weights;
  whole('weights.outChannels', outChannels, 0, ELEMENT_LIMIT);
  whole('weights.taps', taps, 1, ELEMENT_LIMIT);
  whole('weights.channels', channels, 1, ELEMENT_LIMIT);
  whole('weights.groups', groups, 1, ELEMENT_LIMIT);
  whole('weights.bits', bits, 2, 8);
  if (outChannels % groups !== 0) refuse('a multiple of groups', 'weights.outChannels', outChannels);
  whole('the number of weights', outChannels * taps * channels, 0, ELEMENT_LIMIT);
}

export function convShape(shape: ConvShape): void {
  whole('shape.batch', shape.batch, 0, ELEMENT_LIMIT);
  whole('shape.inHeight', shape.inHeight, 1, ELEMENT_LIMIT);
  whole('shape.inWidth', shape.inWidth, 1, ELEMENT_LIMIT);
  whole('shape.inChannels', shape.inChannels, 1, ELEMENT_LIMIT);
  whole('shape.outHeight', shape.outHeight, 1, ELEMENT_LIMIT);
  whole('shape.outWidth', shape.outWidth, 1, ELEMENT_LIMIT);
  whole('shape.outChannels', shape.outChannels, 1, ELEMENT_LIMIT);
  whole('shape.kernelHeight', shape.kernelHeight, 1, ELEMENT_LIMIT);
  whole('shape.kernelWidth', shape.kernelWidth, 1, ELEMENT_LIMIT);
  whole('shape.strideHeight', shape.strideHeight, 1, ELEMENT_LIMIT);
  whole('shape.strideWidth', shape.strideWidth, 1, ELEMENT_LIMIT);
  whole('shape.dilationHeight', shape.dilationHeight, 1, ELEMENT_LIMIT);
  whole('shape.dilationWidth', shape.dilationWidth, 1, ELEMENT_LIMIT);
  whole('shape.groups', shape.groups, 1, ELEMENT_LIMIT);
  whole('shape.padTop', shape.padTop, 0, ELEMENT_LIMIT);
  whole('shape.padLeft', shape.padLeft, 0, ELEMENT_LIMIT);
  whole('input elements', inputLength(shape), 0, ELEMENT_LIMIT);
  whole('output elements', outputLength(shape), 0, ELEMENT_LIMIT);
  whole('elements that windows reach', reach(shape), 0, ELEMENT_LIMIT);
  if (shape.inChannels % shape.groups !== 0)
    refuse('a multiple of groups', 'shape.inChannels', shape.inChannels);
}

/** No less than the elements of one picture with its padding, and so that coordinates cannot overflow 32 bits. */
function reach(s: ConvShape): number {
  const height = s.padTop + s.inHeight + s.outHeight * s.strideHeight + s.kernelHeight * s.dilationHeight;
  const width = s.padLeft + s.inWidth + s.outWidth * s.strideWidth + s.kernelWidth * s.dilationWidth;
  return height * width * s.inChannels;
}

export const inputLength = (s: ConvShape) => s.batch * s.inHeight * s.inWidth * s.inChannels;
export const outputLength = (s: ConvShape) => s.batch * s.outHeight * s.outWidth * s.outChannels;

export function convolution(weights: WeightsShape, shape: ConvShape): void {
  weightsShape(weights);
  convShape(shape);
  const fits =
    weights.outChannels === shape.outChannels &&
    weights.groups === shape.groups &&
    weights.taps === shape.kernelHeight * shape.kernelWidth &&
    weights.channels * weights.groups === shape.inChannels;
  if (!fits) refuse('weights that fit the shape', 'weights', JSON.stringify({ weights, shape }));
}

export function depth(weights: WeightsShape, a: ByteArray, zeroPoint: number): void {
  const most = isSigned(a) && zeroPoint === 0 ? DEPTH_LIMIT_SIGNED : DEPTH_LIMIT;
  whole('taps * channels', weights.taps * weights.channels, 1, most);
}

export function epilogue(
  n: number,
  bias: Int32Array | null,
  multipliers: Float32Array | null,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Int32Array | Float32Array | ByteArray,
  length: number,
): void {
  if (out instanceof Int32Array || out instanceof Float32Array) sized('out', out, length);
  else bytes('out', out, length);
  if (bias !== null) int32('bias', bias, n);
  if (!(out instanceof Int32Array)) float32('multipliers', multipliers, n);
  if (out instanceof Int8Array || out instanceof Uint8Array) {
    zero(outZeroPoint, 'outZeroPoint');
    byteRange(out, low, high);
  }
}

export function channels(length: number, scales: Float32Array, zeroPoints: Int32Array, inner: number): void {
  float32('scales', scales);
  int32('zeroPoints', zeroPoints, scales.length);
  whole('inner', inner, 1, ELEMENT_LIMIT);
  if (length > 0 && (scales.length === 0 || length % (scales.length * inner) !== 0))
    refuse(`a multiple of ${scales.length} channels * ${inner}`, 'the number of elements', length);
  for (const scale of scales) positive('scales', scale);
  for (const point of zeroPoints) zero(point, 'zeroPoints');
}

/** Whole rows of `count` channels. */
export function rows(length: number, count: number): void {
  whole('channels', count, 1, ELEMENT_LIMIT);
  if (length % count !== 0) refuse(`a multiple of ${count} channels`, 'the number of elements', length);
}

export function pool(a: Typed, shape: ConvShape, out: Typed): void {
  convShape(shape);
  if (shape.inChannels !== shape.outChannels)
    refuse(`${shape.inChannels} channels`, 'shape.outChannels', shape.outChannels);
  sized('a', a, inputLength(shape));
  sized('out', out, outputLength(shape));
}

export function matrix(weights: WeightsShape, m: number): void {
  weightsShape(weights);
  if (weights.groups !== 1 || weights.taps !== 1)
    refuse('one group and one tap', 'weights', JSON.stringify(weights));
  whole('m', m, 0, ELEMENT_LIMIT);
}
