import type { Draft } from '../draft.ts';
import type { Attribute, Node } from '../graph.ts';
import { range } from '../ops/indexing.ts';
import { padsOf } from '../ops/movement.ts';
import { axisOf, ints, misfit, number, text } from '../ops/operator.ts';
import { windowOf } from '../ops/window.ts';
import { numbers } from '../tensors.ts';
import type { StaticType } from '../types.ts';

/** What the rules know of a value: constants and inferred types alike. */
type Types = (name: string) => StaticType | undefined;
type Rule = (node: Node, types: Types, draft: Draft) => Node;

/** Gives the normal operators their explicit attributes; nodes whose types are unknown stay as they are. */
export function normalize(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  const lookup: Types = (name) => draft.constants.get(name) ?? types.get(name);
  draft.nodes = draft.nodes.map((node) => RULES[node.op]?.(node, lookup, draft) ?? node);
}

function withAttributes(node: Node, attributes: Record<string, Attribute>, inputs = node.inputs): Node {
  return { ...node, inputs: trimmed(inputs), attributes };
}

/** Without absent inputs at the end. */
function trimmed(inputs: readonly string[]): readonly string[] {
  let { length } = inputs;
  while (length > 0 && inputs[length - 1] === '') length--;
  return inputs.slice(0, length);
}

const conv: Rule = (node, types) => {
  const [x, w] = [types(node.inputs[0])?.shape, types(node.inputs[1])?.shape];
  if (!x || !w) return node;
  if (w.length !== x.length || x.length < 3)
    misfit(
      node,
      `weights of rank ${x.length}`,
      `tensor ${JSON.stringify(node.inputs[1])} of shape [${w.join(', ')}]`,
    );
  const { strides, dilations, pads } = windowOf(node, x.slice(2), w.slice(2));
  return withAttributes(node, { strides, dilations, pads, group: number(node, 'group', 1) });
};

const convTranspose: Rule = (node, types) => {
  const w = types(node.inputs[1])?.shape;
  if (!w || ints(node, 'output_shape') || text(node, 'auto_pad', 'NOTSET') !== 'NOTSET') return node;
  const rank = w.length - 2;
  const filled = (name: string, length: number, value: number) =>
    ints(node, name) ?? new Array<number>(length).fill(value);
  return withAttributes(node, {
    strides: filled('strides', rank, 1),
    dilations: filled('dilations', rank, 1),
    pads: filled('pads', 2 * rank, 0),
    output_padding: filled('output_padding', rank, 0),
    group: number(node, 'group', 1),
  });
};

const pool: Rule = (node, types) => {
  const x = types(node.inputs[0])?.shape;
  const kernel = ints(node, 'kernel_shape');
  if (!x || !kernel) return node;
  const { strides, dilations, pads } = windowOf(node, x.slice(2), kernel);
  return withAttributes(node, {
    kernel_shape: kernel,
    strides,
    dilations,
    pads,
    ceil_mode: number(node, 'ceil_mode', 0),
    ...(node.op === 'AveragePool' ? { count_include_pad: number(node, 'count_include_pad', 0) } : {}),
    ...(node.outputs.length > 1 ? { storage_order: number(node, 'storage_order', 0) } : {}),
  });
};

/** Float limits that are constant become the attribute `clamp`. */
const clip: Rule = (node, types, draft) => {
  if (types(node.inputs[0])?.dtype !== 'float32') return node;
  const limit = (index: number, name: string, otherwise: number): number | null => {
    const input = node.inputs[index] ?? '';
    if (input === '') return number(node, name, otherwise);
    const tensor = draft.constants.get(input);
    return tensor ? numbers(tensor)[0] : null;
  };
  const [low, high] = [limit(1, 'min', -Infinity), limit(2, 'max', Infinity)];
  if (low === null || high === null) return node;
  return withAttributes(node, { clamp: [low, high] }, [node.inputs[0]]);
};

/** Constant pads and value become attributes. */
const pad: Rule = (node, types, draft) => {
  const x = types(node.inputs[0]);
  if (!x) return node;
  const inputs = node.inputs.map((name) => draft.constants.get(name) ?? null);
  if (node.inputs.some((name, i) => i > 0 && name !== '' && !inputs[i])) return node;
  const pads = padsOf(node, x.shape.length, inputs);
  if (!pads) return node;
  const value = inputs[2] ? numbers(inputs[2])[0] : number(node, 'value', 0);
  return withAttributes(node, { pads, value, mode: text(node, 'mode', 'constant') }, [node.inputs[0]]);
};

/** An axis that counts from the front. */
function axis(otherwise: number | ((opset: number) => number), name = 'axis'): Rule {
  return (node, types, { opset }) => {
    const x = types(node.inputs[0])?.shape;
    if (!x) return node;
    const given = number(node, name, typeof otherwise === 'number' ? otherwise : otherwise(opset));
    return withAttributes(node, { ...node.attributes, [name]: axisOf(node, given, x.length) });
  };
}

const flatten: Rule = (node, types) => {
  const rank = types(node.inputs[0])?.shape.length;
  if (rank === undefined) return node;
  const given = number(node, 'axis', 1);
  return withAttributes(node, { axis: given < 0 ? given + rank : given });
};

const transpose: Rule = (node, types) => {
  const rank = types(node.inputs[0])?.shape.length;
  if (rank === undefined) return node;
  return withAttributes(node, { perm: ints(node, 'perm') ?? range(rank).reverse() });
};

const batchNorm: Rule = (node) => {
  const epsilon = number(node, 'epsilon', 1e-5);
  if (number(node, 'training_mode', 0) === 1) return node;
  return { ...withAttributes(node, { epsilon }), outputs: node.outputs.slice(0, 1) };
};

/** A cast to the type that its input has already. */
const cast: Rule = (node, types) => {
  const [from, to] = [types(node.inputs[0])?.dtype, types(node.outputs[0])?.dtype];
  return from !== undefined && from === to ? { ...node, op: 'Identity', attributes: {} } : node;
};

const bare: Rule = (node) => withAttributes(node, {});

const SOFTMAX_AXIS = (opset: number) => (opset < 13 ? 1 : -1);

const RULES: Readonly<Record<string, Rule>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool,
  AveragePool: pool,
  Clip: clip,
  Pad: pad,
  Concat: axis(1),
  Split: axis(0),
  Gather: axis(0),
  ArgMax: axis(0),
  ArgMin: axis(0),
  Softmax: axis(SOFTMAX_AXIS),
  LogSoftmax: axis(SOFTMAX_AXIS),
  Flatten: flatten,
  Transpose: transpose,
  BatchNormalization: batchNorm,
  Cast: cast,
  Add: bare,
  Relu: bare,
  GlobalAveragePool: bare,
};
