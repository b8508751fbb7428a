import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDataset } from '../lib/data/index.ts';
import { compile } from '../lib/engine/index.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { importGraph, layers, toChannelsLast } from '../lib/graph/index.ts';
import { quantize } from '../lib/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { optimizedGraph } from './networks/optimized.ts';
import { openSession, runSession } from './onnxruntime.ts';
import { loadPairs, type Pair, typedPath } from './pairs.ts';
import { markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * What onnxruntime-node makes of the exported files: does its top-1 agree with ours on the evaluation samples, and
 * did every quantized convolution become a QLinearConv?
 * `npm --prefix benchmarks run agreement -- --json`
 */
const BATCH = 16;
/** Percent of samples whose top-1 must agree. */
const LEAST_AGREEMENT = 99.5;

interface Row {
  pair: string;
  averageBits: number | null;
  samples: number;
  /** Percent of samples with the same top-1. */
  agreement: number;
  /** Largest difference of the outputs. */
  difference: number;
  /** Convolutions of the network, those with integer weights, and what onnxruntime runs instead. */
  convolutions: number;
  quantizedConvolutions: number;
  qlinearConv: number;
  /** Of every operator in onnxruntime's optimized graph. */
  operators: Record<string, number>;
  passed: boolean;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    models: { type: 'string' },
    strategy: { type: 'string' },
    target: { type: 'string', default: 'bits=5' },
    evaluations: { type: 'string', default: '4' },
    threads: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const threads = flags.threads === undefined ? undefined : Number(flags.threads);

/** An output that the harness kept (`--models DIR`, made by `testbed --keep DIR`), or one made now. */
async function exported(pair: Pair): Promise<{ bytes: Uint8Array; averageBits: number | null }> {
  if (flags.models !== undefined) {
    const folder = join(typedPath(flags.models), `${pair.name}.${flags.strategy ?? 'sensitivity'}`);
    const path = join(folder, 'model.onnx');
    if (!existsSync(path)) throw new Error(`Expected an exported model at ${path}.`);
    const { averageBits } = JSON.parse(readFileSync(join(folder, 'allocation.json'), 'utf8'));
    return { bytes: readFileSync(path), averageBits: averageBits ?? null };
  }
  const { artefacts, averageBits } = await quantize({
    model: pair.model,
    calibration: pair.calibration,
    evaluate: pair.evaluate,
    preprocessing: pair.preprocessing,
    targets: [flags.target],
    evaluations: Number(flags.evaluations),
    ...(flags.strategy !== undefined && { strategy: flags.strategy }),
    ...(threads !== undefined && { threads }),
  });
  return { bytes: artefacts.model, averageBits };
}

function argmax(x: Float32Array, from: number, classes: number): number {
  let best = from;
  for (let i = from + 1; i < from + classes; i++) if (x[i] > x[best]) best = i;
  return best - from;
}

async function agreement(pair: Pair): Promise<Row> {
  const { bytes, averageBits } = await exported(pair);
  const quantization = quantizationOf(bytes);
  const onnx = importGraph(readFileSync(pair.model)).graph;
  const kernels = await createKernels({ ...(threads !== undefined && { threads }) });
  const graph = toChannelsLast(onnx);
  const executor = compile(graph, kernels, { quantization });
  const session = await openSession(bytes, threads ?? kernels.threads);
  const [input, output] = [graph.inputs[0].name, graph.outputs[0].name];
  const data = await openDataset(pair.evaluate, { preprocessing: pair.preprocessing });
  let [samples, same, difference] = [0, 0, 0];
  for await (const { x, count } of data.batches({ size: BATCH })) {
    const shape = [count, ...data.shape];
    const ours = executor.run(new Map([[input, { dtype: 'float32', shape, data: x }]]), [output]);
    const a = ours.get(output)!.data as Float32Array;
    const b = await runSession(session, x, shape);
    const classes = b.length / count;
    for (let i = 0; i < count; i++)
      if (argmax(a, i * classes, classes) === argmax(b, i * classes, classes)) same++;
    for (let i = 0; i < b.length; i++) difference = Math.max(difference, Math.abs(a[i] - b[i]));
    samples += count;
  }
  const { operators } = await optimizedGraph(bytes);
  const convolutions = layers(onnx).filter(({ op }) => op === 'Conv');
  const quantizedConvolutions = convolutions.filter(({ name }) => quantization.layers.has(name)).length;
  const qlinearConv = operators['QLinearConv'] ?? 0;
  const percent = (100 * same) / samples;
  executor.dispose();
  kernels.dispose();
  await session.release();
  return {
    pair: pair.name,
    averageBits,
    samples,
    agreement: percent,
    difference,
    convolutions: convolutions.length,
    quantizedConvolutions,
    qlinearConv,
    operators,
    passed: percent >= LEAST_AGREEMENT && qlinearConv === quantizedConvolutions && qlinearConv > 0,
  };
}

const rows: Row[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) {
  rows.push(await agreement(pair));
  const { agreement: percent, qlinearConv, quantizedConvolutions } = rows.at(-1)!;
  process.stderr.write(
    `${pair.name}: ${percent.toFixed(2)} %, ${qlinearConv} of ${quantizedConvolutions} QLinearConv\n`,
  );
}
const body = markdownTable(rows, [
  { title: 'pair', text: (row) => row.pair },
  { title: 'average bits', right: true, text: (row) => row.averageBits?.toFixed(2) ?? '' },
  numberColumn('samples', 0, (row) => row.samples),
  numberColumn('same top-1, %', 2, (row) => row.agreement),
  { title: 'largest difference', right: true, text: (row) => row.difference.toExponential(1) },
  numberColumn('convolutions', 0, (row) => row.convolutions),
  numberColumn('quantized', 0, (row) => row.quantizedConvolutions),
  numberColumn('QLinearConv', 0, (row) => row.qlinearConv),
  {
    title: "other operators in onnxruntime's graph",
    text: ({ operators }) =>
      Object.entries(operators)
        .filter(([op]) => op !== 'QLinearConv')
        .map(([op, count]) => `${count} ${op}`)
        .join(', '),
  },
  { title: 'passed', text: (row) => (row.passed ? 'yes' : 'no') },
]);
if (flags.write) {
  writeResults(
    'Agreement with onnxruntime',
    `npm --prefix benchmarks run agreement -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
}
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
process.exitCode = rows.every(({ passed }) => passed) ? 0 : 1;
