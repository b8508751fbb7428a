import { refuse, SigmaQuantError } from '../errors.ts';
import type { ByteArray, ConvShape, Kernels, WeightsShape } from './kernels.ts';

/** int32 sums cannot overflow up to this many products: 2^31 / (128 * 128) and 2^31 / (255 * 128). */
const DEPTH_LIMIT_SIGNED = 131_071;
const DEPTH_LIMIT = 65_793;
/** Element counts beyond this cannot be one typed array everywhere. */
const ELEMENT_LIMIT = 2 ** 31 - 1;

type Typed = {
  readonly length: number;
  readonly BYTES_PER_ELEMENT: number;
  readonly buffer: ArrayBufferLike;
};
type Constructor = { new (...args: never[]): Typed; readonly name: string };

function array(
  name: string,
  value: unknown,
  types: readonly Constructor[],
  length?: number,
  atLeast = false,
): void {
  const type = types.find((candidate) => value instanceof candidate);
  const named = types.map((candidate) => candidate.name).join(' or ');
  if (!type) refuse(`${/^[AEIOU]/.test(named) ? 'an' : 'a'} ${named}`, name, value);
  const { length: received, buffer } = value as Typed;
  if (buffer.byteLength === 0 && (length ?? 0) > 0) refuse('a buffer that is not detached', name, value);
  if (length !== undefined && (atLeast ? received < length : received !== length))
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected ${/^[AEIOU]/.test(type.name) ? 'an' : 'a'} ${type.name} of length ${atLeast ? 'at least ' : ''}${length} for ${name} but received length ${received}.`,
    );
}

function whole(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high)
    refuse(`a whole number from ${low} to ${high}`, name, value);
}

function positive(name: string, value: number): void {
  const single = Math.fround(value);
  if (!(single > 0) || !Number.isFinite(single)) refuse('a positive finite float32', name, value);
}

const BYTES = [Int8Array, Uint8Array] as const;
const OUTPUTS = [Int32Array, Float32Array, Int8Array, Uint8Array] as const;
const F32 = [Float32Array] as const;
const F64 = [Float64Array] as const;
const U8 = [Uint8Array] as const;
const I8 = [Int8Array] as const;
const I32 = [Int32Array] as const;

const isSigned = (q: unknown) => q instanceof Int8Array;

function byteRange(q: ByteArray, low: number, high: number): void {
  const [least, most] = isSigned(q) ? [-128, 127] : [0, 255];
  whole('low', low, least, most);
  whole('high', high, low, most);
}

const zero = (zeroPoint: number, name = 'zeroPoint') => whole(name, zeroPoint, -128, 255);

/** Padding of a product is stored as its zero point, which must therefore be one of the activations' values. */
function zeroOf(a: ByteArray, zeroPoint: number): void {
  const [least, most] = isSigned(a) ? [-128, 127] : [0, 255];
  whole('zeroPoint', zeroPoint, least, most);
}

function weightsShape(weights: WeightsShape): void {
  const { outChannels, taps, channels, groups, bits } = weights;
  whole('weights.outChannels', outChannels, 0, ELEMENT_LIMIT);
  whole('weights.taps', taps, 1, ELEMENT_LIMIT);
  whole('weights.channels', channels, 1, ELEMENT_LIMIT);
  whole('weights.groups', groups, 1, ELEMENT_LIMIT);
  whole('weights.bits', bits, 2, 8);
  if (outChannels % groups !== 0) refuse('a multiple of groups', 'weights.outChannels', outChannels);
  whole('the number of weights', outChannels * taps * channels, 0, ELEMENT_LIMIT);
}

function convShape(shape: ConvShape): void {
  for (const [name, value] of Object.entries(shape))
    whole(`shape.${name}`, value, name.startsWith('pad') || name === 'batch' ? 0 : 1, ELEMENT_LIMIT);
  whole('input elements', inputLength(shape), 0, ELEMENT_LIMIT);
  whole('output elements', outputLength(shape), 0, ELEMENT_LIMIT);
  if (shape.inChannels % shape.groups !== 0)
    refuse('a multiple of groups', 'shape.inChannels', shape.inChannels);
}

const inputLength = (s: ConvShape) => s.batch * s.inHeight * s.inWidth * s.inChannels;
const outputLength = (s: ConvShape) => s.batch * s.outHeight * s.outWidth * s.outChannels;

function convolution(weights: WeightsShape, shape: ConvShape): void {
  weightsShape(weights);
  convShape(shape);
  const fits =
    weights.outChannels === shape.outChannels &&
    weights.groups === shape.groups &&
    weights.taps === shape.kernelHeight * shape.kernelWidth &&
    weights.channels * weights.groups === shape.inChannels;
  if (!fits) refuse('weights that fit the shape', 'weights', JSON.stringify({ weights, shape }));
}

function depth(weights: WeightsShape, a: ByteArray, zeroPoint: number): void {
  const most = isSigned(a) && zeroPoint === 0 ? DEPTH_LIMIT_SIGNED : DEPTH_LIMIT;
  whole('taps * channels', weights.taps * weights.channels, 1, most);
}

function epilogue(
  n: number,
  bias: Int32Array | null,
  multipliers: Float32Array | null,
  outZeroPoint: number,
  low: number,
  high: number,
  out: Int32Array | Float32Array | ByteArray,
  length: number,
): void {
  array('out', out, OUTPUTS, length);
  if (bias !== null) array('bias', bias, I32, n);
  if (!(out instanceof Int32Array)) array('multipliers', multipliers, F32, n);
  if (out instanceof Int8Array || out instanceof Uint8Array) {
    zero(outZeroPoint, 'outZeroPoint');
    byteRange(out, low, high);
  }
}

function channels(length: number, scales: Float32Array, zeroPoints: Int32Array, inner: number): void {
  array('scales', scales, F32);
  array('zeroPoints', zeroPoints, I32, scales.length);
  whole('inner', inner, 1, ELEMENT_LIMIT);
  if (length > 0 && (scales.length === 0 || length % (scales.length * inner) !== 0))
    refuse(`a multiple of ${scales.length} channels * ${inner}`, 'the number of elements', length);
  for (const scale of scales) positive('scales', scale);
}

function pool(a: unknown, shape: ConvShape, out: unknown, types: readonly Constructor[]): void {
  convShape(shape);
  if (shape.inChannels !== shape.outChannels)
    refuse(`${shape.inChannels} channels`, 'shape.outChannels', shape.outChannels);
  array('a', a, types, inputLength(shape));
  array('out', out, types, outputLength(shape));
}

/**
 * The same verbs with their arguments validated: the same mistake gives the same INVALID_ARGUMENT on every
 * backend. What it returns has its own prototype chain to `kernels`, so everything else passes through.
 */
export function checked(kernels: Kernels): Kernels {
  const k = kernels;
  const guards: Partial<Kernels> = {
    quantize(x, scale, zeroPoint, low, high, q) {
      array('x', x, F32);
      array('q', q, BYTES, x.length);
      positive('scale', scale);
      zero(zeroPoint);
      byteRange(q, low, high);
      k.quantize(x, scale, zeroPoint, low, high, q);
    },
    quantizeChannels(x, scales, zeroPoints, inner, low, high, q) {
      array('x', x, F32);
      array('q', q, BYTES, x.length);
      channels(x.length, scales, zeroPoints, inner);
      byteRange(q, low, high);
      k.quantizeChannels(x, scales, zeroPoints, inner, low, high, q);
    },
    dequantize(q, scale, zeroPoint, x) {
      array('q', q, BYTES);
      array('x', x, F32, q.length);
      positive('scale', scale);
      zero(zeroPoint);
      k.dequantize(q, scale, zeroPoint, x);
    },
    dequantizeChannels(q, scales, zeroPoints, inner, x) {
      array('q', q, BYTES);
      array('x', x, F32, q.length);
      channels(q.length, scales, zeroPoints, inner);
      k.dequantizeChannels(q, scales, zeroPoints, inner, x);
    },
    pack(q, bits, packed) {
      array('q', q, BYTES);
      whole('bits', bits, 2, 8);
      array('packed', packed, U8, Math.ceil((q.length * bits) / 8));
      k.pack(q, bits, packed);
    },
    unpack(packed, bits, q) {
      array('q', q, BYTES);
      whole('bits', bits, 2, 8);
      array('packed', packed, U8, Math.ceil((q.length * bits) / 8));
      k.unpack(packed, bits, q);
    },
    weightsSize(shape) {
      weightsShape(shape);
      return k.weightsSize(shape);
    },
    packWeights(q, shape, packed) {
      weightsShape(shape);
      array('q', q, I8, shape.outChannels * shape.taps * shape.channels);
      array('packed', packed, U8, k.weightsSize(shape), true);
      k.packWeights(q, shape, packed);
    },
    gemm(a, packed, weights, m, zeroPoint, bias, multipliers, outZeroPoint, low, high, out) {
      weightsShape(weights);
      if (weights.groups !== 1 || weights.taps !== 1)
        refuse('one group and one tap', 'weights', JSON.stringify(weights));
      whole('m', m, 0, ELEMENT_LIMIT);
      array('a', a, BYTES, m * weights.channels);
      array('packed', packed, U8, k.weightsSize(weights), true);
      zeroOf(a, zeroPoint);
      depth(weights, a, zeroPoint);
      epilogue(weights.outChannels, bias, multipliers, outZeroPoint, low, high, out, m * weights.outChannels);
      k.gemm(a, packed, weights, m, zeroPoint, bias, multipliers, outZeroPoint, low, high, out);
    },
    conv(a, packed, weights, shape, zeroPoint, bias, multipliers, outZeroPoint, low, high, out) {
      convolution(weights, shape);
      array('a', a, BYTES, inputLength(shape));
      array('packed', packed, U8, k.weightsSize(weights), true);
      zeroOf(a, zeroPoint);
      depth(weights, a, zeroPoint);
      epilogue(weights.outChannels, bias, multipliers, outZeroPoint, low, high, out, outputLength(shape));
      k.conv(a, packed, weights, shape, zeroPoint, bias, multipliers, outZeroPoint, low, high, out);
    },
    floatWeightsSize(shape) {
      weightsShape(shape);
      return k.floatWeightsSize(shape);
    },
    packFloatWeights(w, shape, packed) {
      weightsShape(shape);
      array('w', w, F32, shape.outChannels * shape.taps * shape.channels);
      array('packed', packed, U8, k.floatWeightsSize(shape), true);
      k.packFloatWeights(w, shape, packed);
    },
    floatGemm(a, packed, weights, m, bias, low, high, out) {
      weightsShape(weights);
      if (weights.groups !== 1 || weights.taps !== 1)
        refuse('one group and one tap', 'weights', JSON.stringify(weights));
      whole('m', m, 0, ELEMENT_LIMIT);
      array('a', a, F32, m * weights.channels);
      array('packed', packed, U8, k.floatWeightsSize(weights), true);
      if (bias !== null) array('bias', bias, F32, weights.outChannels);
      array('out', out, F32, m * weights.outChannels);
      k.floatGemm(a, packed, weights, m, bias, low, high, out);
    },
    floatConv(a, packed, weights, shape, bias, low, high, out) {
      convolution(weights, shape);
      array('a', a, F32, inputLength(shape));
      array('packed', packed, U8, k.floatWeightsSize(weights), true);
      if (bias !== null) array('bias', bias, F32, weights.outChannels);
      array('out', out, F32, outputLength(shape));
      k.floatConv(a, packed, weights, shape, bias, low, high, out);
    },
    add(a, b, low, high, out) {
      array('a', a, F32);
      array('b', b, F32, a.length);
      array('out', out, F32, a.length);
      k.add(a, b, low, high, out);
    },
    clamp(x, low, high, out) {
      array('x', x, F32);
      array('out', out, F32, x.length);
      k.clamp(x, low, high, out);
    },
    quantizedAdd(a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZeroPoint, low, high, out) {
      array('a', a, U8);
      array('b', b, U8, a.length);
      array('out', out, U8, a.length);
      positive('scaleA', scaleA);
      positive('scaleB', scaleB);
      positive('scaleOut', scaleOut);
      for (const point of [zeroA, zeroB, outZeroPoint]) zero(point);
      byteRange(out, low, high);
      k.quantizedAdd(a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZeroPoint, low, high, out);
    },
    maxPool(a, shape, out) {
      pool(a, shape, out, F32);
      k.maxPool(a, shape, out);
    },
    quantizedMaxPool(a, shape, out) {
      pool(a, shape, out, U8);
      k.quantizedMaxPool(a, shape, out);
    },
    averagePool(a, shape, countPadding, out) {
      pool(a, shape, out, F32);
      k.averagePool(a, shape, countPadding, out);
    },
    quantizedGlobalAverage(a, batch, channelCount, zeroPoint, multiplier, outZeroPoint, low, high, out) {
      array('a', a, U8);
      whole('batch', batch, 0, ELEMENT_LIMIT);
      whole('channels', channelCount, 1, ELEMENT_LIMIT);
      array('out', out, U8, batch * channelCount);
      if (batch > 0 && (a.length === 0 || a.length % (batch * channelCount) !== 0))
        refuse(`a multiple of ${batch * channelCount} elements`, 'a', a);
      positive('multiplier', multiplier);
      zero(zeroPoint);
      zero(outZeroPoint, 'outZeroPoint');
      byteRange(out, low, high);
      k.quantizedGlobalAverage(a, batch, channelCount, zeroPoint, multiplier, outZeroPoint, low, high, out);
    },
    lookup(a, table, out) {
      array('a', a, U8);
      array('table', table, U8, 256);
      array('out', out, U8, a.length);
      k.lookup(a, table, out);
    },
    copyPlane(a, out, rows, columns, aAt, aRow, aColumn, outAt, outRow, outColumn) {
      const type = [Float32Array, ...BYTES].filter((candidate) => (a as unknown) instanceof candidate);
      array('a', a, type.length > 0 ? type : [Float32Array, ...BYTES]);
      array('out', out, type);
      whole('rows', rows, 0, ELEMENT_LIMIT);
      whole('columns', columns, 0, ELEMENT_LIMIT);
      if (rows === 0 || columns === 0) return;
      for (const [name, at, row, column, length] of [
        ['a', aAt, aRow, aColumn, a.length],
        ['out', outAt, outRow, outColumn, out.length],
      ] as const) {
        const [down, along] = [(rows - 1) * row, (columns - 1) * column];
        for (const corner of [at, at + down, at + along, at + down + along])
          whole(`a corner in ${name}`, corner, 0, length - 1);
      }
      k.copyPlane(a, out, rows, columns, aAt, aRow, aColumn, outAt, outRow, outColumn);
    },
    moments(x, into) {
      array('x', x, F32);
      array('into', into, F64, 6);
      k.moments(x, into);
    },
    histogram(x, low, high, counts) {
      array('x', x, F32);
      array('counts', counts, F64);
      if (counts.length === 0) refuse('at least one bin', 'counts', counts);
      if (!(Math.fround(high) > Math.fround(low)) || !Number.isFinite(high) || !Number.isFinite(low))
        refuse('finite low < high', 'low and high', `${low}, ${high}`);
      k.histogram(x, low, high, counts);
    },
    divergence(p, q, smoothing) {
      array('p', p, F64);
      array('q', q, F64, p.length);
      if (!(smoothing >= 0) || !Number.isFinite(smoothing))
        refuse('a finite number >= 0', 'smoothing', smoothing);
      return k.divergence(p, q, smoothing);
    },
    squaredError(a, b) {
      array('a', a, F32);
      array('b', b, F32, a.length);
      return k.squaredError(a, b);
    },
    quantizeError(x, importance, scale, zeroPoint, low, high) {
      array('x', x, F32);
      if (importance !== null) array('importance', importance, F32, x.length);
      positive('scale', scale);
      zero(zeroPoint);
      whole('low', low, -128, 255);
      whole('high', high, low, 255);
      return k.quantizeError(x, importance, scale, zeroPoint, low, high);
    },
    gram(x, shape, first, step, into) {
      convShape(shape);
      array('x', x, F32, inputLength(shape));
      whole('first', first, 0, ELEMENT_LIMIT);
      whole('step', step, 1, ELEMENT_LIMIT);
      const side = (shape.kernelHeight * shape.kernelWidth * shape.inChannels) / shape.groups;
      array('gram', into, F64, shape.groups * side * side);
      k.gram(x, shape, first, step, into);
    },
    roundWithHessian(w, scales, u, first, last, low, high, q) {
      array('u', u, F64);
      const side = Math.sqrt(u.length);
      if (!Number.isInteger(side) || side === 0) refuse('a square matrix', 'u', u);
      array('scales', scales, F32);
      array('w', w, F64, scales.length * side);
      array('q', q, I8, scales.length * side);
      whole('first', first, 0, scales.length);
      whole('last', last, first, scales.length);
      for (const scale of scales) positive('scales', scale);
      byteRange(q, low, high);
      k.roundWithHessian(w, scales, u, first, last, low, high, q);
    },
  };
  return Object.assign(Object.create(kernels) as Kernels, guards);
}
