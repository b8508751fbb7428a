import { refuse, SigmaQuantError } from '../errors.ts';
import { checked } from './checked.ts';
import type { BackendName, Isa, Kernels, KernelsOptions } from './kernels.ts';
import { createReference } from './reference.ts';

export type * from './kernels.ts';
export { nextTask } from './later.ts';
export { exp, log, roundHalfEven } from './math.ts';
export { checked };

/** One row per backend, best first. A row throws BACKEND_UNAVAILABLE where it cannot run. */
export const backends: Record<BackendName, (options: KernelsOptions) => Promise<Kernels>> = {
  native: async (options) => (await import('./native.ts')).createNative(options),
  wasm: async (options) => (await import('./wasm.ts')).createWasm(options),
  reference: async () => createReference(),
};

/** What `SIGMAQUANT_BACKEND`, `SIGMAQUANT_ISA` and `SIGMAQUANT_THREADS` say; explicit options win. */
function fromEnvironment(): KernelsOptions {
  const environment: Record<string, string | undefined> = globalThis.process?.env ?? {};
  const { SIGMAQUANT_BACKEND: backend, SIGMAQUANT_ISA: isa, SIGMAQUANT_THREADS: threads } = environment;
  return {
    ...(backend ? { backend: backend as BackendName } : {}),
    ...(isa ? { isa: isa as Isa } : {}),
    ...(threads ? { threads: Number(threads) } : {}),
  };
}

/** More threads than this help nobody and cost memory. */
const THREAD_LIMIT = 256;

/**
 * The kernels of one backend: the one asked for, or the best that runs here (native, WASM, reference). Asking for
 * an instruction set asks for native. Throws BACKEND_UNAVAILABLE, or INVALID_ARGUMENT for an unknown name.
 */
export async function createKernels(options: KernelsOptions = {}): Promise<Kernels> {
  const explicit = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const wanted: KernelsOptions = { ...fromEnvironment(), ...explicit };
  if (wanted.backend !== undefined && !Object.hasOwn(backends, wanted.backend))
    refuse(`one of ${Object.keys(backends).join(', ')}`, 'backend', wanted.backend);
  const { threads } = wanted;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= THREAD_LIMIT))
    refuse(`a whole number from 1 to ${THREAD_LIMIT}`, 'threads', threads);
  if (wanted.backend !== undefined) return backends[wanted.backend](wanted);
  if (wanted.isa !== undefined) return backends.native(wanted);
  for (const create of Object.values(backends)) {
    try {
      return await create(wanted);
    } catch (error) {
      // By its code, not its class: a lazily imported backend may bring a second copy of the class with it.
      if ((error as Partial<SigmaQuantError>).code !== 'BACKEND_UNAVAILABLE') throw error;
    }
  }
  throw new SigmaQuantError('BACKEND_UNAVAILABLE', 'Expected at least one backend but none runs here.');
}
