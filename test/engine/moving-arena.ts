import type { Arena, Kernels, Region } from '../../lib/kernels/kernels.ts';

/** Verbs after which the memory moves, as WASM memory does when it grows. */
const MOVING = ['floatConv', 'conv', 'gemm', 'packFloatWeights', 'packWeights'] as const;

/** The same kernels over an arena that moves at nearly every turn and detaches all older views. */
export function moving(kernels: Kernels, bytes: number): Kernels & { moves(): number } {
  let buffer = new ArrayBuffer(bytes);
  let used = 0;
  let epoch = 0;
  const move = () => {
    buffer = structuredClone(buffer, { transfer: [buffer] });
    epoch++;
  };
  const arena: Arena = {
    get epoch() {
      return epoch;
    },
    allocate(byteLength): Region {
      const start = used;
      used += Math.ceil(byteLength / 64) * 64;
      move();
      return {
        byteLength,
        bytes: (offset = 0, length = byteLength - offset) => new Uint8Array(buffer, start + offset, length),
        int8: (offset = 0, length = byteLength - offset) => new Int8Array(buffer, start + offset, length),
        int32: (offset = 0, length = (byteLength - offset) >> 2) =>
          new Int32Array(buffer, start + offset, length),
        float32: (offset = 0, length = (byteLength - offset) >> 2) =>
          new Float32Array(buffer, start + offset, length),
        release() {},
      };
    },
  };
  const verbs = MOVING.map((verb) => [
    verb,
    (...args: unknown[]) => {
      (kernels[verb] as (...args: unknown[]) => void)(...args);
      move();
    },
  ]);
  return { ...kernels, ...Object.fromEntries(verbs), arena, moves: () => epoch };
}
