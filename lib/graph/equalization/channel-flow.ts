import type { Graph, Node } from '../graph.ts';
import { clampOf } from '../ops/elementwise.ts';

import type { ChannelLayer } from './channel-layers.ts';

/** Ties channel `from` of a node's input to channel `to` of its output. */
type Tie = (input: number, from: number, to: number) => void;

/** What an operator does to channels (axis 1), where it leaves them apart. */
interface Passage {
  /** Scaling an input channel scales the output channels that it is tied to, by the same factor. */
  ties: (node: Node, count: (value: string) => number, tie: Tie) => void;
  /** Adding a constant to an input channel adds the same to the output: false where zeros are padded in. */
  shifts: (node: Node) => boolean;
}

/** Each channel by itself. */
const alike: Passage['ties'] = (node, count, tie) => {
  for (let channel = 0; channel < count(node.outputs[0]); channel++)
    for (let input = 0; input < node.inputs.length; input++) tie(input, channel, channel);
};
/** A channel's places become neighbouring channels. */
const flattened: Passage['ties'] = (node, count, tie) => {
  const from = count(node.inputs[0]);
  const places = count(node.outputs[0]) / from;
  for (let channel = 0; channel < from; channel++)
    for (let place = 0; place < places; place++) tie(0, channel, channel * places + place);
};
const joined: Passage['ties'] = (node, count, tie) => {
  let offset = 0;
  for (const [input, name] of node.inputs.entries()) {
    for (let channel = 0; channel < count(name); channel++) tie(input, channel, offset + channel);
    offset += count(name);
  }
};
/** Begins, then ends, of all axes; empty where they are not explicit. */
const padding = (node: Node) => (node.attributes['pads'] as readonly number[] | undefined) ?? [];
const padded: Passage['ties'] = (node, count, tie) => {
  const before = padding(node)[1];
  for (let channel = 0; channel < count(node.inputs[0]); channel++) tie(0, channel, before + channel);
};
const always = () => true;
const never = () => false;

const PASSAGES: Readonly<Record<string, Passage>> = {
  Relu: { ties: alike, shifts: never },
  Add: { ties: alike, shifts: always },
  MaxPool: { ties: alike, shifts: always },
  AveragePool: { ties: alike, shifts: ({ attributes }) => attributes['count_include_pad'] === 0 },
  GlobalAveragePool: { ties: alike, shifts: always },
  Concat: { ties: joined, shifts: always },
  Flatten: { ties: flattened, shifts: always },
  Reshape: { ties: flattened, shifts: always },
  Pad: { ties: padded, shifts: never },
};

/** Where channels run through a graph in ONNX form. */
export interface ChannelFlow {
  layers: ReadonlyMap<string, ChannelLayer>;
  /** Channels (sizes of axis 1) of the values that are known. */
  counts: ReadonlyMap<string, number>;
  /** What a node does to channels; null for a layer's node, and where it may do anything. */
  passage: (node: Node) => Passage | null;
}

export function channelFlow(graph: Graph, layers: ReadonlyMap<string, ChannelLayer>): ChannelFlow {
  const counts = new Map<string, number>();
  for (const [name, { dtype, shape }] of graph.types)
    if (dtype === 'float32' && typeof shape[1] === 'number') counts.set(name, shape[1]);
  const passage = (node: Node) => {
    if (layers.has(node.name) || !Object.hasOwn(PASSAGES, node.op)) return null;
    return keepsChannelsApart(graph, node, counts) ? PASSAGES[node.op] : null;
  };
  return { layers, counts, passage };
}

function keepsChannelsApart(graph: Graph, node: Node, counts: ReadonlyMap<string, number>): boolean {
  const [input, output] = [node.inputs[0], node.outputs[0]];
  const shapeOf = (value: string) => graph.types.get(value)?.shape;
  // Pads and clamps that are inputs are not in normal form.
  if (node.outputs.length !== 1 || ![...node.inputs, output].every((value) => counts.has(value)))
    return false;
  switch (node.op) {
    case 'Add':
      return node.inputs.every((value) => `${shapeOf(value)}` === `${shapeOf(output)}`);
    case 'Concat':
      return node.attributes['axis'] === 1;
    case 'Flatten':
    case 'Reshape':
      return shapeOf(output)!.length === 2 && shapeOf(output)![0] === shapeOf(input)![0];
    case 'Pad':
      return node.attributes['mode'] === 'constant'
        ? node.attributes['value'] === 0 && padding(node).every((size) => size >= 0)
        : padding(node)[1] === 0 && counts.get(input) === counts.get(output);
    default:
      return true;
  }
}

/**
 * True where scaling by a positive factor goes through a node's bounds. It does not commute with the 6 of Clip(0, 6):
 * a bound per channel would be needed, which neither the integers nor ONNX have, or data that never reach it.
 */
export function isPositivelyHomogeneous(node: Node): boolean {
  const [low, high] = clampOf(node);
  return (low === 0 || low === Number.NEGATIVE_INFINITY) && high === Number.POSITIVE_INFINITY;
}
