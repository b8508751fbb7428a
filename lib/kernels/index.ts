import { SigmaQuantError } from '../errors.ts';
import { checked } from './checked.ts';
import type { BackendName, Kernels, KernelsOptions } from './kernels.ts';
import { createReference } from './reference.ts';

export type * from './kernels.ts';
export { checked };

/** One row per backend, best first. A row throws BACKEND_UNAVAILABLE where it cannot run. */
export const backends: Record<BackendName, (options: KernelsOptions) => Promise<Kernels>> = {
  native: async () => {
    throw new SigmaQuantError('BACKEND_UNAVAILABLE', 'Expected the native addon but it is not built.');
  },
  wasm: async () => {
    throw new SigmaQuantError('BACKEND_UNAVAILABLE', 'Expected the WASM module but it is not built.');
  },
  reference: async () => createReference(),
};
