import { parseArgs } from 'node:util';
import { defaultStrategy } from '../lib/allocate/index.ts';
import { type Failure, runInOwnProcess } from './own-process.ts';
import { loadPairs, typedPath } from './pairs.ts';
import { type Column, markdownTable, numbersOf, points, writeResults } from './results.ts';
import type { Row as Answer, Trial } from './trial.ts';

/**
 * The paper's claims with training: its loop (`sigma`, every plan that it looks at trained for a while), ours (the
 * default, which goes by rounding and trains once at the end), ours with that training of every plan, and one width for
 * all layers. All are reconstructed and trained alike at the end, on the same samples: `--training`, or the calibration
 * data of each pair.
 * `npm --prefix benchmarks run paper -- --only resnet --training DIR --training-samples 5000`
 */
const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    contenders: { type: 'string', default: '' },
    training: { type: 'string' },
    'training-samples': { type: 'string' },
    epochs: { type: 'string', default: '5' },
    'epochs-per-step': { type: 'string', default: '1' },
    evaluations: { type: 'string', default: '20' },
    'max-drop': { type: 'string', default: '1' },
    'at-uniform': { type: 'string', default: '3' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

interface Row extends Answer {
  contender: string;
}

const UNIFORM = 'one width';
const between = Number(flags['epochs-per-step']);
const contenders = [
  { contender: "the paper's loop", strategy: 'sigma', epochsPerStep: between },
  { contender: 'ours, trained at the end', strategy: defaultStrategy, epochsPerStep: 0 },
  { contender: 'ours, every plan trained', strategy: defaultStrategy, epochsPerStep: between },
  { contender: UNIFORM, strategy: 'uniform', epochsPerStep: 0 },
].filter(({ contender }) => new RegExp(flags.contenders).test(contender));

const rows: Row[] = [];
const failures: Failure[] = [];
const pairs = loadPairs(flags.pairs, flags.only);
for (const pair of pairs)
  for (const { contender, strategy, epochsPerStep } of contenders) {
    const trial: Trial = {
      pair,
      strategies: [strategy],
      recovery: 'finetune',
      learning: {
        ...(flags.training !== undefined && { training: typedPath(flags.training) }),
        ...(flags['training-samples'] !== undefined && {
          trainingSamples: Number(flags['training-samples']),
        }),
        epochs: Number(flags.epochs),
        epochsPerStep,
      },
      maxDrops: numbersOf(flags['max-drop']),
      atUniform: { bits: numbersOf(flags['at-uniform']), strategies: [strategy] },
      seed: Number(flags.seed),
      evaluations: Number(flags.evaluations),
      ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
    };
    const found = await runInOwnProcess<Answer>('trial.ts', trial);
    if ('error' in found) {
      failures.push(found);
      process.stderr.write(`${found.pair}, ${contender}: ${found.error}\n`);
      continue;
    }
    rows.push(...found.map((answer) => ({ ...answer, contender })));
    for (const { asked, weightBytes, drop, seconds } of found)
      process.stderr.write(
        `${pair.name}, ${asked}, ${contender}: ${(weightBytes / 1000).toFixed(1)} kB, drop ${points(drop)}, ${seconds.toFixed(0)} s\n`,
      );
  }

const uniformTo = ({ pair, asked }: Row) =>
  rows.find((row) => row.contender === UNIFORM && row.pair === pair && row.asked === asked);

/** Of the memory of one width that holds the same floor. */
function underUniform(row: Row): string {
  const uniform = uniformTo(row);
  const comparable = uniform && uniform !== row && uniform.verdict === 'met' && row.verdict === 'met';
  return comparable ? (100 * (1 - row.weightBytes / uniform.weightBytes)).toFixed(1) : '';
}

function overUniform(row: Row): string {
  const uniform = uniformTo(row);
  return uniform && uniform !== row && uniform.drop !== null && row.drop !== null
    ? (uniform.drop - row.drop).toFixed(2)
    : '';
}

const first: Column<Row>[] = [
  { title: 'pair', text: ({ pair }) => pair },
  { title: 'asked', text: ({ asked }) => asked },
  { title: 'contender', text: ({ contender }) => contender },
  { title: 'verdict', text: ({ verdict }) => verdict },
  { title: 'kB', right: true, text: ({ weightBytes }) => (weightBytes / 1000).toFixed(1) },
];
const last: Column<Row>[] = [
  { title: 'drop, validation', right: true, text: ({ validationDrop }) => points(validationDrop) },
  { title: 'drop, judged', right: true, text: ({ drop }) => points(drop) },
  { title: '95 % interval', right: true, text: ({ interval }) => interval?.map(points).join(' to ') ?? '' },
  { title: 'evaluations', right: true, text: ({ evaluations }) => String(evaluations) },
  { title: 'search and training, s', right: true, text: ({ seconds }) => seconds.toFixed(0) },
];
const smaller: Column<Row> = {
  title: 'times smaller than float',
  right: true,
  text: ({ floatBytes, weightBytes }) => (floatBytes / weightBytes).toFixed(2),
};
const tables = [
  markdownTable(
    rows.filter(({ asked }) => asked.startsWith('drop')),
    [...first, smaller, { title: 'under one width, %', right: true, text: underUniform }, ...last],
  ),
  markdownTable(
    rows.filter(({ asked }) => asked.startsWith('size')),
    [...first, { title: 'over one width, points', right: true, text: overUniform }, ...last],
  ),
];
const names = pairs.map(({ name }) => name).join(', ');
const body = [...tables, ...failures.map(({ pair, error }) => `${pair} failed: ${error}`)].join('\n\n');
const command = `npm --prefix benchmarks run paper -- ${process.argv.slice(2).join(' ')}`;
if (flags.write) writeResults(`The paper's loop beside ours: ${names}`, command, body);
console.log(flags.json ? JSON.stringify([...rows, ...failures], null, 2) : body);
process.exitCode = failures.length > 0 ? 1 : 0;
