import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { quantize } from '../lib/index.ts';
import type { MixedAllocations } from './networks/network.ts';
import { loadPairs } from './pairs.ts';

/**
 * Makes mixed.json, the mixed allocation that `networks`, `steps` and `equality` run: our own search at four bits on
 * average, every width from 2 to 8 offered, first and last layer free as well. Few samples, no second-order rounding:
 * the widths are to be such as a search finds, not the best that it could find.
 * `npm --prefix benchmarks run mixed`
 */
const AVERAGE_BITS = 4;
const SAMPLES = 64;

const { values: flags } = parseArgs({ options: { pairs: { type: 'string' }, only: { type: 'string' } } });

const made: MixedAllocations = {};
for (const pair of loadPairs(flags.pairs, flags.only)) {
  const { averageBits, strategy, layers } = await quantize({
    model: pair.model,
    calibration: pair.calibration,
    preprocessing: pair.preprocessing,
    targets: [`bits=${AVERAGE_BITS}`],
    bits: [2, 3, 4, 5, 6, 7, 8],
    freeEnds: true,
    recovery: 'none',
    samples: SAMPLES,
    evaluations: 4,
  });
  made[pair.name] = {
    strategy,
    averageBits: Number(averageBits.toFixed(3)),
    widths: Object.fromEntries(layers.map(({ name, weights }) => [name, weights])),
  };
  process.stderr.write(`${pair.name}: ${averageBits.toFixed(2)} bits\n`);
}
writeFileSync(fileURLToPath(new URL('mixed.json', import.meta.url)), `${JSON.stringify(made, null, 2)}\n`);
