import { parseArgs } from 'node:util';
import { defaultStrategy, strategies } from '../lib/allocate/index.ts';
import { type Failure, runInOwnProcess } from './own-process.ts';
import { loadPairs } from './pairs.ts';
import { type Column, markdownTable, writeResults } from './results.ts';
import { atUniformLines, smallestLines } from './testbed-summary.ts';
import type { Row, Trial } from './trial.ts';

/**
 * Every pair with every strategy, same samples, recovery and evaluations: the smallest network whose accuracy falls by
 * at most `--max-drop` points, and the best accuracy at the memory of uniform widths (`--at-uniform 3,4`).
 * `npm --prefix benchmarks run testbed -- --pairs DIR_OR_FILE --json`
 */
const columns: Column<Row>[] = [
  { title: 'pair', text: (row) => row.pair },
  { title: 'asked', text: (row) => row.asked },
  { title: 'strategy', text: (row) => row.strategy + (row.strategy === defaultStrategy ? ' (default)' : '') },
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

function points(value: number | null): string {
  return value === null ? '' : value.toFixed(2);
}

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
    recovery: { type: 'string' },
    samples: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const numbers = (text: string) => (text === '' ? [] : text.split(',').map(Number));
const rows: Row[] = [];
const failures: Failure[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) {
  const trial: Trial = {
    pair,
    strategies: flags.strategies.split(','),
    maxDrops: numbers(flags['max-drop']),
    atUniform: numbers(flags['at-uniform']),
    seed: Number(flags.seed),
    ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
    ...(flags.backend !== undefined && { backend: flags.backend as NonNullable<Trial['backend']> }),
    ...(flags.evaluations !== undefined && { evaluations: Number(flags.evaluations) }),
    ...(flags.recovery !== undefined && { recovery: flags.recovery }),
    ...(flags.samples !== undefined && { samples: Number(flags.samples) }),
  };
  const found = await runInOwnProcess<Row>('trial.ts', trial);
  if ('error' in found) {
    failures.push(found);
    process.stderr.write(`${found.pair}: ${found.error}\n`);
    continue;
  }
  rows.push(...found);
  for (const { asked, strategy, weightBytes, drop, seconds } of found)
    process.stderr.write(
      `${pair.name}, ${asked}, ${strategy}: ${(weightBytes / 1000).toFixed(1)} kB, drop ${points(drop)}, ${seconds.toFixed(0)} s\n`,
    );
}
const smallest = rows.filter(({ asked }) => asked.startsWith('drop'));
const atUniform = rows.filter((row) => !smallest.includes(row));
const failed = failures.map(({ pair, error }) => `${pair} failed: ${error}`);
const sections = [
  {
    rows: smallest,
    title: `Smallest size at a drop of at most ${flags['max-drop']} points`,
    body: [markdownTable(smallest, columns), ...smallestLines(smallest), ...failed],
  },
  {
    rows: atUniform,
    title: 'Best accuracy at the memory of uniform widths',
    body: [markdownTable(atUniform, columns), ...atUniformLines(atUniform), ...failed],
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
