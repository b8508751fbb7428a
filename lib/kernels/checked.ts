import { refuse } from '../errors.ts';
import {
  byteRange,
  bytes,
  channels,
  convolution,
  convShape,
  depth,
  ELEMENT_LIMIT,
  epilogue,
  float32,
  float64,
  inputLength,
  int8,
  int32,
  matrix,
  outputLength,
  pool,
  positive,
  room,
  rows,
  uint8,
  weightsShape,
  whole,
  zero,
  zeroOf,
} from './arguments.ts';
import type { Kernels, LaterOptions, Verbs, WeightsShape } from './kernels.ts';
import { type Call, each, isOptions } from './later.ts';

type Guards = { [K in keyof Verbs]: (...values: Parameters<Verbs[K]>) => void };

/** The size of packed weights, asked for again only where the shape is not the last one's: one call less per call. */
function remembered(size: (shape: WeightsShape) => number): (shape: WeightsShape) => number {
  let last = 0;
  let [o, t, c, g, b] = [-1, 0, 0, 0, 0];
  return (shape) => {
    const { outChannels, taps, channels, groups, bits } = shape;
    if (outChannels !== o || taps !== t || channels !== c || groups !== g || bits !== b) {
      last = size(shape);
      [o, t, c, g, b] = [outChannels, taps, channels, groups, bits];
    }
    return last;
  };
}

/** For every verb what throws INVALID_ARGUMENT where its arguments are not what the contract says. */
function guardsOf(kernels: Kernels): Guards {
  const weightsSize = remembered((shape) => kernels.weightsSize(shape));
  const floatWeightsSize = remembered((shape) => kernels.floatWeightsSize(shape));
  return {
    quantize(x, scale, zeroPoint, low, high, q) {
      float32('x', x);
      bytes('q', q, x.length);
      positive('scale', scale);
      zero(zeroPoint);
      byteRange(q, low, high);
    },
    quantizeChannels(x, scales, zeroPoints, inner, low, high, q) {
      float32('x', x);
      bytes('q', q, x.length);
      channels(x.length, scales, zeroPoints, inner);
      byteRange(q, low, high);
    },
    dequantize(q, scale, zeroPoint, x) {
      bytes('q', q);
      float32('x', x, q.length);
      positive('scale', scale);
      zero(zeroPoint);
    },
    dequantizeChannels(q, scales, zeroPoints, inner, x) {
      bytes('q', q);
      float32('x', x, q.length);
      channels(q.length, scales, zeroPoints, inner);
    },
    pack(q, bits, packed) {
      bytes('q', q);
      whole('bits', bits, 2, 8);
      uint8('packed', packed, Math.ceil((q.length * bits) / 8));
    },
    unpack(packed, bits, q) {
      bytes('q', q);
      whole('bits', bits, 2, 8);
      uint8('packed', packed, Math.ceil((q.length * bits) / 8));
    },
    weightsSize(shape) {
      weightsShape(shape);
    },
    packWeights(q, shape, packed) {
      weightsShape(shape);
      int8('q', q, shape.outChannels * shape.taps * shape.channels);
      room(packed, weightsSize(shape));
    },
    gemm(a, packed, weights, m, zeroPoint, bias, multipliers, outZeroPoint, low, high, out) {
      matrix(weights, m);
      bytes('a', a, m * weights.channels);
      room(packed, weightsSize(weights));
      zeroOf(a, zeroPoint);
      depth(weights, a, zeroPoint);
      epilogue(weights.outChannels, bias, multipliers, outZeroPoint, low, high, out, m * weights.outChannels);
    },
    conv(a, packed, weights, shape, zeroPoint, bias, multipliers, outZeroPoint, low, high, out) {
      convolution(weights, shape);
      bytes('a', a, inputLength(shape));
      room(packed, weightsSize(weights));
      zeroOf(a, zeroPoint);
      depth(weights, a, zeroPoint);
      epilogue(weights.outChannels, bias, multipliers, outZeroPoint, low, high, out, outputLength(shape));
    },
    floatWeightsSize(shape) {
      weightsShape(shape);
    },
    packFloatWeights(w, shape, packed) {
      weightsShape(shape);
      float32('w', w, shape.outChannels * shape.taps * shape.channels);
      room(packed, floatWeightsSize(shape));
    },
    floatGemm(a, packed, weights, m, bias, _low, _high, out) {
      matrix(weights, m);
      float32('a', a, m * weights.channels);
      room(packed, floatWeightsSize(weights));
      if (bias !== null) float32('bias', bias, weights.outChannels);
      float32('out', out, m * weights.outChannels);
    },
    floatConv(a, packed, weights, shape, bias, _low, _high, out) {
      convolution(weights, shape);
      float32('a', a, inputLength(shape));
      room(packed, floatWeightsSize(weights));
      if (bias !== null) float32('bias', bias, weights.outChannels);
      float32('out', out, outputLength(shape));
    },
    floatConvGradient(x, outGradient, shape, gradient) {
      convShape(shape);
      float32('x', x, inputLength(shape));
      float32('outGradient', outGradient, outputLength(shape));
      const side = (shape.kernelHeight * shape.kernelWidth * shape.inChannels) / shape.groups;
      float32('gradient', gradient, shape.outChannels * side);
    },
    sumChannels(a, b, channelCount, sums) {
      float32('a', a);
      float32('b', b, a.length);
      rows(a.length, channelCount);
      float64('sums', sums, 2 * channelCount);
    },
    affineChannels(x, scales, shifts, _low, _high, out) {
      float32('x', x);
      float32('scales', scales);
      rows(x.length, scales.length);
      float32('shifts', shifts, scales.length);
      float32('out', out, x.length);
    },
    combineChannels(x, y, a, b, shifts, out) {
      float32('x', x);
      float32('y', y, x.length);
      float32('a', a);
      rows(x.length, a.length);
      float32('b', b, a.length);
      float32('shifts', shifts, a.length);
      float32('out', out, x.length);
    },
    clampGradient(y, gradient, _low, _high, out) {
      float32('y', y);
      float32('gradient', gradient, y.length);
      float32('out', out, y.length);
    },
    quantizeGradient(x, gradient, scale, zeroPoint, low, high, out) {
      float32('x', x);
      float32('gradient', gradient, x.length);
      float32('out', out, x.length);
      positive('scale', scale);
      zero(zeroPoint);
      whole('low', low, -128, 255);
      whole('high', high, low, 255);
    },
    add(a, b, _low, _high, out) {
      float32('a', a);
      float32('b', b, a.length);
      float32('out', out, a.length);
    },
    clamp(x, _low, _high, out) {
      float32('x', x);
      float32('out', out, x.length);
    },
    quantizedAdd(a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZeroPoint, low, high, out) {
      uint8('a', a);
      uint8('b', b, a.length);
      uint8('out', out, a.length);
      positive('scaleA', scaleA);
      positive('scaleB', scaleB);
      positive('scaleOut', scaleOut);
      for (const point of [zeroA, zeroB, outZeroPoint]) zero(point);
      byteRange(out, low, high);
    },
    maxPool(a, shape, out) {
      float32('a', a);
      float32('out', out);
      pool(a, shape, out);
    },
    quantizedMaxPool(a, shape, out) {
      uint8('a', a);
      uint8('out', out);
      pool(a, shape, out);
    },
    averagePool(a, shape, _countPadding, out) {
      float32('a', a);
      float32('out', out);
      pool(a, shape, out);
    },
    quantizedGlobalAverage(a, batch, channelCount, zeroPoint, multiplier, outZeroPoint, low, high, out) {
      uint8('a', a);
      whole('batch', batch, 0, ELEMENT_LIMIT);
      whole('channels', channelCount, 1, ELEMENT_LIMIT);
      uint8('out', out, batch * channelCount);
      if (batch > 0 && (a.length === 0 || a.length % (batch * channelCount) !== 0))
        refuse(`a multiple of ${batch * channelCount} elements`, 'a', a);
      positive('multiplier', multiplier);
      zero(zeroPoint);
      zero(outZeroPoint, 'outZeroPoint');
      byteRange(out, low, high);
    },
    lookup(a, table, out) {
      uint8('a', a);
      uint8('table', table, 256);
      uint8('out', out, a.length);
    },
    copyPlane(a, out, rows, columns, aAt, aRow, aColumn, outAt, outRow, outColumn) {
      if (!(a instanceof Float32Array)) bytes('a', a);
      const alike = a instanceof Float32Array ? float32 : a instanceof Int8Array ? int8 : uint8;
      alike('out', out);
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
    },
    moments(x, into) {
      float32('x', x);
      float64('into', into, 6);
    },
    histogram(x, low, high, counts) {
      float32('x', x);
      float64('counts', counts);
      if (counts.length === 0) refuse('at least one bin', 'counts', counts);
      if (!(Math.fround(high) > Math.fround(low)) || !Number.isFinite(high) || !Number.isFinite(low))
        refuse('finite low < high', 'low and high', `${low}, ${high}`);
    },
    divergence(p, q, smoothing) {
      float64('p', p);
      float64('q', q, p.length);
      if (!(smoothing >= 0) || !Number.isFinite(smoothing))
        refuse('a finite number >= 0', 'smoothing', smoothing);
    },
    squaredError(a, b) {
      float32('a', a);
      float32('b', b, a.length);
    },
    quantizeError(x, importance, scale, zeroPoint, low, high) {
      float32('x', x);
      if (importance !== null) float32('importance', importance, x.length);
      positive('scale', scale);
      zero(zeroPoint);
      whole('low', low, -128, 255);
      whole('high', high, low, 255);
    },
    gram(x, shape, first, step, into) {
      convShape(shape);
      float32('x', x, inputLength(shape));
      whole('first', first, 0, ELEMENT_LIMIT);
      whole('step', step, 1, ELEMENT_LIMIT);
      const side = (shape.kernelHeight * shape.kernelWidth * shape.inChannels) / shape.groups;
      float64('gram', into, shape.groups * side * side);
    },
    roundWithHessian(w, scales, u, first, last, low, high, q) {
      float64('u', u);
      const side = Math.sqrt(u.length);
      if (!Number.isInteger(side) || side === 0) refuse('a square matrix', 'u', u);
      float32('scales', scales);
      float64('w', w, scales.length * side);
      int8('q', q, scales.length * side);
      whole('first', first, 0, scales.length);
      whole('last', last, first, scales.length);
      for (const scale of scales) positive('scales', scale);
      byteRange(q, low, high);
    },
    peak(bits, rounds) {
      if (bits !== 32) whole('bits', bits, 2, 8);
      whole('rounds', rounds, 0, ELEMENT_LIMIT);
    },
    read(x) {
      int32('x', x);
    },
    copy(x, out) {
      float32('x', x);
      float32('out', out, x.length);
    },
  };
}

/**
 * One verb behind its guard. With eleven parameters, the most that any has: a rest parameter would be an array per
 * call.
 */
function guarded(guard: Call, verb: Call): Call {
  return (a, b, c, d, e, f, g, h, i, j, k) => {
    guard(a, b, c, d, e, f, g, h, i, j, k);
    return verb(a, b, c, d, e, f, g, h, i, j, k);
  };
}

/** One verb of `later` behind its guard: when it is called, and again when its turn comes. */
function guardedLater(guard: Call, verb: Call): Call {
  return async (...values) => {
    const options = isOptions(values.at(-1)) ? (values.pop() as LaterOptions) : {};
    guard(...values);
    const onStart = () => {
      guard(...values);
      options.onStart?.();
    };
    return verb(...values, { ...options, onStart });
  };
}

/**
 * The same verbs with their arguments validated: the same mistake gives the same INVALID_ARGUMENT on every
 * backend. What it returns has its own prototype chain to `kernels`, so everything else passes through.
 */
export function checked(kernels: Kernels): Kernels {
  const guards = guardsOf(kernels);
  const later = kernels.later as unknown as Record<keyof Verbs, Call>;
  return Object.assign(
    Object.create(kernels) as Kernels,
    each(guards as Verbs, (name, guard) => guarded(guard, kernels[name] as Call)),
    { later: each(guards as Verbs, (name, guard) => guardedLater(guard, later[name])) },
  );
}
