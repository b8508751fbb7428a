import type { Attribute, Dimension, Dtype, Graph, Node, Tensor, ValueType } from '../../lib/graph/graph.ts';
import { random } from '../contract/support.ts';

/** Builds small channels-last graphs by hand. */
export class Network {
  readonly nodes: Node[] = [];
  readonly constants = new Map<string, Tensor>();
  readonly types = new Map<string, ValueType>();
  readonly #next: () => number;

  constructor(seed = 1) {
    this.#next = random(seed);
  }

  /** Uniform in [-1, 1), or the numbers given. */
  constant(name: string, shape: number[], values?: readonly number[]): string {
    const length = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length }, (_, i) => values?.[i] ?? this.#next() * 2 - 1);
    this.constants.set(name, { dtype: 'float32', shape, data });
    return name;
  }

  ints(name: string, values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    this.constants.set(name, { dtype: 'int64', shape: [values.length], data });
    return name;
  }

  type(name: string, shape: readonly Dimension[], dtype: Dtype = 'float32'): string {
    this.types.set(name, { dtype, shape });
    return name;
  }

  /** A node of one output, which has the node's name. */
  node(
    op: string,
    name: string,
    inputs: readonly string[],
    shape: readonly Dimension[],
    attributes: Record<string, Attribute> = {},
  ): string {
    this.nodes.push({ name, op, inputs, outputs: [name], attributes });
    return this.type(name, shape);
  }

  /** Convolution with weights [out][kh][kw][in/group] and a bias. */
  conv(
    name: string,
    input: string,
    weights: readonly [number, number, number, number],
    shape: readonly Dimension[],
    attributes: Record<string, Attribute> = {},
  ): string {
    const w = this.constant(`${name}.w`, [...weights]);
    const b = this.constant(`${name}.b`, [weights[0]]);
    return this.node('Conv', name, [input, w, b], shape, {
      strides: [1, 1],
      dilations: [1, 1],
      pads: [1, 1, 1, 1],
      group: 1,
      clamp: [0, Number.POSITIVE_INFINITY],
      ...attributes,
    });
  }

  graph(inputs: readonly string[], outputs: readonly string[]): Graph {
    const port = (name: string) => ({ name, ...this.types.get(name)! });
    return {
      name: 'network',
      opset: 13,
      inputs: inputs.map(port),
      outputs: outputs.map(port),
      nodes: this.nodes,
      constants: this.constants,
      types: this.types,
      rawSigma: new Map(),
      layout: 'channels-last',
    };
  }
}

const N = 'batch';

/**
 * A little of everything: images [batch,3,7,6] through a transposition, a strided convolution, a depthwise one, a
 * residual sum, a concatenation, pools and a classifier -> [batch,4].
 */
export function sampler(): Graph {
  const net = new Network();
  net.type('image', [N, 3, 7, 6]);
  net.node('Transpose', 'pixels', ['image'], [N, 7, 6, 3], { perm: [0, 2, 3, 1] });
  net.conv('stem', 'pixels', [8, 3, 3, 3], [N, 4, 3, 8], { strides: [2, 2] });
  net.conv('depthwise', 'stem', [8, 3, 3, 1], [N, 4, 3, 8], { group: 8, clamp: [0, 6] });
  net.conv('project', 'depthwise', [8, 1, 1, 8], [N, 4, 3, 8], {
    pads: [0, 0, 0, 0],
    clamp: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  });
  net.node('Add', 'sum', ['stem', 'project'], [N, 4, 3, 8], { clamp: [0, Number.POSITIVE_INFINITY] });
  net.conv('grouped', 'sum', [6, 3, 3, 4], [N, 4, 3, 6], { group: 2 });
  net.node('Concat', 'joined', ['sum', 'grouped'], [N, 4, 3, 14], { axis: 3 });
  net.node('MaxPool', 'pooled', ['joined'], [N, 2, 2, 14], {
    kernel_shape: [2, 2],
    strides: [2, 2],
    dilations: [1, 1],
    pads: [0, 0, 0, 1],
    ceil_mode: 0,
  });
  net.node('Pad', 'padded', ['pooled'], [N, 2, 2, 16], {
    pads: [0, 0, 0, 1, 0, 0, 0, 1],
    mode: 'constant',
    value: 0,
  });
  net.node('AveragePool', 'averaged', ['padded'], [N, 2, 2, 16], {
    kernel_shape: [2, 2],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [0, 0, 1, 1],
    ceil_mode: 0,
    count_include_pad: 0,
  });
  net.node('GlobalAveragePool', 'global', ['averaged'], [N, 1, 1, 16]);
  net.node('Flatten', 'features', ['global'], [N, 16], { axis: 1 });
  const w = net.constant('logits.w', [4, 16]);
  const b = net.constant('logits.b', [4]);
  net.node('Linear', 'logits', ['features', w, b], [N, 4]);
  return net.graph(['image'], ['logits']);
}

export function image(batch: number, seed = 7): Tensor {
  const next = random(seed);
  const shape = [batch, 3, 7, 6];
  const data = Float32Array.from({ length: batch * 126 }, () => next() * 2 - 1);
  return { dtype: 'float32', shape, data };
}
