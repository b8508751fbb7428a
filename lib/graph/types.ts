import type { Dimension, Dtype, Graph, Node, Tensor, ValueType } from './graph.ts';
import { evaluateNode, inferNode, type Known, OPERATORS } from './ops.ts';
import { sizeOf } from './tensors.ts';

/** A type whose batch is bound. */
export interface StaticType {
  dtype: Dtype;
  shape: readonly number[];
}

/** Shape arithmetic works on short lists; larger results are left to whoever runs the graph. */
const LARGEST_KNOWN = 65_536;

export type Inferred = Pick<Graph, 'inputs' | 'nodes' | 'constants' | 'opset' | 'layout' | 'given'>;

/** The named dimension of the inputs that stands for the batch. */
export function batchSymbol({ inputs }: Pick<Graph, 'inputs'>): string | undefined {
  return inputs.flatMap(({ shape }) => shape).find((size) => typeof size === 'string');
}

/**
 * Types of all values, constants left out, for one batch: every named dimension is `batch`. What depends on
 * unknown operators whose types were not given, or on data, is missing. Throws MALFORMED_MODEL where inputs of a node do not fit.
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
  const symbol = batchSymbol(graph);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => (name === '' ? null : values.get(name)));
    const unknown = !OPERATORS.has(node.op) || inputs.includes(undefined);
    const outputs = unknown ? [] : inferredOutputs(graph, node, inputs as (Known | null)[]);
    node.outputs.forEach((name, i) => {
      const known = outputs[i] ?? bound(graph.given?.get(name), symbol, batch);
      if (name !== '' && known) values.set(name, known);
    });
  }
  return values;
}

/** A given type for one batch; null where a size is neither known nor a multiple of the batch. */
function bound(type: ValueType | undefined, symbol: string | undefined, batch: number): Known | null {
  if (!type) return null;
  const shape: number[] = [];
  for (const size of type.shape) {
    const length = typeof size === 'number' ? size : timesOf(size, symbol) * batch;
    if (!Number.isFinite(length)) return null;
    shape.push(length);
  }
  return { dtype: type.dtype, shape };
}

/** `batch` is once the batch, `4*batch` four times. NaN for any other name. */
function timesOf(size: string, symbol: string | undefined): number {
  if (size === symbol) return 1;
  const [times, name] = size.split('*', 2);
  return name === symbol && symbol !== undefined ? Number(times) : Number.NaN;
}

/** A size that was seen at two batches: a number, the batch, a multiple of it, or a name of its own. */
export function dimensionAt(
  sizes: readonly [number, number],
  batches: readonly [number, number],
  symbol: string,
): Dimension {
  const [a, b] = sizes;
  if (a === b) return a;
  const times = a / batches[0];
  if (times !== b / batches[1]) return `${symbol}?`;
  return times === 1 ? symbol : `${times}*${symbol}`;
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
