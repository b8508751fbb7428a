import { SigmaQuantError } from '../errors.ts';
import { tensorFromProto } from '../graph/index.ts';
import { type NodeProto, readModel, type TensorProto } from '../onnx/index.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import { outermostFirst, transposed } from './orientation.ts';

/**
 * Reads a file back whose layers have their weights behind one node (DequantizeLinear or IntQuant) with a scale per
 * channel, and compares every integer and scale. Throws INTERNAL naming the layer that differs.
 */
export function checkStoredWeights(bytes: Uint8Array, { layers }: Quantization): void {
  const graph = readModel(bytes).graph!;
  const nodes = new Map(graph.node.map((node) => [node.name, node]));
  const makers = new Map(graph.node.flatMap((node) => node.output.map((output) => [output, node] as const)));
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const [name, layer] of layers) {
    const node = nodes.get(name);
    const source = makers.get(node?.input[1] ?? '');
    if (!node || !source || !sameWeights(node, source, tensors, layer))
      throw new SigmaQuantError(
        'INTERNAL',
        `Expected the integers and scales of layer ${name} in the exported file as they were made but read others.`,
      );
  }
}

function sameWeights(
  node: NodeProto,
  source: NodeProto,
  tensors: ReadonlyMap<string, TensorProto>,
  layer: QuantizedLayer,
): boolean {
  const [weights, scale] = source.input.slice(0, 2).map((input) => {
    const tensor = tensors.get(input);
    return tensor && tensorFromProto(tensor, `tensor ${input}`);
  });
  if (!weights || !scale) return false;
  const [first, second] = weights.shape;
  const { length: rows } = layer.scales;
  const q =
    node.opType === 'MatMul'
      ? transposed(layer.q, rows, first)
      : node.opType === 'Conv'
        ? outermostFirst(layer.q, first, second)
        : layer.q;
  const perRow = node.opType === 'MatMul' ? 1 : q.length / rows;
  const stored = weights.data as ArrayLike<number>;
  const isFloat = weights.dtype === 'float32';
  const level = (i: number) =>
    isFloat ? Math.round(stored[i] / layer.scales[Math.floor(i / perRow) % rows]) : stored[i];
  return (
    stored.length === q.length &&
    q.every((value, i) => value === level(i)) &&
    layer.scales.every((value, channel) => value === scale.data[channel])
  );
}
