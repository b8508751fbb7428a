import { parseArgs } from 'node:util';
import { createKernels } from '../lib/kernels/index.ts';
import type { Kernels } from '../lib/kernels/kernels.ts';
import { median, writeResults } from './results.ts';
import { compare, differences, type Row } from './rivals/compare.ts';
import type { Rival } from './rivals/contender.ts';
import { loadProgram } from './rivals/native.ts';
import { loadOnnxruntime } from './rivals/onnxruntime.ts';
import { openOurs } from './rivals/ours.ts';
import { makeProblem } from './rivals/problem.ts';
import { report } from './rivals/table.ts';
import { loadTfjs } from './rivals/tfjs.ts';
import { integers, type Trial, trialName, trials } from './rivals/trials.ts';

/**
 * Our kernels beside other libraries', turn by turn in the same run.
 * `npm --prefix benchmarks run rivals -- --json`
 */
const RIVALS: { name: string; backend: Trial['backend']; load(threads: number): Promise<Rival> }[] = [
  { name: 'oneDNN', backend: 'native', load: (threads) => loadProgram('onednn', threads) },
  { name: 'OpenBLAS', backend: 'native', load: (threads) => loadProgram('openblas', threads) },
  {
    name: 'onnxruntime-node',
    backend: 'native',
    load: (threads) => loadOnnxruntime('onnxruntime-node', threads),
  },
  {
    name: 'onnxruntime-web',
    backend: 'wasm',
    load: (threads) => loadOnnxruntime('onnxruntime-web', threads),
  },
  { name: 'tfjs-wasm', backend: 'wasm', load: loadTfjs },
];

const { values: flags } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '15' },
    rivals: { type: 'string', default: RIVALS.map(({ name }) => name).join(',') },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const filter = new RegExp(flags.filter);
if (!trials.some((trial) => filter.test(trialName(trial))))
  throw new Error(`Expected a filter that matches one of\n${trials.map(trialName).join('\n')}`);
const wholeNumber = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`Expected a whole number from 1 but received ${text}.`);
  return Number(text);
};
const rounds = wholeNumber(flags.rounds);
const wanted = flags.rivals.split(',');
for (const name of wanted)
  if (!RIVALS.some((rival) => rival.name === name))
    throw new Error(`Expected one of ${RIVALS.map((rival) => rival.name).join(', ')} but received ${name}.`);

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** One row per way of the rival's. A way that fails is told and left out. */
async function trialRows(trial: Trial, kernels: Kernels, name: string, rival: Rival): Promise<Row[]> {
  const rows: Row[] = [];
  const problem = makeProblem(trial);
  const where = `${trialName(trial)}, ${name}`;
  for (const open of rival.ways(problem)) {
    const ours = openOurs(kernels, problem);
    try {
      const theirs = await open();
      const times = await compare([ours, theirs], rounds, kernels.threads);
      const [oursUs, rivalUs] = times.map(median);
      const [oursBest, rivalBest] = times.map((all) => Math.min(...all));
      const { differing, difference } = differences(await ours.output(), await theirs.output());
      await theirs.close();
      const ratio = rivalUs / oursUs;
      rows.push({
        ...trial,
        threads: kernels.threads,
        rival: name,
        version: rival.version,
        way: theirs.way,
        isa: kernels.isa,
        oursUs,
        rivalUs,
        ratio,
        fastestRatio: rivalBest / oursBest,
        exact: integers(trial) ? differing === 0 : null,
        differing,
        difference,
      });
      say(`${where} ${theirs.way}: ${ratio.toFixed(2)}`);
    } catch (error) {
      say(`${where} is left out: ${(error as Error).message}`);
    } finally {
      await ours.close();
    }
  }
  return rows;
}

const rows: Row[] = [];
for (const threads of flags.threads.split(',').map(wholeNumber)) {
  for (const { name, backend, load } of RIVALS) {
    // Our WASM backend and theirs are compared on one thread.
    if (!wanted.includes(name) || (backend === 'wasm' && threads > 1)) continue;
    const selected = trials.filter((trial) => trial.backend === backend && filter.test(trialName(trial)));
    if (selected.length === 0) continue;
    let rival: Rival;
    try {
      rival = await load(threads);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const reason =
        code === 'MODULE_NOT_FOUND'
          ? 'it is not installed: npm --prefix benchmarks ci'
          : message.split('\n')[0];
      say(`${name} is left out: ${reason}.`);
      continue;
    }
    const kernels = await createKernels({ backend, threads });
    for (const trial of selected) rows.push(...(await trialRows(trial, kernels, name, rival)));
    kernels.dispose();
    await rival.close();
  }
}

if (flags.json) console.log(JSON.stringify(rows, null, 2));
for (const group of groups(rows)) {
  const title = `Rivals: ${group[0].backend}, ${group[0].threads === 1 ? '1 thread' : `${group[0].threads} threads`}`;
  const body = report(group, rounds);
  if (flags.write) {
    writeResults(title, `npm --prefix benchmarks run rivals -- ${process.argv.slice(2).join(' ')}`, body);
  }
  if (!flags.json) console.log(`${title}\n\n${body}\n`);
}

/** Rows of the same backend and threads. */
function groups(all: readonly Row[]): Row[][] {
  const byKey = new Map<string, Row[]>();
  for (const row of all) {
    const key = `${row.backend} ${row.threads}`;
    byKey.set(key, [...(byKey.get(key) ?? []), row]);
  }
  return [...byKey.values()];
}
