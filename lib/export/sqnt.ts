import { SigmaQuantError } from '../errors.ts';
import type { Attribute, Graph, Node, Tensor } from '../graph/graph.ts';
import type { Quantization } from '../quant/quantizer.ts';
import type { PackedAttribute, PackedModel, PackedNode, ShapedLayer } from '../sqnt/index.ts';

export type PackedOrigin = Pick<PackedModel, 'preprocessing' | 'provenance'>;

/**
 * Channels-last graph and its integers -> what a packed file holds. Constants that nothing reads are dropped, and so are
 * weights and biases that only quantized layers read: `layers` has them. Throws INVALID_ARGUMENT for a graph in another
 * form or integers of a layer that it has not, UNSUPPORTED_MODEL for a node with a graph inside.
 */
export function packedModel(graph: Graph, quantization: Quantization, origin: PackedOrigin): PackedModel {
  if (graph.layout !== 'channels-last')
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a graph in channels-last form for a packed file but received ${graph.layout}.`,
    );
  const { name, opset, nodes } = graph;
  const port = (value: (typeof graph.inputs)[number]) => ({
    name: value.name,
    dtype: value.dtype,
    shape: value.shape,
  });
  return {
    name,
    opset,
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    nodes: nodes.map(packedNode),
    constants: packedConstants(graph, quantization),
    layers: packedLayers(graph, quantization),
    activations: quantization.activations,
    preprocessing: origin.preprocessing,
    provenance: origin.provenance,
  };
}

function packedNode({ name, op, inputs, outputs, attributes }: Node): PackedNode {
  for (const [key, value] of Object.entries(attributes))
    if (isGraph(value))
      throw new SigmaQuantError(
        'UNSUPPORTED_MODEL',
        `Expected nodes without graphs of their own but received one in attribute ${key} of node ${name} (${op}).`,
      );
  return { name, op, inputs, outputs, attributes: attributes as Record<string, PackedAttribute> };
}

function isGraph(value: Attribute): value is Graph {
  return typeof value === 'object' && 'nodes' in value;
}

function packedConstants(
  { nodes, outputs, constants }: Graph,
  { layers }: Quantization,
): Map<string, Tensor> {
  const read = new Set(outputs.map(({ name }) => name));
  for (const { name, inputs } of nodes)
    inputs.forEach((input, i) => {
      if (!layers.has(name) || (i !== 1 && i !== 2)) read.add(input);
    });
  return new Map([...constants].filter(([name]) => read.has(name)));
}

function packedLayers(graph: Graph, { layers }: Quantization): Map<string, ShapedLayer> {
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  return new Map(
    [...layers].map(([name, { bits, q, scales, bias }]) => {
      const weights = graph.constants.get(nodes.get(name)?.inputs[1] ?? '');
      if (!weights)
        throw new SigmaQuantError(
          'INVALID_ARGUMENT',
          `Expected a node with constant weights for layer ${name} but received none.`,
        );
      return [name, { bits, q, scales, bias, weightsShape: weights.shape }];
    }),
  );
}
