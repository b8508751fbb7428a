import type { ByteArray, Kernels } from '../../lib/kernels/kernels.ts';
import { type Contender, time } from './contender.ts';
import { multipliers, type Problem } from './problem.ts';

type Numbers = Float32Array | Int32Array | ByteArray;

interface Plan {
  /** The output last. */
  buffers: Numbers[];
  /** One call, on views of the buffers in the backend's arena. */
  // biome-ignore lint/suspicious/noExplicitAny: each plan knows the types of its own buffers
  call(...views: any[]): void;
}

/** Our side: weights packed, everything in the backend's arena, plain calls. */
export function openOurs(kernels: Kernels, problem: Problem): Contender {
  const { buffers, call } = plan(kernels, problem);
  const regions = buffers.map((buffer) => {
    const region = kernels.arena.allocate(buffer.byteLength);
    region.bytes().set(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
    return region;
  });
  // Taken anew for each turn: WASM memory that grew has detached older ones.
  const views = () =>
    regions.map((region, i) => {
      if (buffers[i] instanceof Float32Array) return region.float32();
      if (buffers[i] instanceof Int32Array) return region.int32();
      return buffers[i] instanceof Int8Array ? region.int8() : region.bytes();
    });
  return {
    way: `${kernels.backend} ${kernels.isa}`,
    async run(calls) {
      const now = views();
      return time(calls, () => call(...now));
    },
    output: async () => views().at(-1)!,
    close: async () => regions.forEach((region) => void region.release()),
  };
}

function plan(kernels: Kernels, problem: Problem): Plan {
  const { trial, gemm, conv, weights, a, outLength, scale } = problem;
  const floats = () => new Float32Array(outLength);
  switch (trial.op) {
    case 'quantize':
      return {
        buffers: [a, new Uint8Array(outLength)],
        call: (x: Float32Array, q: Uint8Array) => kernels.quantize(x, scale, 128, 0, 255, q),
      };
    case 'dequantize':
      return {
        buffers: [a, floats()],
        call: (q: Uint8Array, x: Float32Array) => kernels.dequantize(q, scale, 128, x),
      };
    case 'add':
      return {
        buffers: [a, floats()],
        call: (x: Float32Array, sum: Float32Array) => kernels.add(x, x, -Infinity, Infinity, sum),
      };
  }
  const shape = weights!;
  if (trial.bits === 32) {
    const packed = new Uint8Array(kernels.floatWeightsSize(shape));
    kernels.packFloatWeights(problem.w as Float32Array, shape, packed);
    return conv
      ? {
          buffers: [a, packed, problem.bias, floats()],
          call: (x, w, bias, out) => kernels.floatConv(x, w, shape, conv, bias, -Infinity, Infinity, out),
        }
      : {
          buffers: [a, packed, floats()],
          call: (x, w, out) => kernels.floatGemm(x, w, shape, gemm!.m, null, -Infinity, Infinity, out),
        };
  }
  const packed = new Uint8Array(kernels.weightsSize(shape));
  kernels.packWeights(problem.w as Int8Array, shape, packed);
  const factors = multipliers(problem);
  const signed = trial.activations === 's8';
  const [low, high] = signed ? [-128, 127] : [0, 255];
  const bytes = () => (signed ? new Int8Array(outLength) : new Uint8Array(outLength));
  switch (trial.op) {
    case 'gemm':
      return {
        buffers: [a, packed, new Int32Array(outLength)],
        call: (x, w, out) => kernels.gemm(x, w, shape, gemm!.m, 0, null, null, 0, 0, 0, out),
      };
    case 'gemm-requantize':
      return {
        buffers: [a, packed, factors, bytes()],
        call: (x, w, m, out) => kernels.gemm(x, w, shape, gemm!.m, 0, null, m, 0, low, high, out),
      };
    case 'gemm-float-io':
      // Levels -127..127 from 128 on: unsigned activations are multiplied where they lie.
      return {
        buffers: [a, new Uint8Array(a.length), packed, factors, floats()],
        call(x, q, w, m, out) {
          kernels.quantize(x, scale, 128, 1, 255, q);
          kernels.gemm(q, w, shape, gemm!.m, 128, null, m, 0, 0, 0, out);
        },
      };
    default:
      return {
        buffers: [a, packed, problem.bias, factors, bytes()],
        call: (x, w, bias, m, out) => kernels.conv(x, w, shape, conv!, 0, bias, m, 0, low, high, out),
      };
  }
}
