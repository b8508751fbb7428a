import { createKernels } from '../../lib/kernels/index.ts';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import { median } from '../results.ts';
import { rest } from '../rivals/compare.ts';

/** A few tenths of a millisecond each, as long as a small network. */
const ROUNDS = 65_536;
const RUNS = 21;

/** Operations per microsecond with weights of that width on registers alone, run by run; empty where there is no limit. */
function rates(kernels: Kernels, bits: number): number[] {
  if (kernels.peak(bits, 16) === 0) return [];
  return Array.from({ length: RUNS }, () => {
    const start = performance.now();
    const products = kernels.peak(bits, ROUNDS);
    return (2 * products) / ((performance.now() - start) * 1000);
  });
}

/** The most that the threads can do. */
export function peakOf(kernels: Kernels, bits: number): number {
  return Math.max(...rates(kernels, bits));
}

/**
 * How many times the products of one thread these threads do at the same time, medians: what is missing was taken by
 * other work on the machine, and then no figure for several threads means anything.
 */
export async function speedup(backend: 'native' | 'wasm', threads: number): Promise<number> {
  const medians: number[] = [];
  for (const count of [1, threads]) {
    const kernels = await createKernels({ backend, threads: count });
    await rest();
    medians.push(median(rates(kernels, 8)));
    kernels.dispose();
  }
  return medians[1] / medians[0];
}
