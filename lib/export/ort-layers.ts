import { SigmaQuantError } from '../errors.ts';
import type { Node } from '../graph/graph.ts';
import type { QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { BITS_KEY, type Emission, emitResult } from './emission.ts';
import { int64 } from './file-model.ts';
import { outermostFirst, rankOf } from './orientation.ts';

const INT32 = { low: -(2 ** 31), high: 2 ** 31 - 1 } as const;

/** Conv or Linear with integer weights and a quantized input. */
export function emitLayer(emission: Emission, node: Node): void {
  if (node.op === 'Conv') emitConv(emission, node);
  else emitLinear(emission, node);
}

function emitConv(emission: Emission, node: Node): void {
  const { graph, quantization } = emission;
  const layer = quantization.layers.get(node.name)!;
  const { shape } = graph.constants.get(node.inputs[1])!;
  const weights = storeWeights(emission, node, outermostFirst(layer.q, shape[0], shape[1]), shape, layer);
  const bias = storeBias(emission, node, layer);
  const { clamp, ...attributes } = node.attributes;
  emitResult(emission, node, clamp as readonly number[], (output) =>
    emission.file.node('Conv', node, [emission.read(node.inputs[0]), weights, bias], [output], {
      ...attributes,
      kernel_shape: shape.slice(2),
    }),
  );
}

/**
 * As Gemm with its weights [n][k] transposed: the form that fuses to QGemm. Gemm takes matrices only, so an input of
 * higher rank is reshaped to one and back, in integers.
 */
function emitLinear(emission: Emission, node: Node): void {
  const { graph, quantization, file } = emission;
  const layer = quantization.layers.get(node.name)!;
  const { shape } = graph.constants.get(node.inputs[1])!;
  const weights = storeWeights(emission, node, layer.q, shape, layer);
  const bias = storeBias(emission, node, layer);
  const clamp = node.attributes['clamp'] as readonly number[];
  const [input] = node.inputs;
  if (rankOf(graph, input) === 2) {
    emitResult(emission, node, clamp, (output) =>
      file.node('Gemm', node, [emission.read(input), weights, bias], [output], { transB: 1 }),
    );
    return;
  }
  const { scale, zeroPoint } = emission.parameters(input);
  const flat = file.unique(`${input}_matrix`);
  const flatQuantized = file.unique(`${flat}_quantized`);
  const flatRead = file.unique(`${flat}_dequantized`);
  const matrixShape = file.tensor(`${flat}_shape`, int64(-1, shape[1]));
  file.node('Reshape', flat, [emission.read(input), matrixShape], [flat]);
  file.node('QuantizeLinear', flatQuantized, [flat, scale, zeroPoint], [flatQuantized]);
  file.node('DequantizeLinear', flatRead, [flatQuantized, scale, zeroPoint], [flatRead]);
  emitResult(emission, node, clamp, (output) => {
    const product = file.unique(`${output}_matrix`);
    const back = file.tensor(`${output}_shape`, int64(...outputShape(emission, node)));
    file.node('Gemm', node, [flatRead, weights, bias], [product], { transB: 1 });
    file.node('Reshape', `${node.name}_reshape`, [product, back], [output]);
  });
}

/** One open dimension (the batch) becomes -1; with more the shape cannot be given back. */
export function outputShape({ graph }: Emission, node: Node): number[] {
  const [output] = node.outputs;
  const { shape } = graph.types.get(output) ?? graph.outputs.find(({ name }) => name === output)!;
  if (shape.filter((size) => typeof size === 'string').length > 1)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected one open dimension for output ${output} of node ${node.name} but received [${shape.join(', ')}]; give --input-shape.`,
    );
  return shape.map((size) => (typeof size === 'string' ? -1 : size));
}

function storeWeights(
  { file }: Emission,
  node: Node,
  q: Int8Array,
  shape: readonly number[],
  layer: QuantizedLayer,
): string {
  const bits = new Map([[BITS_KEY, String(layer.bits)]]);
  const weights = file.tensor(`${node.name}_weight`, { dtype: 'int8', shape, data: q }, bits);
  const scales = file.tensor(`${node.name}_weight_scale`, {
    dtype: 'float32',
    shape: [layer.scales.length],
    data: layer.scales,
  });
  const zeroPoints = file.tensor(`${node.name}_weight_zero_point`, {
    dtype: 'int8',
    shape: [layer.scales.length],
    data: new Int8Array(layer.scales.length),
  });
  file.annotate(weights, scales, zeroPoints);
  const output = file.unique(`${node.name}_weight_dequantized`);
  file.node('DequantizeLinear', output, [weights, scales, zeroPoints], [output], { axis: 0 });
  return output;
}

function storeBias(emission: Emission, node: Node, layer: QuantizedLayer): string {
  const { file } = emission;
  const shape = [layer.scales.length];
  const { q: data, scales } = integerBias(layer, emission.quantizer(node.inputs[0])!);
  const bias = file.tensor(`${node.name}_bias`, { dtype: 'int32', shape, data });
  const scale = file.tensor(`${node.name}_bias_scale`, { dtype: 'float32', shape, data: scales });
  const zeroPoints = file.tensor(`${node.name}_bias_zero_point`, {
    dtype: 'int32',
    shape,
    data: new Int32Array(shape[0]),
  });
  const output = file.unique(`${node.name}_bias_dequantized`);
  file.node('DequantizeLinear', output, [bias, scale, zeroPoints], [output], { axis: 0 });
  return output;
}

/** int32 = rne(bias / fl(sa * sw)), saturated, with exactly that product as its scale. */
export function integerBias(
  { bias, scales: own }: QuantizedLayer,
  input: Quantizer,
): { q: Int32Array; scales: Float32Array } {
  const scales = own.map((scale) => Math.fround(input.scale * scale));
  const q = Int32Array.from(bias, (value, channel) => {
    const x = value / scales[channel];
    const floor = Math.floor(x);
    const rounded = x - floor === 0.5 ? floor + Math.abs(floor % 2) : Math.round(x);
    return Math.min(INT32.high, Math.max(INT32.low, rounded));
  });
  return { q, scales };
}
