import type { Graph, Layer, Node } from './graph.ts';
import { toLast, transpose } from './ops/indexing.ts';
import { number } from './ops/operator.ts';
import { sizeOf } from './tensors.ts';

/** Operators with constant weights, in execution order, from either form. Weights are channels-last. */
export function layers(graph: Graph): Layer[] {
  return graph.nodes.flatMap((node) => {
    const layer = layerOf(graph, node);
    return layer ? [layer] : [];
  });
}

function layerOf(graph: Graph, node: Node): Layer | null {
  const { name, op } = node;
  if (op !== 'Conv' && op !== 'Linear') return null;
  const weights = graph.constants.get(node.inputs[1]);
  const bias = node.inputs[2] ? graph.constants.get(node.inputs[2]) : null;
  if (weights?.dtype !== 'float32' || bias === undefined) return null;
  const last =
    op === 'Conv' && graph.layout === 'onnx' ? transpose(weights, toLast(weights.shape.length)) : weights;
  const [outChannels, ...rest] = last.shape;
  const channels = rest.at(-1)!;
  const taps = sizeOf(rest.slice(0, -1));
  return {
    name,
    op,
    node,
    input: node.inputs[0],
    output: node.outputs[0],
    weights: last.data as Float32Array,
    bias: (bias?.data as Float32Array | undefined) ?? null,
    outChannels,
    taps,
    channels,
    groups: op === 'Conv' ? number(node, 'group', 1) : 1,
    parameters: last.data.length + (bias?.data.length ?? 0),
    macs: positions(graph, node) * outChannels * taps * channels,
  };
}

/** Places per sample at which the weights are applied. */
function positions(graph: Graph, node: Node): number {
  const shape = graph.types.get(node.outputs[0])?.shape ?? [];
  const sizes = shape.slice(1).map((size) => (typeof size === 'number' ? size : 1));
  if (node.op === 'Linear') return sizeOf(sizes.slice(0, -1));
  return sizeOf(graph.layout === 'onnx' ? sizes.slice(1) : sizes.slice(0, -1));
}
