import type { Graph, Node } from '../graph.ts';
import { number } from '../ops/operator.ts';
import { floatTensor, numbers, sizeOf } from '../tensors.ts';

/** A Conv or Linear with constant weights, as what its channels do to each other. ONNX layout. */
export interface ChannelLayer {
  node: Node;
  /** [rows][channels][taps] in float64, until the graph is written. */
  weights: Float64Array;
  /** [rows]; zeros where the node has none. */
  bias: Float64Array;
  /** Output channels. */
  rows: number;
  groups: number;
  /** Input channels per group. */
  channels: number;
  taps: number;
  /** True where the layer sees zeros around its input. */
  padded: boolean;
}

/** Layers whose channels are axis 1 of their input and output, by node name. */
export function channelLayers(graph: Graph): Map<string, ChannelLayer> {
  return new Map(
    graph.nodes.flatMap((node) => {
      const layer = channelLayer(graph, node);
      return layer ? [[node.name, layer] as const] : [];
    }),
  );
}

function channelLayer(graph: Graph, node: Node): ChannelLayer | null {
  const { op, inputs, attributes } = node;
  if (op !== 'Conv' && op !== 'Linear') return null;
  const weights = graph.constants.get(inputs[1]);
  const bias = inputs[2] ? graph.constants.get(inputs[2]) : null;
  if (weights?.dtype !== 'float32' || bias === undefined || graph.constants.has(inputs[0])) return null;
  // A Linear over a sequence has its channels last; one over [N, channels] has them on axis 1 as a Conv does.
  if (op === 'Linear' && graph.types.get(inputs[0])?.shape.length !== 2) return null;
  const [rows, channels, ...kernel] = weights.shape;
  const pads = attributes['pads'] as readonly number[] | undefined;
  return {
    node,
    weights: Float64Array.from(numbers(weights)),
    bias: bias ? Float64Array.from(numbers(bias)) : new Float64Array(rows),
    rows,
    groups: op === 'Conv' ? number(node, 'group', 1) : 1,
    channels,
    taps: sizeOf(kernel),
    // Pads are explicit in normal form; where they are not, nobody knows that there are none.
    padded: op === 'Conv' && !pads?.every((size) => size === 0),
  };
}

/** The input channel that block `channel` of `row` reads. */
export function inputChannel(layer: ChannelLayer, row: number, channel: number): number {
  return Math.floor((row * layer.groups) / layer.rows) * layer.channels + channel;
}

/** True where every output channel reads one input channel, of several. */
export function isDepthwise({ groups, channels }: ChannelLayer): boolean {
  return channels === 1 && groups > 1;
}

/** Calls `visit` for every pair of output and input channel with the offset of its taps in the weights. */
export function eachBlock(
  layer: ChannelLayer,
  visit: (row: number, input: number, offset: number) => void,
): void {
  for (let row = 0, offset = 0; row < layer.rows; row++)
    for (let channel = 0; channel < layer.channels; channel++, offset += layer.taps)
      visit(row, inputChannel(layer, row, channel), offset);
}

/** The graph with the weights and biases of `changed` layers; constants that others read too are not touched. */
export function withLayers(graph: Graph, changed: ReadonlyMap<string, ChannelLayer>): Graph {
  const constants = new Map(graph.constants);
  const uses = new Map<string, number>();
  for (const name of [
    ...graph.nodes.flatMap(({ inputs }) => inputs),
    ...graph.outputs.map(({ name }) => name),
  ])
    uses.set(name, (uses.get(name) ?? 0) + 1);
  const store = (name: string, data: Float64Array, shape: readonly number[]): string => {
    constants.set(name, floatTensor(shape, Float32Array.from(data)));
    return name;
  };
  const free = (name: string): string => {
    for (let i = 1; ; i++) {
      const own = i === 1 ? name : `${name}_${i}`;
      if (!constants.has(own) && !graph.types.has(own)) return own;
    }
  };
  const nodes = graph.nodes.map((node) => {
    const layer = changed.get(node.name);
    if (!layer) return node;
    const [x, w, b = ''] = node.inputs;
    const inputs = [x, store(uses.get(w) === 1 ? w : free(w), layer.weights, graph.constants.get(w)!.shape)];
    if (b !== '' || layer.bias.some((value) => value !== 0))
      inputs.push(
        store(b !== '' && uses.get(b) === 1 ? b : free(b || `${node.name}.bias`), layer.bias, [layer.rows]),
      );
    return { ...node, inputs };
  });
  return { ...graph, nodes, constants };
}
