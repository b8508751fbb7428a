import type { Kernels } from './kernels.ts';

export function createReference(): Kernels {
  throw new Error('written next');
}
