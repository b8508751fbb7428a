import { checked } from './checked.ts';
import { type Backends, chooseKernels } from './choose.ts';

export type { Backends } from './choose.ts';

import type { Kernels, KernelsOptions } from './kernels.ts';
import { createReference } from './reference.ts';

export type * from './kernels.ts';
export { nextTask } from './later.ts';
export { exp, log, roundHalfEven } from './math.ts';
export { checked };

/** One row per backend, best first. A row throws BACKEND_UNAVAILABLE where it cannot run. */
export const backends: Backends = {
  native: async (options) => (await import('./native.ts')).createNative(options),
  wasm: async (options) => (await import('./wasm.ts')).createWasm(options),
  reference: async () => createReference(),
};

/**
 * The kernels of one backend: the one asked for, or the best that runs here (native, WASM, reference). Asking for
 * an instruction set asks for native. Throws BACKEND_UNAVAILABLE, or INVALID_ARGUMENT for an unknown name.
 */
export function createKernels(options: KernelsOptions = {}): Promise<Kernels> {
  return chooseKernels(backends, options);
}
