import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { calibrate } from '../lib/analysis/index.ts';
import { type Dataset, openDataset } from '../lib/data/index.ts';
import { compile } from '../lib/engine/index.ts';
import type { Tensor } from '../lib/graph/graph.ts';
import { importGraph, layers, toChannelsLast } from '../lib/graph/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { Kernels, KernelsOptions } from '../lib/kernels/kernels.ts';
import { DEFAULTS } from '../lib/pipeline/options.ts';
import { openSession, runSession, type Session } from './onnxruntime.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable, median, numberColumn, writeResults } from './results.ts';
import { rest } from './rivals/compare.ts';

/**
 * Float forward passes of every network beside onnxruntime-node's, turn by turn in the same run, and the whole
 * calibration beside two passes of onnxruntime over the same samples.
 * `npm --prefix benchmarks run forward -- --json`
 */
const WARM_UP = 2;

interface Row {
  network: string;
  threads: number;
  isa: string;
  batch: number;
  /** Milliseconds per batch, medians. */
  ours: number;
  onnxruntime: number;
  /** onnxruntime's time over ours: above 1 we are faster. Of the medians, and of the fastest rounds. */
  ratio: number;
  fastestRatio: number;
  /** Largest difference of the outputs, relative to the largest output. */
  error: number;
}

interface CalibrationRow {
  network: string;
  threads: number;
  samples: number;
  /** Seconds of the whole calibration, with and without the sums for second-order rounding. */
  ours: number;
  rangesOnly: number;
  /** Two passes. */
  onnxruntime: number;
  ratio: number;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    batch: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '11' },
    samples: { type: 'string', default: '128' },
    backend: { type: 'string' },
    calibration: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
const batch = Number(flags.batch);

const milliseconds = async (action: () => unknown): Promise<number> => {
  await rest();
  const start = performance.now();
  await action();
  return performance.now() - start;
};

async function firstBatch(data: Dataset): Promise<Tensor> {
  for await (const { x, count } of data.batches({ size: batch })) {
    return { dtype: 'float32', shape: [count, ...data.shape], data: x };
  }
  throw new Error(`Expected samples in ${data.name}.`);
}

function relativeError(ours: Float32Array, theirs: Float32Array): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    difference = Math.max(difference, Math.abs(ours[i] - theirs[i]));
    largest = Math.max(largest, Math.abs(theirs[i]));
  }
  return difference / largest;
}

async function forward(pair: Pair, data: Dataset, kernels: Kernels, session: Session): Promise<Row> {
  const graph = toChannelsLast(importGraph(readFileSync(pair.model)).graph);
  const executor = compile(graph, kernels);
  const [input, output] = [graph.inputs[0].name, graph.outputs[0].name];
  const x = await firstBatch(data);
  const feeds = new Map([[input, x]]);
  const ours = () => executor.run(feeds, [output]).get(output)!.data as Float32Array;
  const theirs = () => runSession(session, x.data as Float32Array, x.shape);
  const error = relativeError(ours(), await theirs());
  const times: [number[], number[]] = [[], []];
  for (let round = -WARM_UP; round < Number(flags.rounds); round++) {
    const pairOfTimes = [await milliseconds(ours), await milliseconds(theirs)];
    if (round >= 0) pairOfTimes.forEach((time, i) => void times[i].push(time));
  }
  executor.dispose();
  const [ours50, theirs50] = times.map(median);
  const [oursBest, theirsBest] = times.map((all) => Math.min(...all));
  return {
    network: pair.name,
    threads: kernels.threads,
    isa: kernels.isa,
    batch: x.shape[0],
    ours: ours50,
    onnxruntime: theirs50,
    ratio: theirs50 / ours50,
    fastestRatio: theirsBest / oursBest,
    error,
  };
}

async function calibration(
  pair: Pair,
  data: Dataset,
  kernels: Kernels,
  session: Session,
): Promise<CalibrationRow> {
  const graph = toChannelsLast(importGraph(readFileSync(pair.model)).graph);
  const samples = Math.min(Number(flags.samples), data.size ?? Number.POSITIVE_INFINITY);
  const options = { samples, batch, patches: DEFAULTS.patches };
  // Decoded images are kept by the data set: one pass before, so that neither side pays for decoding.
  for await (const _ of data.batches({ size: batch, select: (index) => index < samples }));
  const twoPasses = async () => {
    for (let pass = 0; pass < 2; pass++) {
      for await (const { x, count } of data.batches({ size: batch, select: (index) => index < samples })) {
        await runSession(session, x, [count, ...data.shape]);
      }
    }
  };
  const run = (gram: boolean) => calibrate(graph, layers(graph), kernels, data, { ...options, gram });
  const ranges = await milliseconds(() => run(false));
  const theirs = await milliseconds(twoPasses);
  const ours = await milliseconds(() => run(true));
  return {
    network: pair.name,
    threads: kernels.threads,
    samples,
    ours: ours / 1000,
    rangesOnly: ranges / 1000,
    onnxruntime: theirs / 1000,
    ratio: theirs / ours,
  };
}

const forwardColumns: Column<Row>[] = [
  { title: 'network', text: (row) => row.network },
  numberColumn('threads', 0, (row) => row.threads),
  numberColumn('ours, ms', 2, (row) => row.ours),
  numberColumn('onnxruntime, ms', 2, (row) => row.onnxruntime),
  numberColumn('ratio', 2, (row) => row.ratio),
  numberColumn('of the fastest', 2, (row) => row.fastestRatio),
  { title: 'largest relative difference', right: true, text: (row) => row.error.toExponential(1) },
];
const calibrationColumns: Column<CalibrationRow>[] = [
  { title: 'network', text: (row) => row.network },
  numberColumn('threads', 0, (row) => row.threads),
  numberColumn('samples', 0, (row) => row.samples),
  numberColumn('calibration, s', 2, (row) => row.ours),
  numberColumn('ranges only, s', 2, (row) => row.rangesOnly),
  numberColumn('onnxruntime twice, s', 2, (row) => row.onnxruntime),
  numberColumn('ratio', 2, (row) => row.ratio),
];

const forwards: Row[] = [];
const calibrations: CalibrationRow[] = [];
for (const threads of flags.threads.split(',').map(Number)) {
  for (const pair of loadPairs(flags.pairs, flags.only)) {
    const kernels = await createKernels({ threads, backend: flags.backend as KernelsOptions['backend'] });
    const session = await openSession(pair.model, threads);
    const data = await openDataset(pair.calibration, { preprocessing: pair.preprocessing });
    forwards.push(await forward(pair, data, kernels, session));
    if (flags.calibration) calibrations.push(await calibration(pair, data, kernels, session));
    process.stderr.write(`${pair.name}, ${threads} threads: ratio ${forwards.at(-1)!.ratio.toFixed(2)}\n`);
    await session.release();
    kernels.dispose();
  }
}
const lowest = Math.min(...forwards.map(({ ratio }) => ratio));
const body = [
  `Batch ${batch}, medians of ${flags.rounds} rounds, turn by turn; ratio = onnxruntime's time over ours, lowest ${lowest.toFixed(2)}.`,
  markdownTable(forwards, forwardColumns),
  ...(calibrations.length > 0
    ? ['The whole calibration (two passes, ranges and second-order sums) beside two passes of onnxruntime.']
    : []),
  ...(calibrations.length > 0 ? [markdownTable(calibrations, calibrationColumns)] : []),
].join('\n\n');
if (flags.write) {
  writeResults(
    'Float forward pass',
    `npm --prefix benchmarks run forward -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
}
console.log(flags.json ? JSON.stringify({ forward: forwards, calibration: calibrations }, null, 2) : body);
