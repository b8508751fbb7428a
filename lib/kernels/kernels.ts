/**
 * The centre of the house: everything that must be fast, as one interface. Its comments are the contract;
 * `test/kernels.contract.ts` proves it on every backend of the machine in one process.
 *
 * Rules for all verbs
 * - Inputs first, then the description, then the caller's output buffer. An implementation neither allocates
 *   JavaScript memory nor throws: `checked(kernels)` validates above it. Outputs may not overlap inputs unless
 *   the verb says so. Length 0 is served (nothing is written).
 * - fl(x) is x rounded to float32, rne(x) rounds half to even. Activations are NHWC, weights OHWI
 *   ([outChannels][taps][channels]), matrices row-major.
 * - Equality classes. *exact*: the same bits on every backend, instruction set and thread count. *fused*: the
 *   same bits on all tiers with fused multiply-add and every thread count; scalar, WASM and reference agree
 *   with them within |error| <= (depth + 2) * 2^-24 * sum |a*w| per output, and are each repeatable.
 * - Buffers made by `arena` are used in place by every backend. Buffers from elsewhere are accepted too; a
 *   backend that cannot read JavaScript's memory (WASM) copies them in and out.
 * - Float inputs of statistics are finite: what NaN does there is not specified.
 */

import type { Arena } from './arena.ts';
import type { GradientVerbs } from './gradient-verbs.ts';

export type { Arena, Region } from './arena.ts';

/** Who computes: the addon, WebAssembly, or plain TypeScript, the oracle of the others. */
export type BackendName = 'native' | 'wasm' | 'reference';
/** Instruction sets, best last within each architecture; `wasm` and `reference` have one each. */
export type Isa =
  | 'scalar'
  | 'avx2'
  | 'avxvnni'
  | 'avx512vnni'
  | 'neon'
  | 'neondot'
  | 'i8mm'
  | 'simd128'
  | 'typescript';

/** Bytes whose signedness is that of the integers in them. */
export type ByteArray = Int8Array | Uint8Array;

/** Rounding range of a b-bit integer: low..high inclusive. -128..127 into Int8Array or 0..255 into Uint8Array. */

/** Shape of constant weights; what a packed handle is made for. k = taps * channels per output channel. */
export interface WeightsShape {
  outChannels: number;
  /** Kernel height * kernel width; 1 for a matrix. */
  taps: number;
  /** Input channels of one group; for a matrix, its depth. */
  channels: number;
  groups: number;
  /** 2..8. Ignored by the float verbs. */
  bits: number;
}

/** Geometry of a two-dimensional convolution or pool. 1-D has height 1. */
export interface ConvShape {
  batch: number;
  inHeight: number;
  inWidth: number;
  inChannels: number;
  outHeight: number;
  outWidth: number;
  outChannels: number;
  kernelHeight: number;
  kernelWidth: number;
  strideHeight: number;
  strideWidth: number;
  dilationHeight: number;
  dilationWidth: number;
  /** Padding before the first row and column; what follows the last is implied by the output's size. */
  padTop: number;
  padLeft: number;
  groups: number;
}

export interface Kernels extends Verbs {
  readonly backend: BackendName;
  readonly isa: Isa;
  /** Threads that calls may use; results do not depend on it. */
  readonly threads: number;
  /** True on tiers with fused multiply-add (see *fused* above). */
  readonly fused: boolean;
  readonly arena: Arena;
  /**
   * Ends the backend's threads and frees its memory, after the asynchronous call that may run. Calls made afterwards
   * are still served, by the calling thread alone.
   */
  dispose(): void;
  /** The same verbs as promises; the event loop goes on meanwhile. */
  readonly later: Later;
  /**
   * Notes the calls that `calls` makes instead of making them. What is written there happens when the tape is played:
   * to the same arrays, whose buffers must not be detached. Calls that return numbers are made all the same. Null where a tape could do no more than the calls (WASM, reference).
   */
  readonly record: ((calls: () => void) => Tape) | null;
}

/** Calls recorded once, to be made again as one, without JavaScript between them. */
export interface Tape {
  /** Makes the recorded calls now. */
  play(): void;
  /** The same on another thread, in the order of the backend's asynchronous calls. */
  later(options?: LaterOptions): Promise<void>;
}

/** All that computes. */
export interface Verbs extends GradientVerbs {
  // ---- quantize: exact ------------------------------------------------------------------------------------
  // q = clamp(rne(fl(x / scale)) + zeroPoint, low, high): a true division. NaN gives clamp(zeroPoint),
  // infinities saturate. 2^(b-1) ranges and the like are the caller's: low and high lie within the type of q.

  /** x [n] -> q [n], one scale (> 0, finite). */
  quantize(x: Float32Array, scale: number, zeroPoint: number, low: number, high: number, q: ByteArray): void;
  /** x [outer][channels][inner]; scales and zeroPoints [channels]; outer = x.length / (channels * inner). */
  quantizeChannels(
    x: Float32Array,
    scales: Float32Array,
    zeroPoints: Int32Array,
    inner: number,
    low: number,
    high: number,
    q: ByteArray,
  ): void;
  /** x = fl((q - zeroPoint) * scale). */
  dequantize(q: ByteArray, scale: number, zeroPoint: number, x: Float32Array): void;
  /** The same with a scale and a zero point for each channel; `inner` values of a channel lie together. */
  dequantizeChannels(
    q: ByteArray,
    scales: Float32Array,
    zeroPoints: Int32Array,
    inner: number,
    x: Float32Array,
  ): void;
  /**
   * Dense form: element i takes bits [i*b, (i+1)*b) of the stream, least significant bit first, two's
   * complement (or unsigned), straddling bytes, zero tail. packed has ceil(n*bits/8) bytes.
   */
  pack(q: ByteArray, bits: number, packed: Uint8Array): void;
  /** Sign-extends into an Int8Array, zero-extends into a Uint8Array. Inverse of pack. */
  unpack(packed: Uint8Array, bits: number, q: ByteArray): void;

  // ---- integer GEMM and convolution: exact ------------------------------------------------------------------
  // sum = bias[n] + Σ_k (a[k] - zeroPoint) * w[n][k], int32, wrapping. a is unsigned or signed by its array's type.
  // The type of out chooses the epilogue:
  //   Int32Array   out = sum                                       (multipliers ignored)
  //   Float32Array out = fl(fl(sum) * multipliers[n])
  //   byte array   out = clamp(rne(fl(fl(sum) * multipliers[n])) + outZeroPoint, low, high)
  // Depth limit 131,071 for s8 without zero point, else 65,793: `checked` refuses more.

  /** Bytes that packWeights fills for this shape. */
  weightsSize(shape: WeightsShape): number;
  /** q [outChannels][taps][channels] with values of `bits` signed bits -> packed, the backend's private layout. */
  packWeights(q: Int8Array, shape: WeightsShape, packed: Uint8Array): void;
  /** a [m][k] times packed weights (taps 1, groups 1) -> out [m][outChannels]. bias may be null (zeros). */
  gemm(
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
  ): void;
  /** a NHWC, padding counts as zeroPoint (so it adds nothing) -> out NHWC. Epilogue as gemm. */
  conv(
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
  ): void;

  // ---- float GEMM and convolution: fused ----------------------------------------------------------------------
  // out = min(max(acc + bias[n], low), high), acc one float32 accumulator from 0, k = (tap, channel) ascending,
  // fused multiply-add where the tier has it. Padding contributes zeros.

  /** Bytes of packed float weights. */
  floatWeightsSize(shape: WeightsShape): number;
  /** w [outChannels][taps][channels] -> packed (floatWeightsSize bytes). */
  packFloatWeights(w: Float32Array, shape: WeightsShape, packed: Uint8Array): void;
  /** a [m][depth] -> out [m][outChannels]. */
  floatGemm(
    a: Float32Array,
    packed: Uint8Array,
    weights: WeightsShape,
    m: number,
    bias: Float32Array | null,
    low: number,
    high: number,
    out: Float32Array,
  ): void;
  /** a and out channels-last, as in `conv`. */
  floatConv(
    a: Float32Array,
    packed: Uint8Array,
    weights: WeightsShape,
    shape: ConvShape,
    bias: Float32Array | null,
    low: number,
    high: number,
    out: Float32Array,
  ): void;

  // ---- element by element: exact ------------------------------------------------------------------------------

  /** out = min(max(fl(a + b), low), high). out may be a or b. */
  add(a: Float32Array, b: Float32Array, low: number, high: number, out: Float32Array): void;
  /** out = min(max(x, low), high); NaN gives low. out may be x. */
  clamp(x: Float32Array, low: number, high: number, out: Float32Array): void;
  /**
   * onnxruntime's QLinearAdd: ra = fl(scaleA/scaleOut), rb likewise,
   * fixed = fl(outZeroPoint - fl(ra*zeroA + fl(rb*zeroB))),
   * out = clamp(rne(fl(a*ra + fl(b*rb + fixed))), low, high); inside fl() float64, where the products are exact: what
   * its fused multiply-adds give (networks with such additions agree to the bit: benchmarks/RESULTS.md).
   */
  quantizedAdd(
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
  ): void;
  /** Maximum over the window's taps that lie inside; groups and outChannels as inChannels. */
  maxPool(a: Float32Array, shape: ConvShape, out: Float32Array): void;
  /** The same of bytes, whose scale and zero point stay. exact. */
  quantizedMaxPool(a: Uint8Array, shape: ConvShape, out: Uint8Array): void;
  /**
   * fl(sum / count) with one float32 accumulator from 0, taps row by row; count is the taps inside, or all of
   * the window with countPadding. exact.
   */
  averagePool(a: Float32Array, shape: ConvShape, countPadding: boolean, out: Float32Array): void;
  /**
   * Global average of a [batch][pixels][channels]: sum = Σ a - pixels*zeroPoint in int32,
   * out = clamp(rne(fl(fl(sum) * multiplier)) + outZeroPoint, low, high), multiplier = fl(scaleIn / fl(scaleOut*pixels)).
   */
  quantizedGlobalAverage(
    a: Uint8Array,
    batch: number,
    channels: number,
    zeroPoint: number,
    multiplier: number,
    outZeroPoint: number,
    low: number,
    high: number,
    out: Uint8Array,
  ): void;
  /** out[i] = table[a[i]], table of 256. out may be a. Concat and other requantizations by table. */
  lookup(a: Uint8Array, table: Uint8Array, out: Uint8Array): void;
  /**
   * out[outAt + r*outRow + c*outColumn] = a[aAt + r*aRow + c*aColumn] for r < rows, c < columns; in
   * elements. Both arrays are of one type and do not overlap.
   */
  copyPlane(
    a: Float32Array | ByteArray,
    out: Float32Array | ByteArray,
    rows: number,
    columns: number,
    aAt: number,
    aRow: number,
    aColumn: number,
    outAt: number,
    outRow: number,
    outColumn: number,
  ): void;

  // ---- statistics: exact ------------------------------------------------------------------------------------
  // float64 without contraction; element i belongs to lane i mod 16; the 16 lanes are folded as
  // l[j] += l[j+8] for j < 8, then 4, 2, 1. Accumulators start at 0 (min at +Infinity, max at -Infinity).
  // Powers: d = (double)x, d2 = d*d, s3 += d2*d, s4 += d2*d2.

  /** into = [min, max, Σx, Σx², Σx³, Σx⁴] of x; previous content is overwritten. */
  moments(x: Float32Array, into: Float64Array): void;
  /**
   * Adds to counts (float64, whole numbers): bin = trunc(clamp(fl(fl(x - low) * inverse), 0, bins - 1)) with
   * inverse = fl(bins / fl(high - low)), float32 throughout. What lies outside is counted in the edge bins.
   */
  histogram(x: Float32Array, low: number, high: number, counts: Float64Array): void;
  /**
   * KL(P‖Q) in nats of two histograms on the same bins; P_i = (p_i + smoothing) / Σ(p + smoothing), Q likewise.
   * Terms Pi*(log Pi - log Qi) with `log` of math.ts, terms with P_i = 0 left out; lanes as above. +Infinity
   * where smoothing is 0 and some P_i > 0 = Q_i.
   */
  divergence(p: Float64Array, q: Float64Array, smoothing: number): number;
  /** Σ ((double)a - (double)b)². */
  squaredError(a: Float32Array, b: Float32Array): number;
  /**
   * Σ importance[i] * ((double)x - (double)dequantized)² after quantize and dequantize (as above); importance
   * null means 1 (and no multiplication).
   */
  quantizeError(
    x: Float32Array,
    importance: Float32Array | null,
    scale: number,
    zeroPoint: number,
    low: number,
    high: number,
  ): number;

  // ---- second-order rounding: exact ---------------------------------------------------------------------------

  /**
   * Adds to gram [groups][k][k] (float64, both triangles) the products xᵀx of the convolution's input patches,
   * k = (tap, channel), padding as zeros, for output positions first, first + step, ... of all
   * batch*outHeight*outWidth, in ascending order, each product exact in float64 and added in that order.
   * shape.outChannels is ignored. A matrix is a 1x1 convolution.
   */
  gram(x: Float32Array, shape: ConvShape, first: number, step: number, gram: Float64Array): void;
  /**
   * GPTQ for rows [first, last) of w [rows][k] (float64, destroyed: it ends as the row's remaining error):
   * for j ascending: q = clamp(rne(w[j] / scale[row]), low, high) in float64, e = (w[j] - q*scale) / u[j][j],
   * w[i] -= e*u[j][i] for i > j, no contraction. u [k][k] is the upper Cholesky factor of the inverse Hessian.
   * q [rows][k].
   */
  roundWithHessian(
    w: Float64Array,
    scales: Float32Array,
    u: Float64Array,
    first: number,
    last: number,
    low: number,
    high: number,
    q: Int8Array,
  ): void;

  // ---- limits: what `bench` measures the others against -------------------------------------------------------
  // Each uses every thread of the backend, whatever the size.

  /**
   * Runs `rounds` rounds of the products that the tier uses for weights of `bits` bits (2..8, or 32 for float
   * multiply-adds) on registers alone, on every thread, and returns the multiply-adds done: twice that over the time is
   * the instructions' limit. Proportional to `rounds` where those are a multiple of 16. 0 where nothing ran because
   * there is no such limit: portable code (scalar, reference) is what its compiler makes of it.
   */
  peak(bits: number, rounds: number): number;
  /** The wrapping sum of x as an int32: reads every byte once. exact. */
  read(x: Int32Array): number;
  /**
   * out = x, bit by bit: the system's memory copy, or with `streaming` stores past the caches where the tier has
   * them. exact.
   */
  copy(x: Float32Array, out: Float32Array, streaming: boolean): void;
}

/** When an asynchronous call begins, and whether it still should. */
export interface LaterOptions {
  /** A call that has not begun when it aborts rejects with its reason; one that has begun runs to its end. */
  signal?: AbortSignal;
  /** Called when the call's turn has come, right before it begins; what it throws rejects the call. */
  onStart?(): void;
}

/**
 * Every verb with the same arguments, and options that may follow them; resolves to the same results, to the bit, and
 * rejects with what the verb would throw. Calls of one backend run one after another, in the order they were made.
 *
 * - native computes on another thread. Arrays over a SharedArrayBuffer are used in place. Others are copied when the
 *   call begins and what it writes is copied back when it ends, on the calling thread: JavaScript could detach or
 *   shrink them meanwhile (then the call rejects). So large data that lives long, such as packed weights, belongs into
 *   shared memory. A synchronous call of the same backend meanwhile computes on the calling thread alone.
 * - WASM and reference compute on the calling thread: they let the event loop turn before each call, but not during one.
 *
 * Arguments may not be changed, nor outputs read, before the promise settles.
 */
export type Later = {
  [K in keyof Verbs]: (
    ...values: [...Parameters<Verbs[K]>, options?: LaterOptions]
  ) => Promise<ReturnType<Verbs[K]>>;
};

/** What a backend is made from; see index.ts for the choice among them. */
export interface KernelsOptions {
  backend?: BackendName;
  /** An instruction set that this processor has; the best by default. */
  isa?: Isa;
  /**
   * 1 to 256. Default: physical cores, as far as processor affinity and cgroup limits leave them to this process; one
   * in WASM, where more need workers that can share memory.
   */
  threads?: number;
}
