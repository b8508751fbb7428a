import { SigmaQuantError } from '../errors.ts';
import { checked } from './checked.ts';
import { type Backends, chooseKernels } from './choose.ts';
import type { Kernels, KernelsOptions } from './kernels.ts';
import { createReference } from './reference.ts';
import { createWasm } from './wasm.ts';

/** `sigmaquant/kernels` in a browser: the same names, no addon. */
export type * from './kernels.ts';
export { nextTask } from './later.ts';
export { exp, log, roundHalfEven } from './math.ts';
export { checked };

/** As in Node; native is never there. */
export const backends: Backends = {
  native: async () => {
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      'Expected wasm or reference for backend in a browser but received native.',
    );
  },
  wasm: createWasm,
  reference: async () => createReference(),
};

/** As in Node: the backend asked for, or the best that runs here (WASM, reference). */
export function createKernels(options: KernelsOptions = {}): Promise<Kernels> {
  return chooseKernels(backends, options);
}
