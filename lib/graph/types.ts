import type { Dtype, Graph, Node, Tensor } from './graph.ts';
import { evaluateNode, inferNode, type Known, OPERATORS } from './ops.ts';
import { sizeOf } from './tensors.ts';

/** A type whose batch is bound. */
export interface StaticType {
  dtype: Dtype;
  shape: readonly number[];
}

/** Shape arithmetic works on short lists; larger results are left to whoever runs the graph. */
const LARGEST_KNOWN = 65_536;

export type Inferred = Pick<Graph, 'inputs' | 'nodes' | 'constants' | 'opset' | 'layout'>;

/**
 * Types of all values, constants left out, for one batch: every named dimension is `batch`. What depends on
 * unknown operators or on data is missing. Throws MALFORMED_MODEL where inputs of a node do not fit.
 */
export function inferTypes(graph: Inferred, batch: number): Map<string, StaticType> {
  const types = new Map<string, StaticType>();
  for (const [name, { dtype, shape }] of inferValues(graph, batch))
    if (!graph.constants.has(name)) types.set(name, { dtype, shape });
  return types;
}

/** Types as inferTypes, constants included, with the content of what is constant for this batch. */
export function inferValues(graph: Inferred, batch: number): Map<string, Known> {
  const values = new Map<string, Known>();
  for (const [name, value] of graph.constants)
    values.set(name, { dtype: value.dtype, shape: value.shape, value });
  for (const { name, dtype, shape } of graph.inputs)
    values.set(name, { dtype, shape: shape.map((size) => (typeof size === 'string' ? batch : size)) });
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => (name === '' ? null : values.get(name)));
    if (!OPERATORS.has(node.op) || inputs.includes(undefined)) continue;
    const outputs = inferredOutputs(graph, node, inputs as (Known | null)[]);
    node.outputs.forEach((name, i) => {
      if (name !== '' && outputs[i]) values.set(name, outputs[i]);
    });
  }
  return values;
}

/** Of one node: as inferNode, with the content of small outputs where that of all inputs is known. */
export function inferredOutputs(
  graph: Inferred,
  node: Node,
  inputs: readonly (Known | null)[],
): (Known | null)[] {
  const inferred = inferNode(graph, node, inputs);
  const tensors: (Tensor | null)[] = [];
  let size = inferred.reduce((sum, known) => sum + (known ? sizeOf(known.shape) : 0), 0);
  for (const input of inputs) {
    if (input && !input.value) return inferred;
    tensors.push(input?.value ?? null);
    size += input ? sizeOf(input.shape) : 0;
  }
  if (size > LARGEST_KNOWN || inferred.every((known) => known?.value)) return inferred;
  return evaluateNode(graph, node, tensors).map((value) => ({
    dtype: value.dtype,
    shape: value.shape,
    value,
  }));
}
