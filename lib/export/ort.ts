import { SigmaQuantError } from '../errors.ts';
import type { Graph, Node } from '../graph/graph.ts';
import type { FileModel } from '../onnx/index.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { createEmission, type Emission } from './emission.ts';
import { FileBuilder } from './file-model.ts';
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
  /** 21 with IR 10 (widths also stand at each tensor), or 13 with IR 7. */
  opset: 13 | 21;
  /** Model metadata; widths and activations are added. */
  metadata: ReadonlyMap<string, string>;
}

const IR_VERSIONS = { 13: 7, 21: 10 } as const;
/** Model metadata: layer name -> LayerWidths, as JSON. */
export const WIDTHS_KEY = 'sigmaquant.widths';
/** Model metadata: value of the float model -> ActivationEntry, as JSON. */
export const ACTIVATIONS_KEY = 'sigmaquant.activations';

export interface LayerWidths {
  weights: number;
  activations: number;
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
  const file = new FileBuilder(
    takenNames(graph),
    graph.nodes.map(({ name }) => name),
  );
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
  const perTensor = IR_VERSIONS[options.opset] >= 10;
  return {
    irVersion: IR_VERSIONS[options.opset],
    opset: options.opset,
    domains: domainsOf(graph.nodes),
    name: graph.name,
    inputs: graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    outputs: graph.outputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    values: perTensor ? file.values : file.values.map(({ metadata: _, ...value }) => value),
    initializers: perTensor ? file.initializers : file.initializers.map(({ metadata: _, ...rest }) => rest),
    nodes: file.nodes,
    quantization: file.annotations,
    metadata,
  };
}

function takenNames(graph: Graph): Set<string> {
  const names = new Set<string>([...graph.constants.keys(), ...graph.inputs.map(({ name }) => name)]);
  for (const node of graph.nodes) for (const output of node.outputs) names.add(output);
  return names;
}

function domainsOf(nodes: readonly Node[]): ReadonlyMap<string, number> {
  const domains = new Map<string, number>();
  for (const { op } of nodes) {
    const dot = op.lastIndexOf('.');
    if (dot > 0) domains.set(op.slice(0, dot), 1);
  }
  return domains;
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
