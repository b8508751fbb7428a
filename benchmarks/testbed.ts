import { parseArgs } from 'node:util';
import { defaultStrategy, strategies } from '../lib/allocate/index.ts';
import { type Failure, runInOwnProcess } from './own-process.ts';
import { loadPairs } from './pairs.ts';
import { type Column, markdownTable, numbersOf, points, writeResults } from './results.ts';
import { atUniformLines, recoveryLines, smallestLines } from './testbed-summary.ts';
import type { Row, Trial } from './trial.ts';

/**
 * Every pair with every strategy, same samples, recovery and evaluations: the smallest network whose accuracy falls by
 * at most `--max-drop` points, and the best accuracy at the memory of uniform widths (`--at-uniform 3,4`). Several
 * recoveries (`--recoveries gptq,reconstruct`) are compared by size.
 * `npm --prefix benchmarks run testbed -- --pairs DIR_OR_FILE --json`
 */
const columns: Column<Row>[] = [
  { title: 'pair', text: (row) => row.pair },
  { title: 'asked', text: (row) => row.asked },
  { title: 'strategy', text: (row) => row.strategy + (row.strategy === defaultStrategy ? ' (default)' : '') },
  { title: 'recovery', text: (row) => row.recovery },
  { title: 'verdict', text: (row) => row.verdict },
  { title: 'average bits', right: true, text: (row) => row.averageBits.toFixed(2) },
  { title: 'kB', right: true, text: (row) => (row.weightBytes / 1000).toFixed(1) },
  { title: '% of float', right: true, text: (row) => ((100 * row.weightBytes) / row.floatBytes).toFixed(1) },
  { title: '% of INT8', right: true, text: (row) => ((100 * row.weightBytes) / row.int8Bytes).toFixed(1) },
  { title: 'drop, validation', right: true, text: (row) => points(row.validationDrop) },
  { title: 'nats', right: true, text: (row) => row.divergence?.toFixed(4) ?? '' },
  { title: 'drop, judged', right: true, text: (row) => points(row.drop) },
  { title: '95 % interval', right: true, text: (row) => row.interval?.map(points).join(' to ') ?? '' },
  { title: 'evaluations', right: true, text: (row) => String(row.evaluations) },
  { title: 'search, s', right: true, text: (row) => row.seconds.toFixed(0) },
  { title: 'measuring, s', right: true, text: (row) => row.measuring.toFixed(0) },
  { title: 'peak MB', right: true, text: (row) => (row.peakBytes / 1e6).toFixed(0) },
];

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    strategies: { type: 'string', default: Object.keys(strategies).join(',') },
    'max-drop': { type: 'string', default: '1' },
    'at-uniform': { type: 'string', default: '3,4' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string' },
    backend: { type: 'string' },
    evaluations: { type: 'string' },
    recoveries: { type: 'string', default: 'gptq' },
    samples: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

/** Strategies that are compared at the memory of uniform widths. */
const AT_UNIFORM = [defaultStrategy, 'uniform'];
const rows: Row[] = [];
const failures: Failure[] = [];
const asked = flags.strategies.split(',');
const recoveries = flags.recoveries.split(',');
const trials = loadPairs(flags.pairs, flags.only).flatMap((pair) =>
  recoveries.map((recovery) => ({ pair, recovery })),
);
for (const { pair, recovery } of trials) {
  const trial: Trial = {
    pair,
    recovery,
    strategies: asked,
    maxDrops: numbersOf(flags['max-drop']),
    atUniform: {
      bits: numbersOf(flags['at-uniform']),
      strategies: asked.filter((name) => AT_UNIFORM.includes(name)),
    },
    seed: Number(flags.seed),
    ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
    ...(flags.backend !== undefined && { backend: flags.backend as NonNullable<Trial['backend']> }),
    ...(flags.evaluations !== undefined && { evaluations: Number(flags.evaluations) }),
    ...(flags.samples !== undefined && { samples: Number(flags.samples) }),
  };
  const found = await runInOwnProcess<Row>('trial.ts', trial);
  if ('error' in found) {
    failures.push(found);
    process.stderr.write(`${found.pair}: ${found.error}\n`);
    continue;
  }
  rows.push(...found);
  for (const { asked: ask, strategy, weightBytes, drop, seconds } of found)
    process.stderr.write(
      `${pair.name}, ${ask}, ${strategy}, ${recovery}: ${(weightBytes / 1000).toFixed(1)} kB, drop ${points(drop)}, ${seconds.toFixed(0)} s\n`,
    );
}
const smallest = rows.filter(({ asked }) => asked.startsWith('drop'));
const atUniform = rows.filter((row) => !smallest.includes(row));
const compared = recoveries.length > 1 ? ' by recovery' : '';
const failed = failures.map(({ pair, error }) => `${pair} failed: ${error}`);
const sections = [
  {
    rows: smallest,
    title: `Smallest size at a drop of at most ${flags['max-drop']} points${compared}`,
    body: [
      markdownTable(smallest, columns),
      ...recoveries.flatMap((name) => smallestLines(smallest.filter(({ recovery }) => recovery === name))),
      ...recoveryLines(smallest, recoveries),
      ...failed,
    ],
  },
  {
    rows: atUniform,
    title: `Best accuracy at the memory of uniform widths${compared}`,
    body: [
      markdownTable(atUniform, columns),
      ...recoveries.flatMap((name) => atUniformLines(atUniform.filter(({ recovery }) => recovery === name))),
      ...failed,
    ],
  },
].filter((section) => section.rows.length > 0);
const command = `npm --prefix benchmarks run testbed -- ${process.argv.slice(2).join(' ')}`;
if (flags.write) for (const { title, body } of sections) writeResults(title, command, body.join('\n\n'));
console.log(
  flags.json
    ? JSON.stringify([...rows, ...failures], null, 2)
    : sections.flatMap(({ title, body }) => [`## ${title}`, ...body]).join('\n\n'),
);
process.exitCode = failures.length > 0 ? 1 : 0;
