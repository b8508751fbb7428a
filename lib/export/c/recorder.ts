import type { Kernels, Verbs } from '../../kernels/kernels.ts';
import { heapArena } from '../../kernels/reference.ts';

/** A call of one kernel with its arguments. */
export type Call = { [V in keyof Verbs]: { verb: V; values: Parameters<Verbs[V]> } }[keyof Verbs];

/**
 * Kernels that compute nothing: each call is handed to `take`. Weights are packed as they come, one byte each, so that
 * calls carry them.
 */
export function recordingKernels(take: (call: Call) => void): Kernels {
  const own: Partial<Kernels> = {
    backend: 'reference',
    isa: 'typescript',
    threads: 1,
    fused: false,
    arena: heapArena,
    record: null,
    dispose() {},
    weightsSize: ({ outChannels, taps, channels }) => outChannels * taps * channels,
    packWeights: (q, _, packed) => packed.set(q),
    floatWeightsSize: () => 0,
    packFloatWeights() {},
  };
  return new Proxy(own, {
    get: (target, name) =>
      name in target
        ? target[name as keyof Kernels]
        : (...values: unknown[]) => take({ verb: name, values } as unknown as Call),
  }) as Kernels;
}
