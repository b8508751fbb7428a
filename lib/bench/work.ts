import type { ByteArray, Kernels, Region, WeightsShape } from '../kernels/kernels.ts';
import type { Limit } from './limits.ts';
import type { BenchMemory } from './memory.ts';
import type { Op, Trial } from './trial.ts';

/** One call of a verb, into buffers that are there already. */
export type Call = () => unknown;
/** Takes views of the regions anew; needed whenever the arena's epoch has risen. */
export type Bind = () => Call;

/** Scales sums of products of bytes so that most of the outputs stay within a byte, as after a real layer. */
const MULTIPLIER = 2 ** -12;
const SCALE = 0.03;
const BINS = 2048;
const RANGE = { low: -4, high: 4 };
const ALL = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };

type Subject<Kind> = Extract<Trial['subject'], { kind: Kind }>;

/** Allocates and fills what the trial needs and packs its weights. Throws OUT_OF_MEMORY. */
export function prepareTrial(kernels: Kernels, memory: BenchMemory, trial: Trial): Bind {
  const { subject } = trial;
  if (subject.kind === 'elements') return ARRAYS[trial.op as ArrayOp](kernels, memory, trial, subject);
  return trial.activations === 'f32'
    ? floatProduct(kernels, memory, subject)
    : integerProduct(kernels, memory, trial, subject);
}

interface Sizes {
  weights: WeightsShape;
  inputs: number;
  outputs: number;
}

function sizesOf(subject: Subject<'matrix' | 'window'>, bits: number): Sizes {
  if (subject.kind === 'matrix') {
    const { m, n, k } = subject;
    const weights = { outChannels: n, taps: 1, channels: k, groups: 1, bits };
    return { weights, inputs: m * k, outputs: m * n };
  }
  const s = subject.shape;
  return {
    weights: {
      outChannels: s.outChannels,
      taps: s.kernelHeight * s.kernelWidth,
      channels: s.inChannels / s.groups,
      groups: s.groups,
      bits,
    },
    inputs: s.batch * s.inHeight * s.inWidth * s.inChannels,
    outputs: s.batch * s.outHeight * s.outWidth * s.outChannels,
  };
}

const countOf = ({ outChannels, taps, channels }: WeightsShape) => outChannels * taps * channels;

/** Requantized in the epilogue, to bytes of the same sign as the activations. */
function integerProduct(
  kernels: Kernels,
  memory: BenchMemory,
  { bits, activations }: Trial,
  subject: Subject<'matrix' | 'window'>,
): Bind {
  const { weights, inputs, outputs } = sizesOf(subject, bits);
  const a = memory.bytes('bytes', inputs);
  const q = memory.bytes(`weights ${bits}`, countOf(weights), bits);
  const packed = memory.region(`packed ${bits}`, kernels.weightsSize(weights), (region) =>
    kernels.packWeights(q.int8(0, countOf(weights)), weights, region.bytes()),
  );
  const multipliers = memory.region('multipliers', 4 * weights.outChannels, (region) =>
    region.float32(0, weights.outChannels).fill(MULTIPLIER),
  );
  const bias = memory.region('bias', 4 * weights.outChannels);
  const out = memory.region('requantized', outputs);
  const signed = activations === 's8';
  const [low, high] = signed ? [-128, 127] : [0, 255];
  return () => {
    const [x, w, y] = [bytesOf(a, inputs, signed), packed.bytes(), bytesOf(out, outputs, signed)];
    const [b, m] = [bias.int32(0, weights.outChannels), multipliers.float32(0, weights.outChannels)];
    return subject.kind === 'window'
      ? () => kernels.conv(x, w, weights, subject.shape, 0, b, m, 0, low, high, y)
      : () => kernels.gemm(x, w, weights, subject.m, 0, b, m, 0, low, high, y);
  };
}

function floatProduct(kernels: Kernels, memory: BenchMemory, subject: Subject<'matrix' | 'window'>): Bind {
  const { weights, inputs, outputs } = sizesOf(subject, 8);
  const a = memory.floats('floats', inputs);
  const w = memory.floats('float weights', countOf(weights));
  const packed = memory.region('packed floats', kernels.floatWeightsSize(weights), (region) =>
    kernels.packFloatWeights(w.float32(0, countOf(weights)), weights, region.bytes()),
  );
  const bias = memory.region('float bias', 4 * weights.outChannels);
  const out = memory.region('products', 4 * outputs);
  return () => {
    const [x, p, y] = [a.float32(0, inputs), packed.bytes(), out.float32(0, outputs)];
    const b = bias.float32(0, weights.outChannels);
    return subject.kind === 'window'
      ? () => kernels.floatConv(x, p, weights, subject.shape, b, ALL.low, ALL.high, y)
      : () => kernels.floatGemm(x, p, weights, subject.m, b, ALL.low, ALL.high, y);
  };
}

const bytesOf = (region: Region, length: number, signed: boolean): ByteArray =>
  signed ? region.int8(0, length) : region.bytes(0, length);

type ArrayOp = Exclude<Op, 'gemm' | 'gemv' | 'conv' | 'depthwise'>;
type Prepare = (kernels: Kernels, memory: BenchMemory, trial: Trial, subject: Subject<'elements'>) => Bind;

const ARRAYS: Record<ArrayOp, Prepare> = {
  quantize(kernels, memory, { activations, bits }, { count }) {
    const x = memory.floats('floats', count);
    const q = memory.region('bytes', count);
    const signed = activations === 's8';
    const [low, high] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    const zero = signed ? 0 : 2 ** (bits - 1);
    return () => {
      const [from, to] = [x.float32(0, count), bytesOf(q, count, signed)];
      return () => kernels.quantize(from, SCALE, zero, low, high, to);
    };
  },
  dequantize(kernels, memory, { activations }, { count }) {
    const q = memory.bytes('bytes', count);
    const x = memory.region('floats', 4 * count);
    const signed = activations === 's8';
    return () => {
      const [from, to] = [bytesOf(q, count, signed), x.float32(0, count)];
      return () => kernels.dequantize(from, SCALE, signed ? 0 : 128, to);
    };
  },
  moments(kernels, memory, _, { count }) {
    const x = memory.floats('floats', count);
    const into = new Float64Array(6);
    return () => {
      const from = x.float32(0, count);
      return () => kernels.moments(from, into);
    };
  },
  histogram(kernels, memory, _, { count, rectified }) {
    const x = memory.floats('floats', count, rectified);
    const counts = new Float64Array(BINS);
    return () => {
      const from = x.float32(0, count);
      return () => kernels.histogram(from, RANGE.low, RANGE.high, counts);
    };
  },
  squaredError(kernels, memory, _, { count }) {
    const [a, b] = [memory.floats('floats', count), memory.floats('others', count)];
    return () => {
      const [x, y] = [a.float32(0, count), b.float32(0, count)];
      return () => kernels.squaredError(x, y);
    };
  },
  quantizeError(kernels, memory, { bits }, { count }) {
    const x = memory.floats('floats', count);
    const half = 2 ** (bits - 1);
    return () => {
      const from = x.float32(0, count);
      return () => kernels.quantizeError(from, null, RANGE.high / half, 0, -half, half - 1);
    };
  },
  pack(kernels, memory, { bits }, { count }) {
    const q = memory.bytes(`integers ${bits}`, count, bits);
    const size = Math.ceil((count * bits) / 8);
    const packed = memory.region(`packed ${bits}`, size);
    return () => {
      const [from, to] = [q.int8(0, count), packed.bytes(0, size)];
      return () => kernels.pack(from, bits, to);
    };
  },
  unpack(kernels, memory, { bits }, { count }) {
    const size = Math.ceil((count * bits) / 8);
    const packed = memory.bytes('packed', size);
    const q = memory.region('integers', count);
    return () => {
      const [from, to] = [packed.bytes(0, size), q.int8(0, count)];
      return () => kernels.unpack(from, bits, to);
    };
  },
  call(kernels, memory, trial, subject) {
    return CALLS[trial.shape](kernels, memory, trial, subject);
  },
};

/** A product with as many weights as there are elements. */
function smallProduct(
  kernels: Kernels,
  memory: BenchMemory,
  trial: Trial,
  { count }: Subject<'elements'>,
): Bind {
  const side = Math.sqrt(count);
  return integerProduct(kernels, memory, trial, { kind: 'matrix', m: 1, n: side, k: side });
}

/** Verbs on so few elements that what is measured is the call. */
const CALLS: Record<string, Prepare> = {
  quantize: ARRAYS.quantize,
  dequantize: ARRAYS.dequantize,
  moments: ARRAYS.moments,
  lookup(kernels, memory, _, { count }) {
    const [a, table, out] = [
      memory.bytes('bytes', count),
      memory.bytes('table', 256),
      memory.region('out', count),
    ];
    return () => {
      const [from, by, to] = [a.bytes(0, count), table.bytes(0, 256), out.bytes(0, count)];
      return () => kernels.lookup(from, by, to);
    };
  },
  add(kernels, memory, _, { count }) {
    const [a, out] = [memory.floats('floats', count), memory.region('out', 4 * count)];
    return () => {
      const [x, to] = [a.float32(0, count), out.float32(0, count)];
      return () => kernels.add(x, x, ALL.low, ALL.high, to);
    };
  },
  gemm: smallProduct,
};

/** Rounds of a limit's loop: about a tenth of a millisecond. A multiple of 16, as `Kernels.peak` wants. */
const PEAK_ROUNDS = 16_000;

/** The loop of a limit, and the operations or bytes of one call: known once workers have joined, after measuring. */
export interface PreparedLimit {
  bind: Bind;
  work: () => number;
}

/** Null where the machine has no such limit. */
export function prepareLimit(kernels: Kernels, memory: BenchMemory, limit: Limit): PreparedLimit | null {
  if (limit.limit === 'peak') {
    const { bits } = limit;
    if (kernels.peak(bits, 1) === 0) return null;
    return {
      bind: () => () => kernels.peak(bits, PEAK_ROUNDS),
      work: () => 2 * kernels.peak(bits, PEAK_ROUNDS),
    };
  }
  const count = Math.ceil(limit.bytes / 4);
  const source = memory.floats('source', count);
  if (limit.limit === 'read') {
    const bind = () => {
      const words = source.int32(0, count);
      return () => kernels.read(words);
    };
    return { bind, work: () => limit.bytes };
  }
  const target = memory.region('target', 4 * count);
  const streaming = limit.limit === 'stream';
  const bind = () => {
    const [from, to] = [source.float32(0, count), target.float32(0, count)];
    return () => kernels.copy(from, to, streaming);
  };
  return { bind, work: () => (streaming ? 2 : 1) * limit.bytes };
}
