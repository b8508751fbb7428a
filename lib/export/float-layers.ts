import type { Node } from '../graph/graph.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { type Emission, emitResult } from './emission.ts';
import { outermostFirst, rankOf, transposed } from './orientation.ts';
import { integerBias } from './ort-layers.ts';

/** Integers of a layer as the operator takes them, and along which axis they have their scales. */
export interface OrientedWeights {
  q: Int8Array;
  shape: readonly number[];
  /** Of output channels. */
  axis: number;
}

/**
 * Conv or Linear that computes in float on weights which `store` writes as integers; it returns the name of the floats
 * that they stand for. The bias is float. A Linear over more than two dimensions is MatMul and Add: Gemm takes matrices
 * only.
 */
export function emitFloatLayer(
  emission: Emission,
  node: Node,
  store: (layer: QuantizedLayer, weights: OrientedWeights) => string,
): void {
  const { graph, quantization, file } = emission;
  const layer = quantization.layers.get(node.name)!;
  const { shape } = graph.constants.get(node.inputs[1])!;
  const input = emission.read(node.inputs[0]);
  const { clamp, ...attributes } = node.attributes;
  const bias = () => {
    const data = floatBias(emission, node, layer);
    return file.tensor(`${node.name}_bias`, { dtype: 'float32', shape: [data.length], data });
  };
  const isConv = node.op === 'Conv';
  if (isConv || rankOf(graph, node.inputs[0]) === 2) {
    const q = isConv ? outermostFirst(layer.q, shape[0], shape[1]) : layer.q;
    const weights = store(layer, { q, shape, axis: 0 });
    const own: Node['attributes'] = isConv ? { ...attributes, kernel_shape: shape.slice(2) } : { transB: 1 };
    const inputs = [input, weights, bias()];
    emitResult(emission, node, clamp as readonly number[], (output) =>
      file.node(isConv ? 'Conv' : 'Gemm', node, inputs, [output], own),
    );
    return;
  }
  const [rows, columns] = shape;
  const weights = store(layer, {
    q: transposed(layer.q, rows, columns),
    shape: [columns, rows],
    axis: 1,
  });
  emitResult(emission, node, clamp as readonly number[], (output) => {
    const product = file.unique(`${output}_product`);
    file.node('MatMul', node, [input, weights], [product]);
    file.node('Add', `${node.name}_bias`, [product, bias()], [output]);
  });
}

/** Behind a quantized input the bias stands for an integer too. */
function floatBias({ quantizer }: Emission, node: Node, layer: QuantizedLayer): Float32Array {
  const input = quantizer(node.inputs[0]);
  if (!input) return layer.bias;
  const { q, scales } = integerBias(layer, input);
  return Float32Array.from(q, (value, channel) => value * scales[channel]);
}
