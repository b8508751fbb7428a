import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../lib/engine/index.ts';
import { float16ToNumber } from '../../lib/graph/float16.ts';
import { importGraph, type Tensor, tensorFromProto, toChannelsLast } from '../../lib/graph/index.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import { readModel, readTensor } from '../../lib/onnx/index.ts';

/** How far a float may lie from the expected one, as ONNX's own backend tests have it (atol is ours). */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-5;

/** Cases that no inference engine can pass, and why. They count as failed but do not fail the run. */
export const UNDEFINED: Readonly<Record<string, string>> = Object.fromEntries(
  ['default', 'default_mask', 'mask', ''].map((name) => [
    `test_training_dropout${name && `_${name}`}`,
    'expects the random numbers of one Python library',
  ]),
);

/** Names of the cases in a folder. */
export function casesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'model.onnx')))
    .sort();
}

/** Runs one case through import, layout, compile and execution; returns what is wrong, null where nothing is. */
export function runCase(folder: string, kernels: Kernels): string | null {
  try {
    const model = readModel(readFileSync(join(folder, 'model.onnx')));
    const graph = toChannelsLast(importGraph(model, { acceptQuantized: true }).graph);
    const data = join(folder, 'test_data_set_0');
    const feeds = new Map<string, Tensor>();
    graph.inputs.forEach(({ name }, i) => {
      feeds.set(name, tensorIn(data, `input_${i}.pb`));
    });
    const executor = compile(graph, kernels);
    try {
      const names = graph.outputs.map(({ name }) => name);
      const results = executor.run(feeds, names);
      for (const [i, name] of names.entries()) {
        const wrong = difference(results.get(name), tensorIn(data, `output_${i}.pb`));
        if (wrong) return `${name}: ${wrong}`;
      }
      return null;
    } finally {
      executor.dispose();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tensorIn(folder: string, file: string): Tensor {
  return tensorFromProto(readTensor(readFileSync(join(folder, file))), file);
}

function difference(actual: Tensor | undefined, expected: Tensor): string | null {
  if (!actual) return 'no result';
  if (actual.dtype !== expected.dtype) return `${actual.dtype} instead of ${expected.dtype}`;
  if (actual.shape.join() !== expected.shape.join())
    return `[${actual.shape}] instead of [${expected.shape}]`;
  for (let i = 0; i < expected.data.length; i++) {
    const [got, wanted] = [actual.data[i], expected.data[i]];
    if (!close(got, wanted, expected.dtype)) return `${got} instead of ${wanted} at ${i}`;
  }
  return null;
}

function close(got: unknown, wanted: unknown, dtype: Tensor['dtype']): boolean {
  if (!/^float/.test(dtype)) return got === wanted || (dtype === 'string' && Number(got) === Number(wanted));
  const [a, b] = [got, wanted].map((value) =>
    dtype === 'float16' ? float16ToNumber(value as number) : (value as number),
  );
  if (Number.isNaN(b) || !Number.isFinite(b)) return Object.is(a, b);
  return Math.abs(a - b) <= ABSOLUTE + RELATIVE * Math.abs(b);
}
