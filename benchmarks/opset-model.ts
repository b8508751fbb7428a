import type { Attribute, Dtype, Tensor } from '../lib/graph/graph.ts';
import { type FileNode, writeModel } from '../lib/onnx/index.ts';

/** IR version that came with each operator set. */
const IR_VERSIONS: Readonly<Record<number, number>> = { 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12 };
const NEWEST_IR = 13;

/** One operator in one form, as an exporter of operator sets 18 to 26 writes it. */
export interface OpsetCase {
  operator: string;
  /** What distinguishes it from the operator's other cases. */
  form: string;
  /** First and last operator set that has this form. */
  since: number;
  until: number;
  /** The node's inputs: what is fed, then what is constant (null: absent). */
  feeds: readonly Tensor[];
  constants: readonly (Tensor | null)[];
  attributes: Readonly<Record<string, Attribute>>;
  outputs: readonly { dtype: Dtype; rank: number }[];
}

/** A model of the one node; `behindPool` puts a pool that changes nothing before it. */
export function modelOf(
  test: Pick<OpsetCase, 'operator' | 'feeds' | 'constants' | 'attributes' | 'outputs'>,
  opset: number,
  behindPool: boolean,
): Uint8Array {
  const feeds = test.feeds.map((_, i) => `x${i}`);
  const constants = test.constants.map((tensor, i) => (tensor ? `c${i}` : ''));
  const outputs = test.outputs.map((_, i) => `y${i}`);
  const nodes: FileNode[] = [];
  const inputs = [...feeds, ...constants];
  if (behindPool) {
    const rank = test.feeds[0].shape.length;
    const kernel_shape = new Array<number>(rank - 2).fill(1);
    nodes.push({
      name: 'pool',
      op: 'MaxPool',
      inputs: ['x0'],
      outputs: ['pooled'],
      attributes: { kernel_shape },
    });
    inputs[0] = 'pooled';
  }
  nodes.push({ name: 'node', op: test.operator, inputs, outputs, attributes: test.attributes });
  return writeModel({
    irVersion: IR_VERSIONS[opset] ?? NEWEST_IR,
    opset,
    name: 'case',
    inputs: test.feeds.map(({ dtype, shape }, i) => ({ name: feeds[i], dtype, shape })),
    outputs: test.outputs.map(({ dtype, rank }, i) => ({
      name: outputs[i],
      dtype,
      shape: Array.from({ length: rank }, (_, axis) => `y${i}_${axis}`),
    })),
    initializers: test.constants.flatMap((tensor, i) => (tensor ? [{ name: constants[i], tensor }] : [])),
    nodes,
  });
}
