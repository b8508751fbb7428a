import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModel } from '../../lib/onnx/index.ts';
import { openSession } from '../onnxruntime.ts';

/** The graph that onnxruntime-node really runs, as it writes it. */
export interface Optimized {
  /** Of every operator. */
  operators: Record<string, number>;
  /** Operators that compute in float; those that only turn integers into floats at their end do not. */
  floatNodes: { name: string; op: string }[];
}

/** Integers in, floats out. */
const TO_FLOAT = new Set(['DequantizeLinear', 'QGemm']);
/** With scale and zero point of its result; without them that is float. */
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
    else if (!TO_FLOAT.has(op)) floatNodes.push({ name, op });
  }
  const operators = Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { operators, floatNodes };
}

/** Whether its results are integers; what is none of onnxruntime's integer operators has the type of its first input. */
function isInteger(op: string, input: readonly string[], integers: ReadonlySet<string>): boolean {
  if (op === 'QGemm') return input.length === QGEMM_INPUTS && input[QGEMM_INPUTS - 2] !== '';
  if (op === 'QuantizeLinear' || op.startsWith('QLinear')) return true;
  return op !== 'DequantizeLinear' && integers.has(input[0]);
}
