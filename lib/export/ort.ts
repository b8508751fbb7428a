import { SigmaQuantError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { FileModel } from '../onnx/index.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { createEmission, type Emission } from './emission.ts';
import { builderFor, fileModel } from './file-model.ts';
import { emitLayer } from './ort-layers.ts';
import { emitNode } from './ort-nodes.ts';

/**
 * Profile `ort`: what onnxruntime turns into integer kernels, and any other runtime can run too.
 *
 * - Every quantized value is QuantizeLinear to uint8, [Clip,] DequantizeLinear. The Clip stands on the integer side,
 *   where it does not break the fusion, and only where the range is narrower than 0..255: widths below 8 bits, or
 *   a Relu or Clip that the quantizer's range does not already imply.
 * - Weights are real integers in an int8 tensor, per channel along axis 0; the bias is int32 with a scale of exactly
 *   fl(input scale * weight scale), without which a convolution does not fuse.
 * - The network's outputs are not quantized. Nodes that stay in float stay as they are, between DequantizeLinear and
 *   QuantizeLinear.
 */
export interface OrtOptions {
  /** 13 to 26; from 21 on (IR 10) widths also stand at each tensor. */
  opset: number;
  /** Model metadata; widths and activations are added. */
  metadata: ReadonlyMap<string, string>;
}

/** Model metadata: layer name -> LayerWidths, as JSON. */
export const WIDTHS_KEY = 'sigmaquant.widths';
/** Model metadata: value of the float model -> ActivationEntry, as JSON. */
export const ACTIVATIONS_KEY = 'sigmaquant.activations';

export interface LayerWidths {
  weights: number;
  /** Absent where the layer's input is float. */
  activations?: number;
}

export interface ActivationEntry {
  bits: number;
  /** Names of tensors. */
  scale: string;
  zeroPoint: string;
}

/** Onnx-form graph and its integers -> the file. Throws UNSUPPORTED_MODEL where this opset has no such node. */
export function ortModel(graph: Graph, quantization: Quantization, options: OrtOptions): FileModel {
  if (graph.layout !== 'onnx')
    throw new SigmaQuantError(
      'INTERNAL',
      `Expected a graph in onnx form for export but received ${graph.layout}.`,
    );
  const file = builderFor(graph);
  const emission = createEmission(graph, quantization, options.opset, file);
  for (const { name } of graph.inputs) {
    const quantizer = emission.quantizer(name);
    if (quantizer) emission.quantize(name, name, quantizer.low, quantizer.high);
  }
  for (const node of graph.nodes) {
    if (quantization.layers.has(node.name) && emission.quantizer(node.inputs[0])) emitLayer(emission, node);
    else emitNode(emission, node);
  }
  const metadata = new Map([
    ...options.metadata,
    [WIDTHS_KEY, widthsText(graph, quantization, emission)],
    [ACTIVATIONS_KEY, activationsText(quantization, emission)],
  ]);
  return fileModel(graph, file, { opset: options.opset, metadata });
}

/** `{ layer: { weights, activations } }` for readers without per-tensor metadata. */
function widthsText(graph: Graph, quantization: Quantization, emission: Emission): string {
  const widths: Record<string, LayerWidths> = {};
  for (const { name, inputs } of graph.nodes) {
    const layer = quantization.layers.get(name);
    const quantizer = layer && emission.quantizer(inputs[0]);
    if (layer && quantizer) widths[name] = { weights: layer.bits, activations: quantizer.bits };
  }
  return JSON.stringify(widths);
}

function activationsText(quantization: Quantization, emission: Emission): string {
  const entries: Record<string, ActivationEntry> = {};
  for (const [value, { bits }] of quantization.activations) {
    const { scale, zeroPoint } = emission.parameters(value);
    entries[value] = { bits, scale, zeroPoint };
  }
  return JSON.stringify(entries);
}
