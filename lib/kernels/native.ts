import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { SigmaQuantError } from '../errors.ts';
import type { Arena, ConvShape, Isa, Kernels, KernelsOptions, Region, WeightsShape } from './kernels.ts';
import { heapArena } from './reference.ts';

type Handle = { readonly backend: unique symbol };
/** `native/addon.cpp`: every verb with the backend first and shapes as Int32Arrays. */
type Addon = {
  isas(): Isa[];
  create(isa: string, threads: number): Handle | null;
  dispose(handle: Handle): void;
  fused(handle: Handle): boolean;
  /** How far the first byte lies behind a multiple of 64. */
  misalignment(handle: Handle, bytes: Uint8Array): number;
  takeErrors(errorClass: typeof SigmaQuantError): void;
} & Record<Verb, (handle: Handle, ...values: unknown[]) => unknown>;

type Verb = {
  [K in keyof Kernels]: Kernels[K] extends (...values: never[]) => unknown ? K : never;
}[Exclude<keyof Kernels, 'dispose'>];

/** Regions of an arena begin at whole cache lines. */
const ALIGNMENT = 64;

let loaded: Addon | SigmaQuantError | undefined;

/** The addon, from prebuilds/ or build/; throws BACKEND_UNAVAILABLE where there is none that loads. */
function addon(): Addon {
  if (loaded === undefined) {
    try {
      const require = createRequire(import.meta.url);
      const load = require('node-gyp-build') as (directory: string) => Addon;
      loaded = load(fileURLToPath(new URL('../..', import.meta.url)));
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
  if (loaded instanceof SigmaQuantError) throw loaded;
  return loaded;
}

/** Instruction sets of the addon that this processor has, best first; none where there is no addon. */
export function nativeIsas(): Isa[] {
  try {
    return addon().isas();
  } catch (error) {
    if (error instanceof SigmaQuantError) return [];
    throw error;
  }
}

const weightsFields = new Int32Array(5);
const convFields = new Int32Array(16);

/** The fields of `struct WeightsShape` in native/kernels.h. */
function weightsOf(shape: WeightsShape): Int32Array {
  const f = weightsFields;
  f[0] = shape.outChannels;
  f[1] = shape.taps;
  f[2] = shape.channels;
  f[3] = shape.groups;
  f[4] = shape.bits;
  return f;
}

/** The fields of `struct ConvShape` in native/kernels.h. */
function convOf(shape: ConvShape): Int32Array {
  const f = convFields;
  f[0] = shape.batch;
  f[1] = shape.inHeight;
  f[2] = shape.inWidth;
  f[3] = shape.inChannels;
  f[4] = shape.outHeight;
  f[5] = shape.outWidth;
  f[6] = shape.outChannels;
  f[7] = shape.kernelHeight;
  f[8] = shape.kernelWidth;
  f[9] = shape.strideHeight;
  f[10] = shape.strideWidth;
  f[11] = shape.dilationHeight;
  f[12] = shape.dilationWidth;
  f[13] = shape.padTop;
  f[14] = shape.padLeft;
  f[15] = shape.groups;
  return f;
}

/** Regions of ordinary ArrayBuffers that begin at a whole cache line. */
function alignedArena(misalignment: (bytes: Uint8Array) => number): Arena {
  return {
    epoch: 0,
    allocate(byteLength: number): Region {
      const region = heapArena.allocate(byteLength + ALIGNMENT);
      const start = (ALIGNMENT - misalignment(region.bytes())) % ALIGNMENT;
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

/** Where Linux says whether its logical processors share cores. */
const SHARED_CORES = '/sys/devices/system/cpu/smt/active';

/** One thread for each physical core, as far as the system tells. */
function defaultThreads(): number {
  const logical = availableParallelism();
  try {
    return readFileSync(SHARED_CORES, 'utf8').trim() === '1' ? Math.max(1, logical >> 1) : logical;
  } catch {
    return logical;
  }
}

/**
 * The addon with one instruction set and a pool of threads of its own, started when first needed. Throws
 * BACKEND_UNAVAILABLE where there is no addon, or where the processor lacks `options.isa`.
 */
export function createNative(options: KernelsOptions = {}): Kernels {
  const native = addon();
  const available = native.isas();
  const isa = options.isa ?? available[0];
  const threads = options.threads ?? defaultThreads();
  const h = native.create(isa, threads);
  if (h === null)
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected an instruction set of this processor (${available.join(', ')}) but received ${isa}.`,
    );
  const n = native;
  return {
    backend: 'native',
    isa,
    threads,
    fused: native.fused(h),
    arena: alignedArena((bytes) => native.misalignment(h, bytes)),
    dispose: () => native.dispose(h),

    quantize: (x, scale, zero, low, high, q) => void n.quantize(h, x, scale, zero, low, high, q),
    quantizeChannels: (x, scales, zeros, inner, low, high, q) =>
      void n.quantizeChannels(h, x, scales, zeros, inner, low, high, q),
    dequantize: (q, scale, zero, x) => void n.dequantize(h, q, scale, zero, x),
    dequantizeChannels: (q, scales, zeros, inner, x) =>
      void n.dequantizeChannels(h, q, scales, zeros, inner, x),
    pack: (q, bits, packed) => void n.pack(h, q, bits, packed),
    unpack: (packed, bits, q) => void n.unpack(h, packed, bits, q),

    weightsSize: (shape) => n.weightsSize(h, weightsOf(shape)) as number,
    packWeights: (q, shape, packed) => void n.packWeights(h, q, weightsOf(shape), packed),
    gemm: (a, packed, weights, m, zero, bias, multipliers, outZero, low, high, out) =>
      void n.gemm(h, a, packed, weightsOf(weights), m, zero, bias, multipliers, outZero, low, high, out),
    conv: (a, packed, weights, shape, zero, bias, multipliers, outZero, low, high, out) =>
      void n.conv(
        h,
        a,
        packed,
        weightsOf(weights),
        convOf(shape),
        zero,
        bias,
        multipliers,
        outZero,
        low,
        high,
        out,
      ),

    floatWeightsSize: (shape) => n.floatWeightsSize(h, weightsOf(shape)) as number,
    packFloatWeights: (w, shape, packed) => void n.packFloatWeights(h, w, weightsOf(shape), packed),
    floatGemm: (a, packed, weights, m, bias, low, high, out) =>
      void n.floatGemm(h, a, packed, weightsOf(weights), m, bias, low, high, out),
    floatConv: (a, packed, weights, shape, bias, low, high, out) =>
      void n.floatConv(h, a, packed, weightsOf(weights), convOf(shape), bias, low, high, out),

    add: (a, b, low, high, out) => void n.add(h, a, b, low, high, out),
    clamp: (x, low, high, out) => void n.clamp(h, x, low, high, out),
    quantizedAdd: (a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZero, low, high, out) =>
      void n.quantizedAdd(h, a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZero, low, high, out),
    maxPool: (a, shape, out) => void n.maxPool(h, a, convOf(shape), out),
    quantizedMaxPool: (a, shape, out) => void n.quantizedMaxPool(h, a, convOf(shape), out),
    averagePool: (a, shape, countPadding, out) => void n.averagePool(h, a, convOf(shape), countPadding, out),
    quantizedGlobalAverage: (a, batch, channels, zero, multiplier, outZero, low, high, out) =>
      void n.quantizedGlobalAverage(h, a, batch, channels, zero, multiplier, outZero, low, high, out),
    lookup: (a, table, out) => void n.lookup(h, a, table, out),
    copyPlane: (from, to, rows, columns, fromAt, fromRow, fromColumn, toAt, toRow, toColumn) =>
      void n.copyPlane(h, from, to, rows, columns, fromAt, fromRow, fromColumn, toAt, toRow, toColumn),

    moments: (x, into) => void n.moments(h, x, into),
    histogram: (x, low, high, counts) => void n.histogram(h, x, low, high, counts),
    divergence: (p, q, smoothing) => n.divergence(h, p, q, smoothing) as number,
    squaredError: (a, b) => n.squaredError(h, a, b) as number,
    quantizeError: (x, importance, scale, zero, low, high) =>
      n.quantizeError(h, x, importance, scale, zero, low, high) as number,

    gram: (x, shape, first, step, gram) => void n.gram(h, x, convOf(shape), first, step, gram),
    roundWithHessian: (w, scales, u, first, last, low, high, q) =>
      void n.roundWithHessian(h, w, scales, u, first, last, low, high, q),
  };
}
