import type { ByteArray, ConvShape, WeightsShape } from '../../lib/kernels/kernels.ts';
import { convShape, type GemmShape, gemmShape, type Trial, weightsShape } from './trials.ts';

/** The numbers of one trial: both sides compute with these. */
export interface Problem {
  trial: Trial;
  gemm?: GemmShape;
  conv?: ConvShape;
  weights?: WeightsShape;
  /** [m][k], NHWC, or the elements; whole bytes of full range where activations are bytes. */
  a: Float32Array | ByteArray;
  /** [outChannels][taps][channels]: the full signed range of the width, or floats. */
  w: Int8Array | Float32Array;
  bias: Int32Array | Float32Array;
  scale: number;
  /** One per output channel. */
  weightScales: Float32Array;
  outScale: number;
  /** Length of the output. */
  outLength: number;
}

/** Outputs spread over about this many steps, so that few saturate and none are all alike. */
const SPREAD = 40;

/** A seeded stream of whole numbers of 0..2^32-1. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

export function makeProblem(trial: Trial): Problem {
  const next = random(trial.shape.length + trial.bits);
  const fraction = () => next() / 2 ** 32;
  const normal = () => fraction() + fraction() + fraction() - 1.5;
  const bytes = (length: number) => {
    const a = new Uint8Array(length).map(() => next() >>> 24);
    return trial.activations === 's8' ? new Int8Array(a.buffer) : a;
  };
  const floats = (length: number) => new Float32Array(length).map(normal);
  const none = { w: new Int8Array(), bias: new Int32Array(), weightScales: new Float32Array(), outScale: 1 };
  if (trial.op === 'quantize' || trial.op === 'dequantize' || trial.op === 'add') {
    const length = Number(trial.shape);
    const a = trial.op === 'dequantize' ? bytes(length) : floats(length);
    return { trial, a, ...none, scale: Math.fround(0.0123), outLength: length };
  }
  const weights = weightsShape(trial);
  const conv = /conv/.test(trial.op) ? convShape(trial.shape) : undefined;
  const gemm = conv === undefined ? gemmShape(trial.shape) : undefined;
  const depth = weights.taps * weights.channels;
  const inputs = conv ? conv.inHeight * conv.inWidth * conv.inChannels : gemm!.m * gemm!.k;
  const outLength = conv ? conv.outHeight * conv.outWidth * conv.outChannels : gemm!.m * gemm!.n;
  const half = 2 ** (trial.bits - 1);
  const w =
    trial.bits === 32
      ? floats(weights.outChannels * depth)
      : new Int8Array(weights.outChannels * depth).map(() => (next() >>> (32 - trial.bits)) - half);
  const a = trial.activations === 'f32' ? floats(inputs) : bytes(inputs);
  const bias = conv
    ? trial.bits === 32
      ? floats(weights.outChannels)
      : new Int32Array(weights.outChannels).map(() => (next() >>> 22) - 512)
    : new Int32Array();
  // Standard deviation of a sum of `depth` products of uniform numbers (u8 without zero point: root mean square).
  const spread = (trial.activations === 's8' ? 74 : 147) * (half / Math.sqrt(3)) * Math.sqrt(depth);
  const scale = trial.activations === 'f32' ? Math.fround(1.5 / 127) : Math.fround(0.0173);
  const outScale = Math.fround(0.113);
  const weightScales = new Float32Array(weights.outChannels).map(
    () => ((0.75 + fraction() / 2) * SPREAD * outScale) / (scale * spread),
  );
  return { trial, gemm, conv, weights, a, w, bias, scale, weightScales, outScale, outLength };
}

/** fl(scale * weightScales) and, with `outScale`, fl of that over it: onnxruntime's order. */
export function multipliers({ scale, weightScales, outScale, trial }: Problem): Float32Array {
  const product = weightScales.map((weightScale) => scale * weightScale);
  return trial.op === 'gemm-float-io' ? product : product.map((value) => value / outScale);
}
