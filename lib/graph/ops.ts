import { SigmaQuantError } from '../errors.ts';
import type { Graph, Node, Tensor } from './graph.ts';
import { ACTIVATIONS } from './ops/activations.ts';
import { CONVOLUTIONS } from './ops/convolution.ts';
import { einsum } from './ops/einsum.ts';
import { ELEMENTWISE } from './ops/elementwise.ts';
import { permute, toFirst, toLast, transpose } from './ops/indexing.ts';
import { JOINS } from './ops/joins.ts';
import { MATRICES } from './ops/matrices.ts';
import { MOVEMENTS } from './ops/movement.ts';
import type { Form, Known, Operator } from './ops/operator.ts';
import { POOLS } from './ops/pooling.ts';
import { QUANTIZED } from './ops/quantized.ts';
import { REDUCTIONS } from './ops/reductions.ts';
import { RESIZES } from './ops/resize.ts';
import { SCATTERS } from './ops/scatter.ts';
import { SEQUENCES } from './ops/sequences.ts';
import { SHAPES } from './ops/shapes.ts';

export type { Form, Known, Operator };

/** Every operator that can be executed, by its ONNX name (and `Linear`). */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  [
    ACTIVATIONS,
    ELEMENTWISE,
    JOINS,
    CONVOLUTIONS,
    POOLS,
    SHAPES,
    MOVEMENTS,
    REDUCTIONS,
    MATRICES,
    QUANTIZED,
    RESIZES,
    SCATTERS,
    SEQUENCES,
    { Einsum: einsum },
  ].flatMap((rows) => Object.entries(rows)),
);

const FIRST_INPUT = [0];

/** True where the node's data change layout in a channels-last graph. */
function turned({ layout }: Form, row: Operator): boolean {
  return layout === 'channels-last' && row.layout === 'spatial';
}

function rowOf(node: Node): Operator {
  const row = OPERATORS.get(node.op);
  if (!row)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected an operator that can be executed but received ${node.op} (node ${node.name}).`,
    );
  return row;
}

/**
 * Types of a node's outputs from those of its inputs (null for an absent one), in either form. Null for an output
 * whose shape depends on more than is known. Throws MALFORMED_MODEL where the inputs cannot be,
 * UNSUPPORTED_OPERATOR for an operator without a row.
 */
export function inferNode(form: Form, node: Node, inputs: readonly (Known | null)[]): (Known | null)[] {
  const row = rowOf(node);
  if (!turned(form, row)) return row.infer(node, inputs, form);
  const permuted = row.permuted ?? FIRST_INPUT;
  const first = inputs.map((input, i) =>
    input && permuted.includes(i)
      ? { dtype: input.dtype, shape: permute(input.shape, toFirst(input.shape.length)) }
      : input,
  );
  return row
    .infer(node, first, form)
    .map((known) => known && { dtype: known.dtype, shape: permute(known.shape, toLast(known.shape.length)) });
}

/**
 * Runs one node on tensors, any type and rank, in either form. Results may share memory with the inputs.
 * Throws as inferNode.
 */
export function evaluateNode(form: Form, node: Node, inputs: readonly (Tensor | null)[]): Tensor[] {
  const row = rowOf(node);
  if (!turned(form, row)) return row.evaluate(node, inputs, form);
  const permuted = row.permuted ?? FIRST_INPUT;
  const first = inputs.map((input, i) =>
    input && permuted.includes(i) ? transpose(input, toFirst(input.shape.length)) : input,
  );
  return row.evaluate(node, first, form).map((tensor) => transpose(tensor, toLast(tensor.shape.length)));
}

/** Nodes whose operator has no row: the graph can be looked at but not run. */
export function unsupportedNodes(graph: Graph): Node[] {
  return graph.nodes.filter(({ op }) => !OPERATORS.has(op));
}
