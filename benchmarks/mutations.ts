import { parseArgs } from 'node:util';
import { checked, createKernels } from '../lib/kernels/index.ts';
import type { KernelsOptions } from '../lib/kernels/kernels.ts';
import { writeSqnt } from '../lib/sqnt/index.ts';
import { sampleNetwork } from '../test/sqnt/models.ts';
import { mutations } from '../test/sqnt/mutations.ts';

/**
 * Packed files with random bytes changed, cut out or repeated, every second one with its checksum made right: each is
 * refused with an error that names a byte, a node or a tensor, or it loads and runs. Ends with an error at the first
 * that does anything else.
 * `npm --prefix benchmarks run mutations -- --count 1000000 --json`
 */
const { values: flags } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    backend: { type: 'string', default: 'native' },
    json: { type: 'boolean', default: false },
  },
});

const kernels = checked(
  await createKernels({ backend: flags.backend as NonNullable<KernelsOptions['backend']>, threads: 1 }),
);
const original = writeSqnt(sampleNetwork().model);
const before = process.memoryUsage.rss();
const counts = mutations(original, Number(flags.count), Number(flags.seed), kernels);
const row = {
  bytes: original.length,
  seed: Number(flags.seed),
  backend: flags.backend,
  ...counts,
  grownBytes: process.memoryUsage.rss() - before,
};
console.log(
  flags.json
    ? JSON.stringify(row, null, 2)
    : Object.entries(row)
        .map(([name, value]) => `${name} ${value}`)
        .join('\n'),
);
kernels.dispose();
