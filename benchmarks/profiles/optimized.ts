import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FileModel, readModel } from '../../lib/onnx/index.ts';
import { openSession } from '../onnxruntime.ts';

/** What onnxruntime makes of a file: the operator of every node that it really runs, or its reason to refuse the file. */
export type Optimized = { operators: ReadonlyMap<string, string> } | { refusal: string };

/** Operators by the name that their node had in the file, without the activation functions that they took in. */
export async function optimized(model: Uint8Array): Promise<Optimized> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-optimized-'));
  try {
    const path = join(folder, 'optimized.onnx');
    await (await openSession(model, 1, { optimized: path })).release();
    const { node: nodes } = readModel(readFileSync(path)).graph!;
    return {
      operators: new Map(nodes.map(({ name, opType }) => [originalName(name), opType.replace(/^Fused/, '')])),
    };
  } catch (error) {
    return { refusal: (error as Error).message };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Its optimizers decorate names. */
function originalName(name: string): string {
  return name
    .replace(/^fused /, '')
    .replace(/(_token_\d+|_nchwc)+$/, '')
    .replace(/\/MatMul(Add|Scale)Fusion\/?$/, '');
}

/**
 * The operator that runs each node of a file, by the node's name; undefined where it is gone, all of them where the file
 * was refused. Convolutions in blocked layouts are named after their result, or that of the Relu or Clip they took in.
 */
export function kernelsOf(model: FileModel, real: Optimized): Map<string, string | null | undefined> {
  if ('refusal' in real) return new Map(model.nodes.map(({ name }) => [name, null]));
  const { operators } = real;
  return new Map(
    model.nodes.map(({ name, outputs: [output] }) => {
      const readers = model.nodes.filter(({ inputs }) => inputs.includes(output));
      const names = [name, output, ...readers.map(({ outputs }) => outputs[0])];
      return [name, operators.get(names.find((own) => operators.has(own)) ?? '')];
    }),
  );
}
