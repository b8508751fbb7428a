import type { Draft } from '../draft.ts';
import type { Node, Tensor } from '../graph.ts';
import { spread } from '../ops/elementwise.ts';
import { transpose } from '../ops/indexing.ts';
import { number } from '../ops/operator.ts';
import { floatTensor, numbers } from '../tensors.ts';
import type { StaticType } from '../types.ts';

/** Gemm and MatMul whose second factor is a constant matrix become Linear, weights [n][k]. */
export function linearize(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  const uses = draft.uses();
  draft.nodes = draft.nodes.map((node) => {
    const weights = draft.constants.get(node.inputs[1] ?? '');
    if (weights?.dtype !== 'float32' || weights.shape.length !== 2) return node;
    const x = types.get(node.inputs[0]);
    if (x?.dtype !== 'float32') return node;
    if (node.op === 'MatMul' && x.shape.length >= 2) {
      const w = draft.replace(node.inputs[1], transpose(weights, [1, 0]), node, uses);
      return { ...node, op: 'Linear', inputs: [node.inputs[0], w], attributes: {} };
    }
    return node.op === 'Gemm' ? fromGemm(draft, node, weights, uses) : node;
  });
}

function fromGemm(draft: Draft, node: Node, b: Tensor, uses: ReadonlyMap<string, number>): Node {
  if (number(node, 'transA', 0) !== 0) return node;
  const [x, name, c = ''] = node.inputs;
  const turned = number(node, 'transB', 0) === 1 ? b : transpose(b, [1, 0]);
  const n = turned.shape[0];
  const bias = c === '' ? null : draft.constants.get(c);
  // A bias that differs from row to row, or that is computed, is no bias of a layer.
  if (bias === undefined || (bias && bias.data.length !== n && bias.data.length !== 1)) return node;
  if (bias && bias.data.length === n && n > 1 && bias.shape[bias.shape.length - 1] !== n) return node;
  const [alpha, beta] = [number(node, 'alpha', 1), number(node, 'beta', 1)];
  const inputs = [
    x,
    turned === b && alpha === 1 ? name : draft.replace(name, scaled(turned, alpha), node, uses),
  ];
  if (bias) {
    const at = spread(bias, [n]);
    const values = Float32Array.from({ length: n }, (_, i) => beta * at(i));
    const same = beta === 1 && bias.shape.length === 1 && bias.shape[0] === n;
    inputs.push(same ? c : draft.replace(c, floatTensor([n], values), node, uses));
  }
  return { ...node, op: 'Linear', inputs, attributes: {} };
}

function scaled(tensor: Tensor, factor: number): Tensor {
  if (factor === 1) return tensor;
  return floatTensor(
    tensor.shape,
    Float32Array.from(numbers(tensor), (value) => value * factor),
  );
}
