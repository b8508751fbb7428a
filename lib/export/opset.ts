import { SigmaQuantError } from '../errors.ts';
import type { Attribute, Node } from '../graph/graph.ts';
import type { Emission } from './emission.ts';
import { float32, int64 } from './file-model.ts';

/**
 * Nodes that are no normal operators keep the form of their model's opset; here they take the form of the file's.
 * One row per operator whose form or meaning changed between opsets 7 and 21; all others are the same throughout.
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

/** Operators that opset 13 does not have, at the opset that brought them. */
const NEWER_THAN_13: Record<string, number> = {
  HardSwish: 14,
  Trilu: 14,
  Bernoulli: 15,
  GridSample: 16,
  LayerNormalization: 17,
  Col2Im: 18,
  CenterCropPad: 18,
  GroupNormalization: 18,
  Mish: 18,
  AffineGrid: 20,
  Gelu: 20,
};

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

const split: Convert = (emission, node, from, to) => {
  const converted = moved('split', 13, 1)(emission, node, from, to);
  const { inputs, extra } = converted;
  const attributes = without(converted.attributes, 'num_outputs');
  const even = !inputs[1] && extra.length === 0 && to >= 18;
  return {
    ...converted,
    attributes: even ? { ...attributes, num_outputs: node.outputs.length } : attributes,
  };
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
  const newer = ['antialias', 'axes', 'keep_aspect_ratio_policy'].find((name) => name in attributes);
  if (to < 18 && newer) refuseNode(emission, node, `which has ${newer}`);
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

const GRID_MODES: Record<string, string> = { bilinear: 'linear', bicubic: 'cubic' };
const gridSample: Convert = (emission, node, from, to) => {
  if (from >= 20 || to < 20) return same(emission, node, from, to);
  const mode = (node.attributes['mode'] as string | undefined) ?? 'bilinear';
  return {
    ...same(emission, node, from, to),
    attributes: { ...node.attributes, mode: GRID_MODES[mode] ?? mode },
  };
};

const groupNormalization: Convert = (emission, node, from, to) =>
  from < 21 && to >= 21
    ? refuseNode(emission, node, 'whose scales are per group')
    : same(emission, node, from, to);

const REDUCTIONS = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'];

const ROWS: Record<string, Convert> = {
  Squeeze: moved('axes', 13, 1),
  Unsqueeze: moved('axes', 13, 1),
  ReduceSum: moved('axes', 13, 1),
  ...Object.fromEntries(REDUCTIONS.map((name) => [`Reduce${name}`, moved('axes', 18, 1)])),
  Split: split,
  Softmax: softmax,
  LogSoftmax: softmax,
  Hardmax: softmax,
  Slice: slice,
  TopK: topK,
  Resize: resize,
  Upsample: resize,
  BatchNormalization: batchNormalization,
  Scatter: (_, { inputs, attributes }) => ({ op: 'ScatterElements', inputs, extra: [], attributes }),
  RoiAlign: roiAlign,
  GridSample: gridSample,
  GroupNormalization: groupNormalization,
};

/** The node in the form of the file's opset. Throws UNSUPPORTED_MODEL naming the node where there is none. */
export function convertNode(emission: Emission, node: Node): ConvertedNode {
  if (emission.opset < (NEWER_THAN_13[node.op] ?? 0)) refuseNode(emission, node, 'which came later');
  return (ROWS[node.op] ?? same)(emission, node, emission.graph.opset, emission.opset);
}
