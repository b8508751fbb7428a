import { tensorFromProto } from '../graph/index.ts';
import type { ModelProto, NodeProto, TensorProto } from '../onnx/index.ts';
import type { LayerWidths } from './ort.ts';

const LEAST_BITS = 2;
const MOST_BITS = 8;
const LAYERS = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/**
 * Width of the weights by layer name: as the metadata of our exporter says, else the fewest bits that hold the stored
 * integers. Layers whose weights are stored as floats have 8.
 */
export function weightBits({ graph }: ModelProto, widths: string | undefined): Map<string, number> {
  const stated = parsed(widths);
  const tensors = new Map(graph!.initializer.map((tensor) => [tensor.name, tensor]));
  const sources = new Map(
    graph!.node
      .filter(({ opType }) => opType === 'DequantizeLinear')
      .map(({ input, output }) => [output[0], tensors.get(input[0])] as const),
  );
  const bits = (node: NodeProto) => stated[node.name]?.weights ?? bitsOf(sources.get(node.input[1]) ?? null);
  return new Map(
    graph!.node.filter(({ opType }) => LAYERS.has(opType)).map((node) => [node.name, bits(node)]),
  );
}

function parsed(widths: string | undefined): Record<string, LayerWidths> {
  try {
    return widths ? JSON.parse(widths) : {};
  } catch {
    return {}; // metadata is a convenience; the integers tell as well
  }
}

function bitsOf(tensor: TensorProto | null): number {
  if (!tensor) return MOST_BITS;
  const { data } = tensorFromProto(tensor, `tensor ${JSON.stringify(tensor.name)}`);
  let [low, high] = [0, 0];
  for (const value of data as Int8Array) {
    low = Math.min(low, Number(value));
    high = Math.max(high, Number(value));
  }
  return Math.min(MOST_BITS, Math.max(LEAST_BITS, Math.ceil(Math.log2(high - low + 1))));
}
