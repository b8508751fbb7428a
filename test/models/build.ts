import { evaluateNode, type Graph, type Tensor } from '../../lib/graph/index.ts';
import { type FileNode, type FileValue, writeModel } from '../../lib/onnx/index.ts';

export interface ModelParts {
  nodes: readonly FileNode[];
  /** Name -> shape, float32. */
  inputs: Readonly<Record<string, readonly (number | string)[]>>;
  outputs: readonly string[];
  constants?: Readonly<Record<string, Tensor>>;
  opset?: number;
  irVersion?: number;
}

/** Bytes of an ONNX file. */
export function modelBytes(parts: ModelParts): Uint8Array<ArrayBuffer> {
  const value = (name: string, shape: readonly (number | string)[]): FileValue => ({
    name,
    dtype: 'float32',
    shape,
  });
  return writeModel({
    irVersion: parts.irVersion ?? 8,
    opset: parts.opset ?? 13,
    name: 'test',
    inputs: Object.entries(parts.inputs).map(([name, shape]) => value(name, shape)),
    outputs: parts.outputs.map((name) => value(name, ['batch'])),
    initializers: Object.entries(parts.constants ?? {}).map(([name, tensor]) => ({ name, tensor })),
    nodes: parts.nodes,
  });
}

/** A node whose name is its operator's and its first output's. */
export function node(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: FileNode['attributes'] = {},
): FileNode {
  return { name: `${op}:${outputs[0]}`, op, inputs, outputs, attributes };
}

/** Deterministic values between -2 and 2. */
export function wave(shape: readonly number[], phase = 0): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return {
    dtype: 'float32',
    shape,
    data: Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * 0.37 + phase)),
  };
}

export function floats(shape: readonly number[], ...values: number[]): Tensor {
  return { dtype: 'float32', shape, data: Float32Array.from(values) };
}

export function int64s(...values: number[]): Tensor {
  return { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

/** All values of a graph, node by node on plain tensors. */
export function evaluateGraph(graph: Graph, feeds: Readonly<Record<string, Tensor>>): Map<string, Tensor> {
  const values = new Map<string, Tensor>([...graph.constants, ...Object.entries(feeds)]);
  for (const step of graph.nodes) {
    const inputs = step.inputs.map((name) => (name === '' ? null : values.get(name)!));
    evaluateNode(graph, step, inputs).forEach((tensor, i) => {
      if (step.outputs[i]) values.set(step.outputs[i], tensor);
    });
  }
  return values;
}
