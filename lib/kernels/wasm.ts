import { copyPlane } from './copy-plane.ts';
import type { ByteArray, ConvShape, Kernels, KernelsOptions, WeightsShape } from './kernels.ts';
import { sliced } from './later.ts';
import { matrixShape } from './reference-integer.ts';
import { Stage, type View, WasmArena } from './wasm-memory.ts';
import { loadModule, unavailable, type WasmModule } from './wasm-module.ts';
import { canShare, type SharedVerb, Team } from './wasm-threads.ts';

/** The order of assembly/shape.ts. */
const SHAPE_FIELDS = [
  'batch',
  'inHeight',
  'inWidth',
  'inChannels',
  'outHeight',
  'outWidth',
  'outChannels',
  'kernelHeight',
  'kernelWidth',
  'strideHeight',
  'strideWidth',
  'dilationHeight',
  'dilationWidth',
  'padTop',
  'padLeft',
  'groups',
] as const satisfies readonly (keyof ConvShape)[];

/** Kinds of input and output as assembly/tile.ts and assembly/epilogue.ts number them. */
const inputKind = (a: ByteArray) => (a instanceof Int8Array ? 1 : 0);
const outputKind = (out: Int32Array | Float32Array | ByteArray) =>
  out instanceof Int32Array ? 0 : out instanceof Float32Array ? 1 : 2;
const isSigned = (q: ByteArray) => (q instanceof Int8Array ? 1 : 0);

/**
 * The WASM SIMD backend: arrays of its arena in place, others copied in and out. One thread unless `threads` asks for
 * more and workers can share memory here (in browsers: where the page is cross-origin isolated): convolutions and
 * matrix products are then shared out. Throws BACKEND_UNAVAILABLE where the module is missing or SIMD is not supported,
 * or an instruction set is asked for.
 */
export async function createWasm(options: KernelsOptions = {}): Promise<Kernels> {
  const { isa, threads = 1 } = options;
  if (isa !== undefined && isa !== 'simd128')
    throw unavailable(`Expected simd128 for isa of the WASM module but received ${isa}.`);
  const shared = threads > 1 && (await canShare()) ? await loadModule(true).catch(() => null) : null;
  const module = shared ?? (await loadModule(false));
  const arena = new WasmArena(module.memory, module.verbs.memoryStart());
  return kernelsOf(module, arena, shared && (await Team.create(module, arena, threads)));
}

export function kernelsOf({ memory, verbs: wasm }: WasmModule, arena: WasmArena, team: Team | null): Kernels {
  const stage = new Stage(arena);
  const { at } = stage;
  const describedAt = arena.take(SHAPE_FIELDS.length * 4);

  /** Writes the shape where the module reads it; returns its address. */
  const describe = (shape: ConvShape): number => {
    const words = new Int32Array(memory.buffer, describedAt, SHAPE_FIELDS.length);
    for (let i = 0; i < SHAPE_FIELDS.length; i++) words[i] = shape[SHAPE_FIELDS[i]];
    return describedAt;
  };

  const threadsFor = ({ taps, channels }: WeightsShape, out: View): number =>
    team ? team.threadsFor(out.length * taps * channels) : 1;

  /** For what is measured on all threads whatever its size. */
  const everyThread = (): number => team?.threadsFor(Number.POSITIVE_INFINITY) ?? 1;

  const run = (verb: SharedVerb, threads: number, parameters: number[]): void => {
    if (threads > 1) team!.run(verb, parameters);
    else wasm[verb](...parameters, 0, 1);
  };

  const convolve: Kernels['conv'] = (
    a,
    packed,
    weights,
    shape,
    zeroPoint,
    bias,
    multipliers,
    outZeroPoint,
    low,
    high,
    out,
  ) => {
    if (out.length === 0) return;
    const s = describe(shape);
    const threads = threadsFor(weights, out);
    const views: (View | null)[] = [a, packed, bias, multipliers, out];
    const [input, output] = [inputKind(a), outputKind(out)];
    stage.open(views, 4, threads * wasm.integerScratch(s));
    const [pa, pw, pb, pm, po] = at;
    const range = [output, outZeroPoint, low, high];
    run('conv', threads, [s, weights.bits, input, pa, zeroPoint, pw, pb, pm, ...range, po, stage.scratch]);
    stage.close(views, 4);
  };

  const convolveFloat: Kernels['floatConv'] = (a, packed, weights, shape, bias, low, high, out) => {
    if (out.length === 0) return;
    const s = describe(shape);
    const threads = threadsFor(weights, out);
    const views: (View | null)[] = [a, packed, bias, out];
    stage.open(views, 3, threads * wasm.floatScratch(s));
    run('floatConv', threads, [s, at[0], at[1], at[2], low, high, at[3], stage.scratch]);
    stage.close(views, 3);
  };

  /** The verbs that have one input, one output and a shape. */
  const pool = (verb: (shape: number) => void, a: View, shape: ConvShape, out: View) => {
    if (out.length === 0) return;
    const views = [a, out];
    const s = describe(shape);
    stage.open(views, 1);
    verb(s);
    stage.close(views, 1);
  };

  const kernels: Omit<Kernels, 'later'> = {
    backend: 'wasm',
    isa: 'simd128',
    get threads() {
      return team?.threads ?? 1;
    },
    fused: false,
    arena,
    record: null,
    dispose: () => team?.end(),

    quantize(x, scale, zeroPoint, low, high, q) {
      const views = [x, q];
      const n = x.length;
      stage.open(views, 1);
      wasm.quantize(at[0], n, scale, zeroPoint, low, high, at[1]);
      stage.close(views, 1);
    },
    quantizeChannels(x, scales, zeroPoints, inner, low, high, q) {
      const views = [x, scales, zeroPoints, q];
      const [n, channels] = [x.length, scales.length];
      stage.open(views, 3);
      wasm.quantizeChannels(at[0], n, at[1], at[2], channels, inner, low, high, at[3]);
      stage.close(views, 3);
    },
    dequantize(q, scale, zeroPoint, x) {
      const views = [q, x];
      const n = q.length;
      stage.open(views, 1);
      wasm.dequantize(at[0], n, isSigned(q), scale, zeroPoint, at[1]);
      stage.close(views, 1);
    },
    dequantizeChannels(q, scales, zeroPoints, inner, x) {
      const views = [q, scales, zeroPoints, x];
      const [n, channels] = [q.length, scales.length];
      stage.open(views, 3);
      wasm.dequantizeChannels(at[0], n, isSigned(q), at[1], at[2], channels, inner, at[3]);
      stage.close(views, 3);
    },
    pack(q, bits, packed) {
      const views = [q, packed];
      const n = q.length;
      stage.open(views, 1);
      wasm.pack(at[0], n, bits, at[1]);
      stage.close(views, 1);
    },
    unpack(packed, bits, q) {
      const views = [packed, q];
      const n = q.length;
      stage.open(views, 1);
      wasm.unpack(at[0], bits, n, isSigned(q), at[1]);
      stage.close(views, 1);
    },

    weightsSize: ({ outChannels, taps, channels, groups, bits }) =>
      wasm.weightsSize(outChannels, taps, channels, groups, bits),
    packWeights(q, { outChannels, taps, channels, groups, bits }, packed) {
      const views = [q, packed];
      stage.open(views, 1, wasm.packScratch(outChannels, taps, channels, groups), true);
      wasm.packWeights(at[0], outChannels, taps, channels, groups, bits, at[1], stage.scratch);
      stage.close(views, 1);
    },
    gemm(a, packed, weights, m, zeroPoint, bias, multipliers, outZeroPoint, low, high, out) {
      const shape = columnShape(weights, m);
      convolve(a, packed, weights, shape, zeroPoint, bias, multipliers, outZeroPoint, low, high, out);
    },
    conv: convolve,

    floatWeightsSize: ({ outChannels, taps, channels, groups }) =>
      wasm.floatWeightsSize(outChannels, taps, channels, groups),
    packFloatWeights(w, { outChannels, taps, channels, groups }, packed) {
      const views = [w, packed];
      stage.open(views, 1, 0, true);
      wasm.packFloatWeights(at[0], outChannels, taps, channels, groups, at[1]);
      stage.close(views, 1);
    },
    floatGemm(a, packed, weights, m, bias, low, high, out) {
      convolveFloat(a, packed, weights, columnShape(weights, m), bias, low, high, out);
    },
    floatConv: convolveFloat,

    floatConvGradient(x, outGradient, shape, gradient) {
      if (outGradient.length === 0) {
        gradient.fill(0);
        return;
      }
      const s = describe(shape);
      const threads = team ? team.threadsFor(x.length * (gradient.length / shape.inChannels)) : 1;
      const views = [x, outGradient, gradient];
      stage.open(views, 2, wasm.gradientScratch(s, threads));
      const [px, pg, into] = at;
      run('gradientRuns', threads, [s, px, pg, stage.scratch]);
      wasm.addRuns(s, stage.scratch, into);
      stage.close(views, 2);
    },
    sumChannels(a, b, channels, sums) {
      const views = [a, b, sums];
      const n = a.length;
      stage.open(views, 2, 16 * channels);
      wasm.sumChannels(at[0], at[1], n, channels, at[2], stage.scratch);
      stage.close(views, 2);
    },
    affineChannels(x, scales, shifts, low, high, out) {
      const views = [x, scales, shifts, out];
      const [n, channels] = [x.length, scales.length];
      stage.open(views, 3);
      wasm.affineChannels(at[0], n, at[1], at[2], channels, low, high, at[3]);
      stage.close(views, 3);
    },
    combineChannels(x, y, a, b, shifts, out) {
      const views = [x, y, a, b, shifts, out];
      const [n, channels] = [x.length, a.length];
      stage.open(views, 5);
      wasm.combineChannels(at[0], at[1], n, at[2], at[3], at[4], channels, at[5]);
      stage.close(views, 5);
    },
    clampGradient(y, gradient, low, high, out) {
      const views = [y, gradient, out];
      const n = y.length;
      stage.open(views, 2);
      wasm.clampGradient(at[0], at[1], n, low, high, at[2]);
      stage.close(views, 2);
    },
    quantizeGradient(x, gradient, scale, zeroPoint, low, high, out) {
      const views = [x, gradient, out];
      const n = x.length;
      stage.open(views, 2);
      const sum = wasm.quantizeGradient(at[0], at[1], n, scale, low - zeroPoint, high - zeroPoint, at[2]);
      stage.close(views, 2);
      return sum;
    },

    add(a, b, low, high, out) {
      const views = [a, b, out];
      const n = a.length;
      stage.open(views, 2);
      wasm.add(at[0], at[1], n, low, high, at[2]);
      stage.close(views, 2);
    },
    clamp(x, low, high, out) {
      const views = [x, out];
      const n = x.length;
      stage.open(views, 1);
      wasm.clamp(at[0], n, low, high, at[1]);
      stage.close(views, 1);
    },
    quantizedAdd(a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZeroPoint, low, high, out) {
      const views = [a, b, out];
      const n = a.length;
      stage.open(views, 2);
      wasm.quantizedAdd(
        at[0],
        scaleA,
        zeroA,
        at[1],
        scaleB,
        zeroB,
        n,
        scaleOut,
        outZeroPoint,
        low,
        high,
        at[2],
      );
      stage.close(views, 2);
    },
    maxPool: (a, shape, out) => pool((s) => wasm.maxPool(s, at[0], at[1]), a, shape, out),
    quantizedMaxPool: (a, shape, out) => pool((s) => wasm.quantizedMaxPool(s, at[0], at[1]), a, shape, out),
    averagePool: (a, shape, countPadding, out) =>
      pool((s) => wasm.averagePool(s, at[0], countPadding ? 1 : 0, at[1]), a, shape, out),
    quantizedGlobalAverage(a, batch, channels, zeroPoint, multiplier, outZeroPoint, low, high, out) {
      if (out.length === 0) return;
      const views = [a, out];
      const pixels = a.length / (batch * channels);
      stage.open(views, 1);
      wasm.quantizedGlobalAverage(
        at[0],
        batch,
        pixels,
        channels,
        zeroPoint,
        multiplier,
        outZeroPoint,
        low,
        high,
        at[1],
      );
      stage.close(views, 1);
    },
    copyPlane,
    lookup(a, table, out) {
      const views = [a, table, out];
      const n = a.length;
      stage.open(views, 2);
      wasm.lookup(at[0], n, at[1], at[2]);
      stage.close(views, 2);
    },

    moments(x, into) {
      const views = [x, into];
      const n = x.length;
      stage.open(views, 1);
      wasm.moments(at[0], n, at[1]);
      stage.close(views, 1);
    },
    histogram(x, low, high, counts) {
      const views = [x, counts];
      const [n, bins] = [x.length, counts.length];
      stage.open(views, 1, wasm.histogramScratch(bins), true);
      wasm.histogram(at[0], n, low, high, bins, at[1], stage.scratch);
      stage.close(views, 1);
    },
    divergence(p, q, smoothing) {
      const n = p.length;
      stage.open([p, q], 2);
      return wasm.divergence(at[0], at[1], n, smoothing);
    },
    squaredError(a, b) {
      const n = a.length;
      stage.open([a, b], 2);
      return wasm.squaredError(at[0], at[1], n);
    },
    quantizeError(x, importance, scale, zeroPoint, low, high) {
      const n = x.length;
      stage.open([x, importance], 2);
      return wasm.quantizeError(at[0], at[1], n, scale, zeroPoint, low, high);
    },

    gram(x, shape, first, step, gram) {
      const views = [x, gram];
      const s = describe(shape);
      stage.open(views, 1, wasm.gramScratch(s), true);
      wasm.gram(s, at[0], first, step, at[1], stage.scratch);
      stage.close(views, 1);
    },
    roundWithHessian(w, scales, u, first, last, low, high, q) {
      const views = [scales, u, w, q];
      const k = Math.sqrt(u.length);
      stage.open(views, 2, 0, true);
      wasm.roundWithHessian(at[2], at[0], at[1], k, first, last, low, high, at[3]);
      stage.close(views, 2);
    },

    peak(bits, rounds) {
      const threads = everyThread();
      run('peak', threads, [bits, rounds]);
      return threads * rounds * wasm.peakProducts(bits);
    },
    read(x) {
      const n = x.length;
      const threads = everyThread();
      stage.open([x], 1, 4 * threads);
      run('readWords', threads, [at[0], n, stage.scratch]);
      return new Int32Array(memory.buffer, stage.scratch, threads).reduce((sum, part) => (sum + part) | 0, 0);
    },
    copy(x, out) {
      const views = [x, out];
      const n = x.length;
      stage.open(views, 1);
      run('copyWords', everyThread(), [at[0], at[1], n]);
      stage.close(views, 1);
    },
  };
  return Object.assign(kernels, { later: sliced(kernels) });
}

/** A matrix as a column of pixels: tiles are made of whole rows. */
function columnShape(weights: WeightsShape, m: number): ConvShape {
  return { ...matrixShape(weights, m), inHeight: m, inWidth: 1, outHeight: m, outWidth: 1 };
}
