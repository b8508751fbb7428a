import { DEVICE_ROUNDS, measureDevice as measure } from '../bench/device.ts';
import { refuse } from '../errors.ts';
import type { Device } from '../hardware/index.ts';
import { createKernels } from '../kernels/index.ts';
import { computer } from './bench.ts';
import { defined } from './options.ts';
import type { Flags } from './program.ts';
import type { Terminal } from './terminal.ts';

const MOST_ROUNDS = 1000;

/** `sigmaquant devices measure`: this machine, with the best kernels that it has. */
export async function measureDevice(flags: Flags, name: string, terminal: Terminal): Promise<Device> {
  const rounds = (flags['rounds'] as number | undefined) ?? DEVICE_ROUNDS;
  if (rounds < 1 || rounds > MOST_ROUNDS) refuse(`a whole number from 1 to ${MOST_ROUNDS}`, 'rounds', rounds);
  const kernels = await createKernels({
    threads: 1,
    ...defined({ threads: flags['threads'] as number | undefined }),
  });
  try {
    return await measure({
      kernels,
      name,
      computer: computer(),
      rounds,
      host: { now: () => performance.now(), pause: () => new Promise((resolve) => setImmediate(resolve)) },
      signal: terminal.signal,
      onProgress: terminal.progress,
    });
  } finally {
    kernels.dispose();
  }
}
