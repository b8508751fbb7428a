import type { Graph, Node } from '../graph/graph.ts';
import type { Quantization, Quantizer } from '../quant/quantizer.ts';
import { inheritsQuantizer, integerInputs, quantizerOf } from './quantized-values.ts';

/** Integers, floats, or whatever comes in: moves do not compute. */
export type Execution = 'integer' | 'float' | 'move';

/** How a value is quantized, whoever owns the quantizer. */
type QuantizerOf = (value: string) => Quantizer | undefined;

export function executionOf(
  graph: Graph,
  node: Node,
  quantizedLayer: boolean,
  quantizer: QuantizerOf,
): Execution {
  if (inheritsQuantizer(node)) return 'move';
  const output = quantizer(node.outputs[0]);
  if (node.op === 'Relu' || node.op === 'Clip')
    return output && quantizer(node.inputs[0]) ? 'integer' : 'float';
  const inputs = integerInputs(graph, node);
  if (!inputs?.every((input) => quantizer(input))) return 'float';
  const isLayer = node.op === 'Conv' || node.op === 'Linear';
  return (isLayer ? quantizedLayer : output) ? 'integer' : 'float';
}

/** Names of nodes that compute in float; moves of float values are not worth naming. */
export function floatNodes(
  graph: Graph,
  execution: (node: Node) => Execution,
  quantizer: QuantizerOf,
): string[] {
  const isFloat = (value: string) => graph.types.get(value)?.dtype === 'float32';
  return graph.nodes
    .filter((node) => {
      if (!node.outputs.some(isFloat)) return false;
      if (node.op === 'MaxPool') return !quantizer(node.outputs[0]);
      return execution(node) === 'float';
    })
    .map(({ name }) => name);
}

/** As floatNodes, from the quantization alone. */
export function floatNodesOf(graph: Graph, { activations, layers }: Quantization): string[] {
  const quantizer = (value: string) => activations.get(quantizerOf(graph, value));
  return floatNodes(graph, (node) => executionOf(graph, node, layers.has(node.name), quantizer), quantizer);
}
