import { parseArgs } from 'node:util';
import { compile } from '../lib/engine/index.ts';
import type { Tensor } from '../lib/graph/graph.ts';
import { importGraph, toChannelsLast } from '../lib/graph/index.ts';
import { numbers } from '../lib/graph/tensors.ts';
import { type BackendName, backends, createKernels, type Kernels } from '../lib/kernels/index.ts';
import { openSession, runTensors } from './onnxruntime.ts';
import { CASES, FIRST, LAST } from './opset-cases.ts';
import { modelOf, type OpsetCase } from './opset-model.ts';
import { type Column, markdownTable, writeResults } from './results.ts';

/**
 * Small models in every operator set from 18 to 26, run by onnxruntime-node and by our engine on every backend:
 * the operator alone, and behind a pool, so that its image arrives channels-last.
 * `npm --prefix benchmarks run opsets -- --json`
 */
const TOLERANCE = { absolute: 1e-5, relative: 1e-4 };

interface Row {
  operator: string;
  form: string;
  opset: number;
  backend: BackendName;
  /** `absent`: onnxruntime cannot run it, so that nothing was compared. */
  outcome: 'equal' | 'different' | 'refused' | 'absent';
  /** Largest difference of floats, relative to the tolerance's measure 1 + |value|. */
  error: number;
  message?: string;
}

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

function ours(model: Uint8Array, feeds: ReadonlyMap<string, Tensor>, kernels: Kernels): Tensor[] {
  const graph = toChannelsLast(importGraph(model).graph);
  const executor = compile(graph, kernels);
  try {
    const names = graph.outputs.map(({ name }) => name);
    // The second run of a plan may take another way than the first.
    executor.run(feeds, names);
    const results = executor.run(feeds, names);
    return names.map((name) => results.get(name)!);
  } finally {
    executor.dispose();
  }
}

/** Largest difference over 1 + |value|; infinite where types, shapes or integers differ. */
function distance(actual: Tensor, expected: Tensor): number {
  if (actual.dtype !== expected.dtype || actual.shape.join() !== expected.shape.join()) return Infinity;
  const [a, b] = [numbers(actual), numbers(expected)];
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    if (Object.is(a[i], b[i]) || a[i] === b[i]) continue;
    const exact = expected.dtype !== 'float32' || !Number.isFinite(b[i]);
    const measure = TOLERANCE.absolute / TOLERANCE.relative + Math.abs(b[i]);
    worst = Math.max(worst, exact || Number.isNaN(a[i]) ? Infinity : Math.abs(a[i] - b[i]) / measure);
  }
  return worst;
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0];
}

async function compare(
  test: OpsetCase,
  opset: number,
  behindPool: boolean,
  all: readonly Kernels[],
): Promise<Row[]> {
  const model = modelOf(test, opset, behindPool);
  const feeds = new Map(test.feeds.map((tensor, i) => [`x${i}`, tensor]));
  const row = { operator: test.operator, form: test.form + (behindPool ? ' (channels-last)' : ''), opset };
  let expected: Tensor[] | null = null;
  let rival = '';
  try {
    const session = await openSession(model, 1);
    const results = await runTensors(session, feeds);
    expected = session.outputNames.map((name) => results.get(name)!);
    await session.release();
  } catch (error) {
    rival = firstLine(error);
  }
  return all.map((kernels): Row => {
    const at = { ...row, backend: kernels.backend };
    try {
      const actual = ours(model, feeds, kernels);
      if (!expected) return { ...at, outcome: 'absent', error: 0, message: rival };
      const error = Math.max(...expected.map((tensor, i) => distance(actual[i], tensor)));
      return { ...at, outcome: error <= TOLERANCE.relative ? 'equal' : 'different', error };
    } catch (error) {
      return { ...at, outcome: 'refused', error: Infinity, message: firstLine(error) };
    }
  });
}

const opsets = Array.from({ length: LAST - FIRST + 1 }, (_, i) => FIRST + i);
const kernels = await Promise.all(
  (Object.keys(backends) as BackendName[]).map((backend) => createKernels({ backend, threads: 1 })),
);
const pattern = new RegExp(options.only);
const rows: Row[] = [];
for (const test of CASES.filter(({ operator }) => pattern.test(operator)))
  for (const opset of opsets.filter((set) => set >= test.since && set <= test.until)) {
    const isImage = test.feeds[0].dtype === 'float32' && test.feeds[0].shape.length === 4;
    for (const behindPool of isImage ? [false, true] : [false])
      rows.push(...(await compare(test, opset, behindPool, kernels)));
  }

/** `3/3`: forms that are equal on all backends, of those that the operator set has; `*` where onnxruntime lacks one. */
function cell(operator: string, opset: number): string {
  const here = rows.filter((row) => row.operator === operator && row.opset === opset);
  const forms = [...new Set(here.map(({ form }) => form))];
  const of = (form: string) => here.filter((row) => row.form === form);
  const judged = forms.filter((form) => of(form).every(({ outcome }) => outcome !== 'absent'));
  const equal = judged.filter((form) => of(form).every(({ outcome }) => outcome === 'equal'));
  if (forms.length === 0) return '';
  return `${equal.length}/${judged.length}${judged.length < forms.length ? '*' : ''}`;
}

/** One line for each operator and form, however many sets and backends. */
function lines(of: readonly Row[]): string[] {
  return [
    ...new Set(of.map((row) => `- ${row.operator} ${row.form}: ${row.message ?? `differs by ${row.error}`}`)),
  ];
}

const operators = [...new Set(rows.map(({ operator }) => operator))].sort();
const columns: Column<string>[] = [
  { title: 'operator', text: (operator) => operator },
  ...opsets.map(
    (opset): Column<string> => ({ title: String(opset), right: true, text: (name) => cell(name, opset) }),
  ),
];
const wrong = rows.filter(({ outcome }) => outcome === 'different' || outcome === 'refused');
const absent = rows.filter(({ outcome }) => outcome === 'absent');
const equal = rows.filter(({ outcome }) => outcome === 'equal');
const count = (outcome: Row['outcome']) => rows.filter((row) => row.outcome === outcome).length;
const summary = {
  operators: operators.length,
  comparisons: rows.length - absent.length,
  equal: equal.length,
  different: count('different'),
  refused: count('refused'),
  /** Not compared, since onnxruntime lacks the operator there. */
  absent: absent.length,
  largestError: Math.max(0, ...equal.map(({ error }) => error)),
};
const names = kernels.map(({ backend }) => backend).join(', ');
const body = [
  `Forms that agree with onnxruntime on ${names}, of those that each operator set has: ${summary.equal} of ${summary.comparisons} comparisons agree, largest relative difference ${summary.largestError.toExponential(1)}.`,
  markdownTable(operators, columns),
  ...(wrong.length > 0 ? ['Not equal:', lines(wrong).join('\n')] : []),
  ...(absent.length > 0 ? ['\\* Not in onnxruntime:', lines(absent).join('\n')] : []),
].join('\n\n');
if (options.write) writeResults('Operator sets 18 to 26', 'npm --prefix benchmarks run opsets', body);
const table = operators.map((operator) => ({
  operator,
  ...Object.fromEntries(opsets.map((opset) => [opset, cell(operator, opset)])),
}));
console.log(options.json ? JSON.stringify({ summary, table, wrong, absent: lines(absent) }, null, 2) : body);
for (const one of kernels) one.dispose();
process.exitCode = wrong.length > 0 ? 1 : 0;
