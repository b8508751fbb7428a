import type { Node } from '../graph/graph.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { type Emission, emitResult } from './emission.ts';
import { int64 } from './file-model.ts';
import { outermostFirst, rankOf, transposed } from './orientation.ts';
import { integerBias, outputShape } from './ort-layers.ts';

/** Integers of a layer as the operator takes them, and along which axis they have their scales. */
export interface OrientedWeights {
  q: Int8Array;
  shape: readonly number[];
  /** Of output channels. */
  axis: number;
}

/** How a Linear over more than two dimensions is written. */
export type SequenceForm = 'Gemm' | 'MatMul';

/**
 * Conv or Linear that computes in float on weights which `store` writes as integers; it returns the name of the floats
 * that they stand for. The bias is float. Throws UNSUPPORTED_MODEL for a Gemm whose result has several open dimensions.
 */
export function emitFloatLayer(
  emission: Emission,
  node: Node,
  sequences: SequenceForm,
  store: (layer: QuantizedLayer, weights: OrientedWeights) => string,
): void {
  const { graph, quantization, file } = emission;
  const layer = quantization.layers.get(node.name)!;
  const { shape } = graph.constants.get(node.inputs[1])!;
  const input = emission.read(node.inputs[0]);
  const { clamp, ...attributes } = node.attributes;
  const emit = (make: (output: string) => void) =>
    emitResult(emission, node, clamp as readonly number[], make);
  const bias = () => {
    const data = floatBias(emission, node, layer);
    return file.tensor(`${node.name}_bias`, { dtype: 'float32', shape: [data.length], data });
  };
  if (node.op === 'Conv') {
    const q = outermostFirst(layer.q, shape[0], shape[1]);
    const inputs = [input, store(layer, { q, shape, axis: 0 }), bias()];
    emit((output) =>
      file.node('Conv', node, inputs, [output], { ...attributes, kernel_shape: shape.slice(2) }),
    );
    return;
  }
  const [rows, columns] = shape;
  const isMatrix = rankOf(graph, node.inputs[0]) === 2;
  if (!isMatrix && sequences === 'MatMul') {
    const q = transposed(layer.q, rows, columns);
    const weights = store(layer, { q, shape: [columns, rows], axis: 1 });
    emit((output) => {
      const product = file.unique(`${output}_product`);
      file.node('MatMul', node, [input, weights], [product]);
      file.node('Add', `${node.name}_bias`, [product, bias()], [output]);
    });
    return;
  }
  const inputs = [store(layer, { q: layer.q, shape, axis: 0 }), bias()];
  if (isMatrix) {
    emit((output) => file.node('Gemm', node, [input, ...inputs], [output], { transB: 1 }));
    return;
  }
  const flat = file.unique(`${node.inputs[0]}_matrix`);
  file.node('Reshape', flat, [input, file.tensor(`${flat}_shape`, int64(-1, columns))], [flat]);
  emit((output) => {
    const product = file.unique(`${output}_matrix`);
    const back = file.tensor(`${output}_shape`, int64(...outputShape(emission, node)));
    file.node('Gemm', node, [flat, ...inputs], [product], { transB: 1 });
    file.node('Reshape', `${node.name}_reshape`, [product, back], [output]);
  });
}

/** Behind a quantized input the bias stands for an integer too. */
function floatBias({ quantizer }: Emission, node: Node, layer: QuantizedLayer): Float32Array {
  const input = quantizer(node.inputs[0]);
  if (!input) return layer.bias;
  const { q, scales } = integerBias(layer, input);
  return Float32Array.from(q, (value, channel) => value * scales[channel]);
}
