import { SigmaQuantError } from '../errors.ts';
import type { Arena, Kernels, Region } from './kernels.ts';
import { sliced } from './later.ts';
import * as elementwise from './reference-elementwise.ts';
import * as float from './reference-float.ts';
import * as gradients from './reference-gradients.ts';
import * as integer from './reference-integer.ts';
import * as limits from './reference-limits.ts';
import * as statistics from './reference-statistics.ts';

/** The oracle: the shortest correct code, one thread, no vectors. Everything else is compared with it. */
export function createReference(): Kernels {
  const { laneSum: _, ...sums } = statistics;
  const verbs = { ...integer, ...float, ...gradients, ...elementwise, ...sums, ...limits };
  return {
    backend: 'reference',
    isa: 'typescript',
    threads: 1,
    fused: false,
    arena: heapArena,
    dispose() {},
    ...verbs,
    later: sliced(verbs),
    record: null,
  };
}

/** An arena over ordinary ArrayBuffers, for backends that read JavaScript's memory in place. */
export const heapArena: Arena = {
  epoch: 0,
  allocate(byteLength: number): Region {
    let buffer: ArrayBuffer;
    try {
      buffer = new ArrayBuffer(byteLength);
      new Uint8Array(buffer); // views may be shorter than buffers
    } catch (cause) {
      throw new SigmaQuantError(
        'OUT_OF_MEMORY',
        `Expected ${byteLength} bytes of memory but none are left.`,
        { cause },
      );
    }
    return {
      byteLength,
      bytes: (offset = 0, length = byteLength - offset) => new Uint8Array(buffer, offset, length),
      int8: (offset = 0, length = byteLength - offset) => new Int8Array(buffer, offset, length),
      int32: (offset = 0, length = (byteLength - offset) >> 2) => new Int32Array(buffer, offset, length),
      float32: (offset = 0, length = (byteLength - offset) >> 2) => new Float32Array(buffer, offset, length),
      release() {
        buffer = new ArrayBuffer(0);
      },
    };
  },
};
