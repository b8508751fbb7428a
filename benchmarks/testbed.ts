import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultStrategy, strategies } from '../lib/allocate/index.ts';
import { loadPairs, typedPath } from './pairs.ts';
import { type Column, markdownTable, writeResults } from './results.ts';
import type { Row, Trial } from './trial.ts';

/**
 * Every pair with every strategy: the smallest network whose accuracy falls by at most `--max-drop` points.
 * `npm --prefix benchmarks run testbed -- --pairs DIR_OR_FILE --json`
 */
const here = fileURLToPath(new URL('.', import.meta.url));

interface Failure {
  pair: string;
  strategy: string;
  error: string;
}

const columns: Column<Row>[] = [
  { title: 'pair', text: (row) => row.pair },
  { title: 'strategy', text: (row) => row.strategy + (row.default ? ' (default)' : '') },
  { title: 'verdict', text: (row) => row.verdict },
  { title: 'average bits', right: true, text: (row) => row.averageBits.toFixed(2) },
  { title: 'kB', right: true, text: (row) => (row.weightBytes / 1000).toFixed(1) },
  { title: '% of float', right: true, text: (row) => ((100 * row.weightBytes) / row.floatBytes).toFixed(1) },
  { title: 'drop, validation', right: true, text: (row) => points(row.validationDrop) },
  { title: 'drop, judged', right: true, text: (row) => points(row.drop) },
  { title: '95 % interval', right: true, text: (row) => row.interval?.map(points).join(' to ') ?? '' },
  { title: 'evaluations', right: true, text: (row) => String(row.evaluations) },
  { title: 'seconds', right: true, text: (row) => row.seconds.toFixed(0) },
  { title: 'peak MB', right: true, text: (row) => (row.peakBytes / 1e6).toFixed(0) },
];

function points(value: number | null): string {
  return value === null ? '' : value.toFixed(2);
}

/** Runs one trial in a child process. */
function runTrial(trial: Trial): Promise<Row | Failure> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-trial-'));
  const into = join(folder, 'row.json');
  return new Promise<Row | Failure>((resolve) => {
    let said = '';
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(here, 'trial.ts'), JSON.stringify(trial), into],
      { cwd: here, stdio: ['ignore', 'inherit', 'pipe'] },
    );
    child.stderr!.on('data', (piece) => {
      said = (said + piece).slice(-4000);
    });
    child.on('close', (code, signal) => {
      const { pair, strategy } = trial;
      if (code === 0) resolve(JSON.parse(readFileSync(into, 'utf8')));
      else {
        const error = /^.*Error: .*$/m.exec(said)?.[0] ?? said.trim();
        resolve({ pair: pair.name, strategy, error: `${error || 'no message'} (exit ${signal ?? code})` });
      }
    });
  }).finally(() => rmSync(folder, { recursive: true }));
}

/** Geometric mean, over the pairs that both have, of a strategy's size relative to the default's. */
function againstDefault(rows: readonly Row[]): string[] {
  const lines: string[] = [];
  for (const strategy of new Set(rows.map((row) => row.strategy))) {
    const ratios = rows
      .filter((row) => row.strategy === strategy && !row.default)
      .flatMap((row) => {
        const ours = rows.find((other) => other.default && other.pair === row.pair);
        return ours ? [row.weightBytes / ours.weightBytes] : [];
      });
    if (ratios.length === 0) continue;
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
    lines.push(
      `Size of \`${strategy}\` relative to the default, geometric mean of ${ratios.length} pairs: ${mean.toFixed(3)}.`,
    );
  }
  return lines;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    strategies: { type: 'string', default: Object.keys(strategies).join(',') },
    'max-drop': { type: 'string', default: '1' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string' },
    backend: { type: 'string' },
    evaluations: { type: 'string' },
    recovery: { type: 'string' },
    keep: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const rows: Row[] = [];
const failures: Failure[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) {
  for (const strategy of flags.strategies.split(',')) {
    const row = await runTrial({
      pair,
      strategy,
      maxDrop: Number(flags['max-drop']),
      seed: Number(flags.seed),
      ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
      ...(flags.backend !== undefined && { backend: flags.backend as Trial['backend'] }),
      ...(flags.evaluations !== undefined && { evaluations: Number(flags.evaluations) }),
      ...(flags.recovery !== undefined && { recovery: flags.recovery }),
      ...(flags.keep !== undefined && { keep: typedPath(flags.keep) }),
    });
    if ('error' in row) {
      failures.push(row);
      process.stderr.write(`${row.pair} ${row.strategy}: ${row.error}\n`);
    } else {
      row.default = row.strategy === defaultStrategy;
      rows.push(row);
      const size = `${(row.weightBytes / 1000).toFixed(1)} kB`;
      process.stderr.write(
        `${row.pair} ${row.strategy}: ${size}, drop ${points(row.drop)}, ${row.seconds.toFixed(0)} s\n`,
      );
    }
  }
}
const body = [
  markdownTable(rows, columns),
  ...againstDefault(rows),
  ...failures.map((f) => `${f.pair} ${f.strategy} failed: ${f.error}`),
];
if (flags.write) {
  const command = `npm --prefix benchmarks run testbed -- ${process.argv.slice(2).join(' ')}`;
  writeResults(`Smallest size at a drop of at most ${flags['max-drop']} points`, command, body.join('\n\n'));
}
console.log(flags.json ? JSON.stringify([...rows, ...failures], null, 2) : body.join('\n\n'));
process.exitCode = failures.length > 0 ? 1 : 0;
