import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModel } from '../../lib/onnx/index.ts';
import { openSession } from '../onnxruntime.ts';

/** The graph that onnxruntime-node really runs, as it writes it. */
export interface Optimized {
  /** Of every operator. */
  operators: Record<string, number>;
  /** Operators whose result is float, beside those that only turn integers into floats. */
  floatNodes: { name: string; op: string }[];
}

/** Its first input decides the type of every other operator's result. */
const QUANTIZERS = new Set(['QuantizeLinear']);
/** Outputs that its inputs do not name: scale and zero point of the result are the last two of nine. */
const QGEMM_INPUTS = 9;

export async function optimizedGraph(model: Uint8Array): Promise<Optimized> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-optimized-'));
  try {
    const path = join(folder, 'optimized.onnx');
    await (await openSession(model, 1, { optimized: path })).release();
    return describe(readFileSync(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function describe(bytes: Uint8Array): Optimized {
  const graph = readModel(bytes).graph!;
  const integers = new Set<string>();
  const counts = new Map<string, number>();
  const floatNodes: Optimized['floatNodes'] = [];
  for (const { name, opType: op, input, output } of graph.node) {
    counts.set(op, (counts.get(op) ?? 0) + 1);
    if (isInteger(op, input, integers)) for (const value of output) integers.add(value);
    else if (op !== 'DequantizeLinear') floatNodes.push({ name, op });
  }
  const operators = Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { operators, floatNodes };
}

function isInteger(op: string, input: readonly string[], integers: ReadonlySet<string>): boolean {
  if (QUANTIZERS.has(op)) return true;
  if (op === 'QGemm') return input.length === QGEMM_INPUTS && input[QGEMM_INPUTS - 2] !== '';
  if (op.startsWith('QLinear')) return true;
  return op !== 'DequantizeLinear' && integers.has(input[0]);
}
