import { refuse, SigmaQuantError } from '../errors.ts';
import type { BackendName, Isa, Kernels, KernelsOptions } from './kernels.ts';

/** How each backend is made, best first. A row throws BACKEND_UNAVAILABLE where it cannot run. */
export type Backends = Record<BackendName, (options: KernelsOptions) => Promise<Kernels>>;

/** More threads than this help nobody and cost memory. */
const THREAD_LIMIT = 256;

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

/**
 * The kernels of one of `backends`: the one asked for, or the best that runs here. Asking for an instruction set asks
 * for native. Throws BACKEND_UNAVAILABLE, or INVALID_ARGUMENT for an unknown name.
 */
export async function chooseKernels(backends: Backends, options: KernelsOptions): Promise<Kernels> {
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
