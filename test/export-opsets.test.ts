import assert from 'node:assert/strict';
import { openSession, runTensors } from '../benchmarks/onnxruntime.ts';
import { CASES } from '../benchmarks/opset-cases.ts';
import { modelOf, type OpsetCase } from '../benchmarks/opset-model.ts';
import { SigmaQuantError } from '../lib/errors.ts';
import { OPSETS } from '../lib/export/file-model.ts';
import { leastOpset } from '../lib/export/opset.ts';
import { ortModel } from '../lib/export/ort.ts';
import { preflight } from '../lib/export/preflight.ts';
import type { Graph, Tensor } from '../lib/graph/graph.ts';
import { importGraph } from '../lib/graph/index.ts';
import { numbers } from '../lib/graph/tensors.ts';
import { type FileModel, writeModel } from '../lib/onnx/index.ts';
import { hasOnnxruntime } from './support/onnxruntime.ts';

const FLOAT = { activations: new Map(), layers: new Map() };
const TOLERANCE = 1e-5;
/** Sets that files are written in: the oldest, some in between, and all that came last. */
const TARGETS = [OPSETS.oldest, 15, 17, 18, 20, 21, 22, 23, 24, 25, OPSETS.newest];

async function results(model: Uint8Array, feeds: ReadonlyMap<string, Tensor>): Promise<Tensor[]> {
  const session = await openSession(model, 1);
  const made = await runTensors(session, feeds);
  await session.release();
  return session.outputNames.map((name) => made.get(name)!);
}

function same(actual: readonly Tensor[], expected: readonly Tensor[]): boolean {
  return expected.every((tensor, i) => {
    const [a, b] = [numbers(actual[i]), numbers(tensor)];
    return (
      actual[i].shape.join() === tensor.shape.join() &&
      a.length === b.length &&
      Array.prototype.every.call(
        b,
        (value, at) =>
          Object.is(a[at], value) || Math.abs(a[at] - value) <= TOLERANCE * (1 + Math.abs(value)),
      )
    );
  });
}

/** Written in `opset`; null where that set cannot say it. */
function rewritten(graph: Graph, opset: number): FileModel | null {
  try {
    return ortModel(graph, FLOAT, { opset, metadata: new Map() });
  } catch (error) {
    if (error instanceof SigmaQuantError && error.code === 'UNSUPPORTED_MODEL') return null;
    throw error;
  }
}

describe('operators in the sets that files are written in', () => {
  const byOperator = new Map<string, OpsetCase[]>();
  for (const test of CASES) byOperator.set(test.operator, [...(byOperator.get(test.operator) ?? []), test]);

  before(function () {
    if (!hasOnnxruntime()) this.skip();
  });

  for (const [operator, cases] of byOperator)
    it(`${operator}: the same answers of onnxruntime in every set, or a refusal below the first that has it`, async () => {
      const wrong: string[] = [];
      let compared = 0;
      for (const test of cases) {
        const feeds = new Map(test.feeds.map((tensor, i) => [`x${i}`, tensor]));
        for (const from of new Set([test.since, test.until])) {
          const model = modelOf(test, from, false);
          // Some operators it has no kernel of in some sets (RESULTS.md, "Operator sets 18 to 26").
          const expected = await results(model, feeds).catch(() => null);
          const { graph } = importGraph(model);
          const least = leastOpset(graph);
          for (const to of TARGETS) {
            const what = `${test.form}, ${from} to ${to}`;
            const file = rewritten(graph, to);
            if ((file === null) !== to < least) wrong.push(`${what}: ${file ? 'written' : 'refused'}`);
            compared++;
            if (file === null || expected === null) continue;
            const { loads } = preflight(file);
            try {
              if (!same(await results(writeModel(file), feeds), expected)) wrong.push(`${what}: differs`);
              if (!loads) wrong.push(`${what}: loads`);
            } catch (error) {
              if (loads) wrong.push(`${what}: ${(error as Error).message.slice(0, 200)}`);
            }
          }
        }
      }
      assert.deepEqual(wrong, []);
      assert.ok(compared >= TARGETS.length);
    });
});
