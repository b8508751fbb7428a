import type { Graph } from '../graph/graph.ts';
import type { FileModel } from '../onnx/index.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import { pack, packedLength } from '../sqnt/packing.ts';
import { BITS_KEY, createEmission, type Emission } from './emission.ts';
import { builderFor, type FileOptions, fileModel, OPSETS } from './file-model.ts';
import { emitFloatLayer, type OrientedWeights } from './float-layers.ts';
import { leastOpset } from './opset.ts';
import { WIDTHS_KEY } from './ort.ts';
import { emitNode } from './ort-nodes.ts';

/**
 * Profile `compact`: the smallest ONNX file that an unchanged onnxruntime loads. Weights are integers of the smallest
 * type that holds them, per channel, symmetric, and dequantized before a float operator; activations are float, so the
 * network's answers differ from ours only by what quantized activations would have changed.
 */
interface Storage {
  dtype: 'int2' | 'int4' | 'int8';
  bits: number;
  /** The first opset whose DequantizeLinear takes it. */
  since: number;
}

/** Types of ONNX for weights, narrowest first: there is none of 3, 5, 6 or 7 bits. */
const STORAGES: readonly Storage[] = [
  { dtype: 'int2', bits: 2, since: 25 },
  { dtype: 'int4', bits: 4, since: 21 },
  { dtype: 'int8', bits: 8, since: OPSETS.oldest },
];

function storageOf(bits: number, opset: number): Storage {
  return STORAGES.find((storage) => storage.bits >= bits && storage.since <= opset)!;
}

/** The least opset that has every node of the graph and, for every layer, the narrowest type there is. */
export function compactOpset(graph: Graph, { layers }: Quantization): number {
  const types = [...layers.values()].map(({ bits }) => storageOf(bits, OPSETS.newest).since);
  return Math.max(leastOpset(graph), ...types);
}

/**
 * Onnx-form graph and its integers -> the file. Below the opset that compactOpset gives, narrow weights take the
 * narrowest type that this opset has. Throws UNSUPPORTED_MODEL where the opset has no form of a node.
 */
export function compactModel(graph: Graph, { layers }: Quantization, options: FileOptions): FileModel {
  const file = builderFor(graph);
  // Without quantizers of activations all that is no layer stays as it is.
  const emission = createEmission(graph, { layers, activations: new Map() }, options.opset, file);
  for (const node of graph.nodes) {
    // onnxruntime would make a MatMulNBits of a MatMul, which rounds activations to 8 bits on its own.
    if (layers.has(node.name))
      emitFloatLayer(emission, node, 'Gemm', (layer, weights) =>
        storeWeights(emission, node.name, layer, weights),
      );
    else emitNode(emission, node);
  }
  const widths = Object.fromEntries([...layers].map(([name, { bits }]) => [name, { weights: bits }]));
  const metadata = new Map([...options.metadata, [WIDTHS_KEY, JSON.stringify(widths)]]);
  return fileModel(graph, file, { ...options, metadata });
}

function storeWeights(
  { file, opset }: Emission,
  name: string,
  { bits, scales }: QuantizedLayer,
  { q, shape, axis }: OrientedWeights,
): string {
  const storage = storageOf(bits, opset);
  const data = new Uint8Array(packedLength(q.length, storage.bits));
  pack(q, storage.bits, data);
  const metadata = new Map([[BITS_KEY, String(bits)]]);
  const weights = file.tensor(`${name}_weight`, { dtype: storage.dtype, shape, data }, metadata);
  const scale = file.tensor(`${name}_weight_scale`, {
    dtype: 'float32',
    shape: [scales.length],
    data: scales,
  });
  file.annotate(weights, scale);
  const output = file.unique(`${name}_weight_dequantized`);
  file.node('DequantizeLinear', output, [weights, scale], [output], { axis });
  return output;
}
