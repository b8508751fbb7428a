import type { Node, Tensor } from './graph.ts';
import { range, toFirst, toLast } from './ops/indexing.ts';
import { axisOf, ints, list, number } from './ops/operator.ts';
import { int64Tensor } from './tensors.ts';

/** What a rule may ask while it renames a node's axes for a channels-last input. */
export interface Axes {
  /** Of the first input. */
  rank: number;
  opset: number;
  rankOf(value: string): number | undefined;
  constant(value: string): Tensor | undefined;
  store(name: string, tensor: Tensor): string;
}

/** The node for a channels-last first input, and the layout of its outputs. */
export interface Renamed {
  node: Node;
  output: 'first' | 'last';
}

/** Null where the node has no channels-last equivalent. */
type Rule = (node: Node, axes: Axes) => Renamed | null;

/** Where an ONNX axis lies in channels-last. */
function place(node: Node, axis: number, rank: number): number {
  return toFirst(rank)[axisOf(node, axis, rank)];
}

const singleAxis =
  (otherwise: number): Rule =>
  (node, { rank }) => {
    const axis = place(node, number(node, 'axis', otherwise), rank);
    return { node: { ...node, attributes: { ...node.attributes, axis } }, output: 'last' };
  };

/** Before opset 13 the axes behind `axis` belong to it too. */
const softmax: Rule = (node, axes) => (axes.opset < 13 ? null : singleAxis(-1)(node, axes));

/** Layout of what is left when ONNX axes `gone` vanish; null where it is neither. */
function remaining(rank: number, gone: readonly number[]): 'first' | 'last' | null {
  const kept = toLast(rank).filter((axis) => !gone.includes(axis));
  const ascending = kept.toSorted((a, b) => a - b);
  if (kept.every((axis, i) => axis === ascending[i])) return 'first';
  const last = toLast(kept.length).map((axis) => ascending[axis]);
  return kept.every((axis, i) => axis === last[i]) ? 'last' : null;
}

/** The axes of a node: an attribute, a constant input, or undefined; null where they are computed. */
function axesOf(node: Node, { rank, constant }: Axes, index: number): number[] | undefined | null {
  const input = node.inputs[index] ?? '';
  const given = ints(node, 'axes') ?? (input === '' ? undefined : (constant(input) ?? null));
  if (given === null || given === undefined) return given;
  return ('data' in given ? list(given) : given).map((axis) => axisOf(node, axis, rank));
}

function withAxes(node: Node, axes: readonly number[], index: number, { store }: Axes): Node {
  const input = node.inputs[index] ?? '';
  if (input === '') return { ...node, attributes: { ...node.attributes, axes } };
  const name = store(`${input}/channels_last`, int64Tensor(axes));
  return { ...node, inputs: node.inputs.map((value, i) => (i === index ? name : value)) };
}

const reduction: Rule = (node, axes) => {
  const { rank } = axes;
  const given = axesOf(node, axes, 1);
  if (given === null) return null;
  const keep = number(node, 'keepdims', 1) === 1;
  if (!given || given.length === 0) {
    const whole = number(node, 'noop_with_empty_axes', 0) === 0;
    return { node, output: keep || !whole ? 'last' : 'first' };
  }
  const output = keep ? 'last' : remaining(rank, given);
  const moved = given.map((axis) => place(node, axis, rank));
  return output && { node: withAxes(node, moved, 1, axes), output };
};

const extreme: Rule = (node, axes) => {
  const axis = axisOf(node, number(node, 'axis', 0), axes.rank);
  const output = number(node, 'keepdims', 1) === 1 ? 'last' : remaining(axes.rank, [axis]);
  const renamed = singleAxis(0)(node, axes);
  return output && renamed && { ...renamed, output };
};

const squeeze: Rule = (node, axes) => {
  const given = axesOf(node, axes, 1);
  if (!given || given.length === 0) return null;
  const output = remaining(axes.rank, given);
  const moved = given.map((axis) => place(node, axis, axes.rank));
  return output && { node: withAxes(node, moved, 1, axes), output };
};

const gather: Rule = (node, axes) => {
  const indices = axes.constant(node.inputs[1])?.shape.length ?? axes.rankOf(node.inputs[1]);
  const axis = axisOf(node, number(node, 'axis', 0), axes.rank);
  const renamed = singleAxis(0)(node, axes);
  if (indices === 1) return renamed;
  const output = indices === 0 ? remaining(axes.rank, [axis]) : null;
  return output && renamed && { ...renamed, output };
};

const pad: Rule = (node, { rank }) => {
  const pads = ints(node, 'pads');
  if (!pads || node.inputs.length > 1) return null;
  const perm = toLast(rank);
  const moved = [...perm.map((axis) => pads[axis]), ...perm.map((axis) => pads[axis + rank])];
  return { node: { ...node, attributes: { ...node.attributes, pads: moved } }, output: 'last' };
};

const slice: Rule = (node, axes) => {
  const given = axesOf(node, axes, 3);
  const starts = ints(node, 'starts') ?? axes.constant(node.inputs[1] ?? '')?.data;
  if (given === null || !starts) return null;
  const moved = (given ?? range(starts.length)).map((axis) => place(node, axis, axes.rank));
  if (given) return { node: withAxes(node, moved, 3, axes), output: 'last' };
  if (ints(node, 'starts'))
    return { node: { ...node, attributes: { ...node.attributes, axes: moved } }, output: 'last' };
  const inputs = [
    ...node.inputs.slice(0, 3),
    axes.store(`${node.name}.axes`, int64Tensor(moved)),
    ...node.inputs.slice(4),
  ];
  return { node: { ...node, inputs }, output: 'last' };
};

/** Its result is in ONNX's layout, whatever the model meant by it. */
const transpose: Rule = (node, { rank }) => {
  const perm = ints(node, 'perm');
  if (!perm) return null;
  return {
    node: { ...node, attributes: { perm: perm.map((axis) => place(node, axis, rank)) } },
    output: 'first',
  };
};

/** One row per operator that runs in any layout once its axes are renamed. */
export const RENAMED: Readonly<Record<string, Rule>> = {
  Concat: singleAxis(1),
  Split: singleAxis(0),
  Softmax: softmax,
  LogSoftmax: softmax,
  ArgMax: extreme,
  ArgMin: extreme,
  ...Object.fromEntries(
    'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'
      .split(' ')
      .map((name) => [`Reduce${name}`, reduction]),
  ),
  TopK: singleAxis(-1),
  LpNormalization: singleAxis(-1),
  Squeeze: squeeze,
  Gather: gather,
  Pad: pad,
  Slice: slice,
  Transpose: transpose,
};
