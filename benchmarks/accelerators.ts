import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { summary } from './accelerators/summary.ts';
import type { Row, Trial } from './accelerators/trial.ts';
import { type Failure, runInOwnProcess } from './own-process.ts';
import { loadPairs, typedPath } from './pairs.ts';
import { writeResults } from './results.ts';

/**
 * Shift-add accelerators against INT8 of the same organisation, zero-gated INT8, and INT8 fed with the same narrow
 * weights: every pair on every device, widths by the default strategy at a drop of at most `--max-drop` points.
 * `npm --prefix benchmarks run accelerators -- --only REGEX --json --write`; with `--cache DIR` a second run is short.
 */
const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    devices: { type: 'string', default: 'shift-add-serial-45nm,shift-add-radix4-45nm,shift-add-skip-45nm' },
    objectives: { type: 'string', default: 'energy,size' },
    'max-drop': { type: 'string', default: '1' },
    seed: { type: 'string', default: '0' },
    evaluations: { type: 'string' },
    cache: { type: 'string' },
    /** Files of what --json printed, with commas between: their rows instead of new ones. */
    from: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const { rows, failures } = flags.from === undefined ? await tryPairs() : earlier(flags.from);

function earlier(files: string): { rows: Row[]; failures: Failure[] } {
  const all: (Row | Failure)[] = files
    .split(',')
    .flatMap((file) => JSON.parse(readFileSync(typedPath(file), 'utf8')));
  return {
    rows: all.filter((row): row is Row => !('error' in row)),
    failures: all.filter((row): row is Failure => 'error' in row),
  };
}

async function tryPairs(): Promise<{ rows: Row[]; failures: Failure[] }> {
  const found: { rows: Row[]; failures: Failure[] } = { rows: [], failures: [] };
  for (const pair of loadPairs(flags.pairs, flags.only)) {
    const trial: Trial = {
      pair,
      devices: flags.devices.split(','),
      objectives: flags.objectives.split(','),
      maxDrop: Number(flags['max-drop']),
      seed: Number(flags.seed),
      cache: flags.cache === undefined ? null : typedPath(flags.cache),
      ...(flags.evaluations !== undefined && { evaluations: Number(flags.evaluations) }),
    };
    const own = await runInOwnProcess<Row>('accelerators/trial.ts', trial);
    if ('error' in own) {
      found.failures.push(own);
      process.stderr.write(`${own.pair}: ${own.error}\n`);
      continue;
    }
    found.rows.push(...own);
    for (const { device, objective, macBits, drop, seconds } of own)
      process.stderr.write(
        `${pair.name}, ${device}, least ${objective}: ${macBits.toFixed(2)} bits per MAC, drop ${drop?.toFixed(2)}, ${seconds.toFixed(0)} s\n`,
      );
  }
  return found;
}

const body = [
  ...summary(rows),
  `Costs computed a second time from the integers that the layers run with, by code that shares nothing with the package's costs, differ by at most ${Math.max(...rows.map(({ handError }) => handError)).toExponential(0)} of themselves.`,
  ...failures.map(({ pair, error }) => `${pair} failed: ${error}`),
];
if (flags.write) {
  // Where work is kept between runs changes nothing of it.
  const folders = ['--cache', '--from'];
  const typed = process.argv
    .slice(2)
    .filter((word, i, all) => !folders.includes(word) && !folders.includes(all[i - 1]));
  const command = `npm --prefix benchmarks run accelerators -- ${typed.join(' ')}`;
  writeResults(
    `Accelerators at a drop of at most ${flags['max-drop']} points`,
    command.trim(),
    body.join('\n\n'),
  );
}
console.log(flags.json ? JSON.stringify([...rows, ...failures], null, 2) : body.join('\n\n'));
process.exitCode = failures.length > 0 ? 1 : 0;
