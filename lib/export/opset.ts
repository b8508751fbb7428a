import { SigmaQuantError } from '../errors.ts';
import type { Attribute, Graph, Node } from '../graph/graph.ts';
import type { Emission } from './emission.ts';
import { float32, int64, OPSETS } from './file-model.ts';

/**
 * Nodes that are no normal operators keep the form of their model's opset; here they take the form of the file's.
 * One row per operator whose form or meaning changed between opsets 7 and 26; all others are the same throughout.
 */
export interface ConvertedNode {
  op: string;
  /** Value names as in the graph. */
  inputs: readonly string[];
  /** Names of stored tensors that follow them. */
  extra: string[];
  attributes: Readonly<Record<string, Attribute>>;
}

type Convert = (emission: Emission, node: Node, from: number, to: number) => ConvertedNode;

const same: Convert = (_, { op, inputs, attributes }) => ({ op, inputs, extra: [], attributes });

/** Operators that not every opset since 13 has, at the one that brought them. */
const SINCE: Record<string, number> = {
  HardSwish: 14,
  Trilu: 14,
  Bernoulli: 15,
  CastLike: 15,
  GridSample: 16,
  LayerNormalization: 17,
  Col2Im: 18,
  CenterCropPad: 18,
  GroupNormalization: 18,
  Mish: 18,
  DeformConv: 19,
  AffineGrid: 20,
  Gelu: 20,
  Attention: 23,
  RMSNormalization: 23,
  RotaryEmbedding: 23,
  Swish: 24,
  TensorScatter: 24,
  BitCast: 26,
  CumProd: 26,
};

const REDUCTIONS = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'];
/** What a node says that its operator could not say from the beginning, and since when it can. */
const NEEDS: Record<string, (node: Node, graph: Graph) => number> = {
  AveragePool: ({ attributes: { dilations } }) =>
    (dilations as readonly number[] | undefined)?.some((size) => size !== 1) ? 19 : 0,
  GroupNormalization: (_, { opset }) => (opset >= 21 ? 21 : 0),
  Reshape: ({ attributes: { allowzero } }) => (allowzero === 1 ? 14 : 0),
  Resize: ({ attributes }) => {
    if (attributes['coordinate_transformation_mode'] === 'half_pixel_symmetric') return 19;
    return ['antialias', 'axes', 'keep_aspect_ratio_policy'].some((name) => name in attributes) ? 18 : 0;
  },
  ...Object.fromEntries(
    REDUCTIONS.map((name) => [`Reduce${name}`, (node: Node, graph: Graph) => reduceSince(node, graph, 18)]),
  ),
  ReduceSum: (node, graph) => reduceSince(node, graph, 13),
  ScatterElements: reductionSince,
  ScatterND: reductionSince,
  Shape: ({ attributes }) => ('start' in attributes || 'end' in attributes ? 15 : 0),
};

/** Reducing along no axes at all came with axes as an input, truth values later. */
function reduceSince({ inputs, attributes }: Node, graph: Graph, since: number): number {
  const axes = inputs[1] ? graph.constants.get(inputs[1]) : null;
  const nowhere = attributes['noop_with_empty_axes'] === 1 && (axes === null || axes?.data.length === 0);
  const type = graph.types.get(inputs[0]) ?? graph.inputs.find(({ name }) => name === inputs[0]);
  return Math.max(nowhere ? since : 0, type?.dtype === 'bool' ? 20 : 0);
}

function reductionSince({ attributes: { reduction = 'none' } }: Node): number {
  if (reduction === 'none') return 0;
  return reduction === 'max' || reduction === 'min' ? 18 : 16;
}

/** The first opset with an operator and all that the node says. */
function sinceOf(node: Node, graph: Graph): number {
  return Math.max(SINCE[node.op] ?? 0, NEEDS[node.op]?.(node, graph) ?? 0);
}

/** The oldest opset that is written and has every node of a graph. */
export function leastOpset(graph: Graph): number {
  return Math.max(OPSETS.oldest, ...graph.nodes.map((node) => sinceOf(node, graph)));
}

function refuseNode(emission: Emission, node: Node, reason: string): never {
  throw new SigmaQuantError(
    'UNSUPPORTED_MODEL',
    `Expected a form of ${node.op} for opset ${emission.opset} but received node ${node.name}, ${reason}.`,
  );
}

function without(
  attributes: Readonly<Record<string, Attribute>>,
  ...names: string[]
): Record<string, Attribute> {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
}

/** An attribute that became the input behind those there are (`since` inclusive), and back for an older file. */
function moved(attribute: string, since: number, position: number): Convert {
  return (emission, node, from, to) => {
    const { op, inputs, attributes } = node;
    if (from < since && to >= since) {
      const value = attributes[attribute] as readonly number[] | undefined;
      if (value === undefined) return { op, inputs, extra: [], attributes };
      const extra = [emission.file.tensor(`${node.name}_${attribute}`, int64(...value))];
      return { op, inputs, extra, attributes: without(attributes, attribute) };
    }
    if (from >= since && to < since && inputs[position]) {
      const constant = emission.graph.constants.get(inputs[position]);
      if (!constant) refuseNode(emission, node, `whose ${attribute} are computed`);
      const values = Array.from(constant.data as BigInt64Array, Number);
      return {
        op,
        inputs: inputs.slice(0, position),
        extra: [],
        attributes: { ...attributes, [attribute]: values },
      };
    }
    return { op, inputs, extra: [], attributes };
  };
}

/** With its axes as an attribute a reduction has nothing to say of empty ones. */
function reduce(since: number): Convert {
  const move = moved('axes', since, 1);
  return (emission, node, from, to) => {
    const converted = move(emission, node, from, to);
    return to < since
      ? { ...converted, attributes: without(converted.attributes, 'noop_with_empty_axes') }
      : converted;
  };
}

/** Before opset 13 everything from `axis` (1 by default) on was one dimension. */
const softmax: Convert = (emission, node, from, to) => {
  if (from >= 13 || to < 13) return same(emission, node, from, to);
  const { op, inputs, attributes } = node;
  const shape = emission.graph.types.get(node.outputs[0])?.shape;
  const axis = (attributes['axis'] as number | undefined) ?? 1;
  const place = shape && axis < 0 ? axis + shape.length : axis;
  if (!shape || shape.slice(place + 1).some((size) => size !== 1))
    refuseNode(emission, node, 'which normalizes over several dimensions at once');
  return { op, inputs, extra: [], attributes: { ...attributes, axis: place } };
};

/** Without sizes: until opset 18 all parts are alike; from there on the last may be smaller, and they are counted. */
const split: Convert = (emission, node, from, to) => {
  const converted = moved('split', 13, 1)(emission, node, from, to);
  const attributes = without(converted.attributes, 'num_outputs');
  if (converted.inputs[1] || converted.extra.length > 0) return { ...converted, attributes };
  if (to >= 18) return { ...converted, attributes: { ...attributes, num_outputs: node.outputs.length } };
  const axis = (attributes['axis'] as number | undefined) ?? 0;
  const sizes = node.outputs.map((output) => emission.graph.types.get(output)?.shape.at(axis));
  if (new Set(sizes).size === 1) return { ...converted, attributes };
  if (!sizes.every((size) => typeof size === 'number'))
    refuseNode(emission, node, 'whose parts have unknown sizes');
  return { ...converted, extra: [emission.file.tensor(`${node.name}_split`, int64(...sizes))], attributes };
};

const slice: Convert = (emission, node, from, to) => {
  if (from >= 10) return same(emission, node, from, to);
  const { inputs, attributes } = node;
  const starts = attributes['starts'] as readonly number[];
  const lists: Record<string, readonly number[]> = {
    starts,
    ends: attributes['ends'] as readonly number[],
    axes: (attributes['axes'] as readonly number[] | undefined) ?? starts.map((_, index) => index),
  };
  const extra = Object.entries(lists).map(([name, values]) =>
    emission.file.tensor(`${node.name}_${name}`, int64(...values)),
  );
  return { op: 'Slice', inputs, extra, attributes: {} };
};

const topK: Convert = (emission, node, from, to) => {
  if (from >= 10) return same(emission, node, from, to);
  const k = emission.file.tensor(`${node.name}_k`, int64(node.attributes['k'] as number));
  return { op: 'TopK', inputs: node.inputs, extra: [k], attributes: without(node.attributes, 'k') };
};

/** Upsample (until 9) and Resize 10 place samples as `asymmetric` and round down. */
const resize: Convert = (emission, node, from, to) => {
  const { attributes } = node;
  if (from >= 11) return same(emission, node, from, to);
  const [x, scales] = node.inputs;
  const mode = (attributes['mode'] as string | undefined) ?? 'nearest';
  const stored = scales
    ? []
    : [emission.file.tensor(`${node.name}_scales`, float32(...(attributes['scales'] as readonly number[])))];
  return {
    op: 'Resize',
    inputs: scales ? [x, '', scales] : [x, ''],
    extra: stored,
    attributes: { mode, coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  };
};

const batchNormalization: Convert = (_, { op, inputs, attributes }) => ({
  op,
  inputs,
  extra: [],
  attributes: without(attributes, 'spatial', 'is_test'),
});

const roiAlign: Convert = (emission, node, from, to) =>
  from < 16 && to >= 16
    ? {
        ...same(emission, node, from, to),
        attributes: { coordinate_transformation_mode: 'output_half_pixel', ...node.attributes },
      }
    : same(emission, node, from, to);

/** What modes are called until opset 20, and from there on. */
const GRID_MODES = [
  ['bilinear', 'linear'],
  ['bicubic', 'cubic'],
];
const gridSample: Convert = (emission, node, from, to) => {
  if (from >= 20 === to >= 20) return same(emission, node, from, to);
  const mode = node.attributes['mode'] ?? GRID_MODES[0][from >= 20 ? 1 : 0];
  const names = GRID_MODES.find((row) => row.includes(mode as string));
  return {
    ...same(emission, node, from, to),
    attributes: { ...node.attributes, mode: names?.[to >= 20 ? 1 : 0] ?? mode },
  };
};

/** Until opset 20 scale and shift are those of groups: repeated for every channel of theirs. */
const groupNormalization: Convert = (emission, node, from, to) => {
  if (from >= 21 || to < 21) return same(emission, node, from, to);
  const { constants, types } = emission.graph;
  const [x, ...parameters] = node.inputs;
  const channels = types.get(node.outputs[0])?.shape[1];
  const tensors = parameters.map((name) => constants.get(name));
  if (typeof channels !== 'number' || tensors.some((tensor) => tensor?.dtype !== 'float32'))
    refuseNode(emission, node, 'whose scales per group are computed');
  const extra = tensors.map((tensor, i) => {
    const values = tensor!.data as Float32Array;
    const each = channels / values.length;
    const repeated = Array.from({ length: channels }, (_, channel) => values[Math.floor(channel / each)]);
    return emission.file.tensor(`${node.name}_${i === 0 ? 'scale' : 'bias'}`, float32(...repeated));
  });
  return { ...same(emission, node, from, to), inputs: [x], extra };
};

/** Attributes that speak of 8-bit floats, which no graph here has. */
const cast: Convert = (emission, node, from, to) => {
  const converted = same(emission, node, from, to);
  const unknown = [...(to < 19 ? ['saturate'] : []), ...(to < 24 ? ['round_mode'] : [])];
  return { ...converted, attributes: without(converted.attributes, ...unknown) };
};

/** Before opset 16 a scatter has no `reduction`, not even none. */
const scatter: Convert = (emission, node, from, to) => {
  const converted = same(emission, node, from, to);
  return to < 16 ? { ...converted, attributes: without(converted.attributes, 'reduction') } : converted;
};

const reshape: Convert = (emission, node, from, to) => {
  const converted = same(emission, node, from, to);
  return to < 14 ? { ...converted, attributes: without(converted.attributes, 'allowzero') } : converted;
};

const ROWS: Record<string, Convert> = {
  Squeeze: moved('axes', 13, 1),
  Unsqueeze: moved('axes', 13, 1),
  ReduceSum: reduce(13),
  ...Object.fromEntries(REDUCTIONS.map((name) => [`Reduce${name}`, reduce(18)])),
  Split: split,
  Softmax: softmax,
  LogSoftmax: softmax,
  Hardmax: softmax,
  Slice: slice,
  TopK: topK,
  Resize: resize,
  Upsample: resize,
  BatchNormalization: batchNormalization,
  Reshape: reshape,
  Scatter: (_, { inputs, attributes }) => ({ op: 'ScatterElements', inputs, extra: [], attributes }),
  RoiAlign: roiAlign,
  GridSample: gridSample,
  GroupNormalization: groupNormalization,
  Cast: cast,
  CastLike: cast,
  ScatterND: scatter,
  ScatterElements: scatter,
};

/** Throws UNSUPPORTED_MODEL, naming the node, where the file's opset cannot say what it does. */
export function checkSince(emission: Emission, node: Node): void {
  const since = sinceOf(node, emission.graph);
  if (emission.opset < since) refuseNode(emission, node, `which opset ${since} was the first to have`);
}

/** The node in the form of the file's opset. Throws UNSUPPORTED_MODEL naming the node where there is none. */
export function convertNode(emission: Emission, node: Node): ConvertedNode {
  return (ROWS[node.op] ?? same)(emission, node, emission.graph.opset, emission.opset);
}
