import { createRequire } from 'node:module';
import { SigmaQuantError } from '../errors.ts';
import { addonFile } from './addon-file.ts';
import { physicalCores } from './cores.ts';
import type {
  Arena,
  ConvShape,
  Isa,
  Kernels,
  KernelsOptions,
  Later,
  LaterOptions,
  Region,
  Tape,
  Verbs,
  WeightsShape,
} from './kernels.ts';
import { queued } from './later.ts';
import { heapArena } from './reference.ts';

type Handle = { readonly backend: unique symbol };
/**
 * Every verb with the backend first and without its shapes, which are described in `shapes` before the call; what it
 * returns (never, to the compiler) is what the verb does.
 */
type AddonVerbs = Record<keyof Verbs | 'play', (handle: Handle, ...values: unknown[]) => never>;
/** `native/addon.cpp`. */
type Addon = {
  isas(): Isa[];
  create(isa: string, threads: number, shapes: Int32Array): Handle | null;
  dispose(handle: Handle): void;
  fused(handle: Handle): boolean;
  /** Of fresh memory: asks for large pages, and returns how far its first byte lies behind a multiple of 64. */
  settle(handle: Handle, bytes: Uint8Array): number;
  takeErrors(errorClass: typeof SigmaQuantError): void;
  /** From here on calls are recorded, until `recorded`, which returns the tape that `play` takes. */
  record(handle: Handle): void;
  recorded(handle: Handle): object;
  /** The same on a thread of Node's, as promises. One at a time on each backend. */
  later: AddonVerbs;
} & AddonVerbs;

/** Regions of an arena begin at whole cache lines. */
const ALIGNMENT = 64;

let loaded: Addon | SigmaQuantError | undefined;

/** The addon, or why none can be had here. */
function tried(): Addon | SigmaQuantError {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)(addonFile()) as Addon;
      loaded.takeErrors(SigmaQuantError);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
      loaded = new SigmaQuantError(
        'BACKEND_UNAVAILABLE',
        `Expected the native addon but it does not load: ${reason}.`,
        { cause },
      );
    }
  }
  return loaded;
}

/** Throws BACKEND_UNAVAILABLE where there is no addon that loads. */
function addon(): Addon {
  const found = tried();
  if (found instanceof SigmaQuantError) throw found;
  return found;
}

/** Why there is no addon here; null where there is one. */
export function nativeFailure(): SigmaQuantError | null {
  const found = tried();
  return found instanceof SigmaQuantError ? found : null;
}

/** Instruction sets of the addon that this processor has, best first; none where there is no addon. */
export function nativeIsas(): Isa[] {
  const found = tried();
  return found instanceof SigmaQuantError ? [] : found.isas();
}

/**
 * Where shapes are described for the addon, which reads them without being handed them: the fields of
 * `struct WeightsShape` and then those of `struct ConvShape` in native/kernels.h. Never handed out, so never detached.
 */
const shapes = new Int32Array(new ArrayBuffer(21 * 4));

function describeWeights(shape: WeightsShape): void {
  shapes[0] = shape.outChannels;
  shapes[1] = shape.taps;
  shapes[2] = shape.channels;
  shapes[3] = shape.groups;
  shapes[4] = shape.bits;
}

function describe(shape: ConvShape): void {
  shapes[5] = shape.batch;
  shapes[6] = shape.inHeight;
  shapes[7] = shape.inWidth;
  shapes[8] = shape.inChannels;
  shapes[9] = shape.outHeight;
  shapes[10] = shape.outWidth;
  shapes[11] = shape.outChannels;
  shapes[12] = shape.kernelHeight;
  shapes[13] = shape.kernelWidth;
  shapes[14] = shape.strideHeight;
  shapes[15] = shape.strideWidth;
  shapes[16] = shape.dilationHeight;
  shapes[17] = shape.dilationWidth;
  shapes[18] = shape.padTop;
  shapes[19] = shape.padLeft;
  shapes[20] = shape.groups;
}

/** Regions of ordinary ArrayBuffers that begin at a whole cache line. */
function alignedArena(settle: (bytes: Uint8Array) => number): Arena {
  return {
    epoch: 0,
    allocate(byteLength: number): Region {
      const region = heapArena.allocate(byteLength + ALIGNMENT);
      const start = (ALIGNMENT - settle(region.bytes())) % ALIGNMENT;
      const rest = (offset: number, size: number) => Math.floor((byteLength - offset) / size);
      return {
        byteLength,
        bytes: (offset = 0, length = rest(offset, 1)) => region.bytes(start + offset, length),
        int8: (offset = 0, length = rest(offset, 1)) => region.int8(start + offset, length),
        int32: (offset = 0, length = rest(offset, 4)) => region.int32(start + offset, length),
        float32: (offset = 0, length = rest(offset, 4)) => region.float32(start + offset, length),
        release: () => region.release(),
      };
    },
  };
}

/**
 * The verbs over the addon's, or over its asynchronous ones: what those return, a promise, is passed on as it is.
 */
function verbsOf(n: AddonVerbs, h: Handle): Verbs {
  return {
    quantize: (x, scale, zero, low, high, q) => n.quantize(h, x, scale, zero, low, high, q),
    quantizeChannels: (x, scales, zeros, inner, low, high, q) =>
      n.quantizeChannels(h, x, scales, zeros, inner, low, high, q),
    dequantize: (q, scale, zero, x) => n.dequantize(h, q, scale, zero, x),
    dequantizeChannels: (q, scales, zeros, inner, x) => n.dequantizeChannels(h, q, scales, zeros, inner, x),
    pack: (q, bits, packed) => n.pack(h, q, bits, packed),
    unpack: (packed, bits, q) => n.unpack(h, packed, bits, q),

    weightsSize(shape) {
      describeWeights(shape);
      return n.weightsSize(h);
    },
    packWeights(q, shape, packed) {
      describeWeights(shape);
      return n.packWeights(h, q, packed);
    },
    gemm(a, packed, weights, m, zero, bias, multipliers, outZero, low, high, out) {
      describeWeights(weights);
      return n.gemm(h, a, packed, m, zero, bias, multipliers, outZero, low, high, out);
    },
    conv(a, packed, weights, shape, zero, bias, multipliers, outZero, low, high, out) {
      describeWeights(weights);
      describe(shape);
      return n.conv(h, a, packed, zero, bias, multipliers, outZero, low, high, out);
    },

    floatWeightsSize(shape) {
      describeWeights(shape);
      return n.floatWeightsSize(h);
    },
    packFloatWeights(w, shape, packed) {
      describeWeights(shape);
      return n.packFloatWeights(h, w, packed);
    },
    floatGemm(a, packed, weights, m, bias, low, high, out) {
      describeWeights(weights);
      return n.floatGemm(h, a, packed, m, bias, low, high, out);
    },
    floatConv(a, packed, weights, shape, bias, low, high, out) {
      describeWeights(weights);
      describe(shape);
      return n.floatConv(h, a, packed, bias, low, high, out);
    },

    floatConvGradient(x, outGradient, shape, gradient) {
      describe(shape);
      return n.floatConvGradient(h, x, outGradient, gradient);
    },
    sumChannels: (a, b, channels, sums) => n.sumChannels(h, a, b, channels, sums),
    affineChannels: (x, scales, shifts, low, high, out) =>
      n.affineChannels(h, x, scales, shifts, low, high, out),
    combineChannels: (x, y, a, b, shifts, out) => n.combineChannels(h, x, y, a, b, shifts, out),
    clampGradient: (y, gradient, low, high, out) => n.clampGradient(h, y, gradient, low, high, out),
    quantizeGradient: (x, gradient, scale, zero, low, high, out) =>
      n.quantizeGradient(h, x, gradient, scale, zero, low, high, out),

    add: (a, b, low, high, out) => n.add(h, a, b, low, high, out),
    clamp: (x, low, high, out) => n.clamp(h, x, low, high, out),
    quantizedAdd: (a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZero, low, high, out) =>
      n.quantizedAdd(h, a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZero, low, high, out),
    maxPool(a, shape, out) {
      describe(shape);
      return n.maxPool(h, a, out);
    },
    quantizedMaxPool(a, shape, out) {
      describe(shape);
      return n.quantizedMaxPool(h, a, out);
    },
    averagePool(a, shape, countPadding, out) {
      describe(shape);
      return n.averagePool(h, a, countPadding, out);
    },
    quantizedGlobalAverage: (a, batch, channels, zero, multiplier, outZero, low, high, out) =>
      n.quantizedGlobalAverage(h, a, batch, channels, zero, multiplier, outZero, low, high, out),
    lookup: (a, table, out) => n.lookup(h, a, table, out),
    copyPlane: (a, out, rows, columns, aAt, aRow, aColumn, outAt, outRow, outColumn) =>
      n.copyPlane(h, a, out, rows, columns, aAt, aRow, aColumn, outAt, outRow, outColumn),

    moments: (x, into) => n.moments(h, x, into),
    histogram: (x, low, high, counts) => n.histogram(h, x, low, high, counts),
    divergence: (p, q, smoothing) => n.divergence(h, p, q, smoothing),
    squaredError: (a, b) => n.squaredError(h, a, b),
    quantizeError: (x, importance, scale, zero, low, high) =>
      n.quantizeError(h, x, importance, scale, zero, low, high),

    gram(x, shape, first, step, gram) {
      describe(shape);
      return n.gram(h, x, first, step, gram);
    },
    roundWithHessian: (w, scales, u, first, last, low, high, q) =>
      n.roundWithHessian(h, w, scales, u, first, last, low, high, q),

    peak: (bits, rounds) => n.peak(h, bits, rounds),
    read: (x) => n.read(h, x),
    copy: (x, out, streaming) => n.copy(h, x, out, streaming),
  };
}

/**
 * The addon with one instruction set and a pool of threads of its own, started when first needed. Throws
 * BACKEND_UNAVAILABLE where there is no addon, or where the processor lacks `options.isa`.
 */
export function createNative(options: KernelsOptions = {}): Kernels {
  const native = addon();
  const available = native.isas();
  const isa = options.isa ?? available[0];
  const threads = options.threads ?? physicalCores();
  const h = available.includes(isa) ? native.create(isa, threads, shapes) : null;
  if (h === null)
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected an instruction set of this processor (${available.join(', ')}) but received ${isa}.`,
    );
  const { play, ...later } = queued({
    ...verbsOf(native.later, h),
    play: (tape: object) => native.later.play(h, tape),
  } as Verbs) as Later & { play(tape: object, options?: LaterOptions): Promise<void> };
  const record = (calls: () => void): Tape => {
    native.record(h);
    let tape: object;
    try {
      calls();
    } finally {
      tape = native.recorded(h);
    }
    return { play: () => native.play(h, tape), later: (options = {}) => play(tape, options) };
  };
  return {
    backend: 'native',
    isa,
    threads,
    fused: native.fused(h),
    arena: alignedArena((bytes) => native.settle(h, bytes)),
    dispose: () => native.dispose(h),
    ...verbsOf(native, h),
    later,
    record,
  };
}
