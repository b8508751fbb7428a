import type { Graph } from '../graph/graph.ts';
import type { FileFunction, FileModel, FileNode } from '../onnx/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { createEmission, type Emission, type QuantizerForm } from './emission.ts';
import { builderFor, type FileOptions, fileModel, floatScalar } from './file-model.ts';
import { emitFloatLayer, type OrientedWeights } from './float-layers.ts';
import { emitNode } from './ort-nodes.ts';

/**
 * Profile `qonnx`: a float network with `IntQuant` (fastmachinelearning/qonnx, docs/qonnx-custom-ops/intquant_v1.md) behind
 * every quantized value and every weight tensor, for tools that make hardware of it (FINN, hls4ml). The file brings
 * IntQuant as a function of its own, so that an unchanged onnxruntime runs it too.
 *
 * As their conversion to QuantizeLinear wants it: rounding mode ROUND, widths of 2 to 8 bits as constant scalars, scales
 * that are one number or one per channel, zero point 0. The last does not hold for values whose range is neither positive
 * nor symmetric: `offCentre` names them.
 */
const DOMAIN = 'qonnx.custom_op.general';
const OPERATOR = 'IntQuant';
/** TensorProto.DataType of float32, for Cast. */
const FLOAT = 1;

/** What IntQuant is told of a quantizer: q = clamp(x / scale + zeroPoint) within what `signed` and `bits` allow. */
interface IntQuant {
  bits: number;
  signed: boolean;
  zeroPoint: number;
}

/** Unsigned levels around the middle one are signed levels around 0. */
function intQuantOf({ bits, zeroPoint }: Quantizer): IntQuant {
  const signed = zeroPoint === 2 ** (bits - 1);
  return { bits, signed, zeroPoint: signed ? 0 : zeroPoint };
}

/** Quantized values whose zero point is not 0 in this form: tools that only take 0 leave these as they are. */
export function offCentre({ activations }: Quantization): string[] {
  return [...activations]
    .filter(([, quantizer]) => intQuantOf(quantizer).zeroPoint !== 0)
    .map(([name]) => name);
}

/** Onnx-form graph and its integers -> the file. Throws UNSUPPORTED_MODEL where the opset has no form of a node. */
export function qonnxModel(graph: Graph, quantization: Quantization, options: FileOptions): FileModel {
  const file = builderFor(graph);
  const emission = createEmission(graph, quantization, options.opset, file, grid());
  for (const { name } of graph.inputs) {
    const quantizer = emission.quantizer(name);
    if (quantizer) emission.quantize(name, name, quantizer.low, quantizer.high);
  }
  for (const node of graph.nodes) {
    if (quantization.layers.has(node.name))
      emitFloatLayer(emission, node, 'MatMul', (layer, weights) =>
        storeWeights(emission, node.name, layer, weights),
      );
    else emitNode(emission, node);
  }
  return fileModel(graph, file, { ...options, functions: [intQuantFunction(options.opset)] });
}

/** Scales, zero points and widths are stored once for each quantizer. */
function grid(): QuantizerForm {
  const stored = new Map<string, string[]>();
  return {
    onGrid: true,
    emit(emission, value, float, _, output) {
      const owner = emission.owner(value)!;
      const quantizer = emission.quantizer(value)!;
      const told = intQuantOf(quantizer);
      const parameters =
        stored.get(owner) ??
        storeParameters(
          emission,
          owner,
          emission.file.tensor(`${owner}_scale`, floatScalar(quantizer.scale)),
          told,
        );
      stored.set(owner, parameters);
      emitIntQuant(emission, `${value}_quantized`, [float, ...parameters], told.signed, output);
    },
  };
}

function storeParameters(
  { file }: Emission,
  name: string,
  scale: string,
  { bits, zeroPoint }: IntQuant,
): string[] {
  return [
    scale,
    file.tensor(`${name}_zero_point`, floatScalar(zeroPoint)),
    file.tensor(`${name}_bits`, floatScalar(bits)),
  ];
}

function emitIntQuant(
  { file }: Emission,
  name: string,
  inputs: readonly string[],
  signed: boolean,
  output: string,
): void {
  const attributes = { signed: Number(signed), narrow: 0, rounding_mode: 'ROUND' };
  file.node(OPERATOR, name, inputs, [output], attributes, DOMAIN);
}

/** The floats that a layer's integers stand for: divided by their scale they are these integers again. */
function storeWeights(
  emission: Emission,
  layer: string,
  { bits, scales }: QuantizedLayer,
  { q, shape, axis }: OrientedWeights,
): string {
  const { file } = emission;
  const name = `${layer}_weight`;
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const data = Float32Array.from(q, (value, i) => value * scales[Math.floor(i / inner) % scales.length]);
  const weights = file.tensor(name, { dtype: 'float32', shape, data });
  const along = shape.map((size, i) => (i === axis ? size : 1));
  const scale = file.tensor(`${name}_scale`, { dtype: 'float32', shape: along, data: scales });
  const output = file.unique(`${name}_quantized`);
  const parameters = storeParameters(emission, name, scale, { bits, signed: true, zeroPoint: 0 });
  emitIntQuant(emission, output, [weights, ...parameters], true, output);
  return output;
}

/** IntQuant with rounding mode ROUND, in ONNX's own operators. */
function intQuantFunction(opset: number): FileFunction {
  const nodes: FileNode[] = [];
  const node = (op: string, output: string, inputs: string[], attributes: FileNode['attributes'] = {}) => {
    nodes.push({ name: output, op, inputs, outputs: [output], attributes });
    return output;
  };
  const constant = (name: string, value: number) => node('Constant', name, [], { value: floatScalar(value) });
  const attribute = (reference: string) => {
    const whole = node('Constant', `${reference}_int`, [], { value_int: { reference, type: 'INT' } });
    return node('Cast', reference, [whole], { to: FLOAT });
  };
  const [one, two] = [constant('one', 1), constant('two', 2)];
  const [signed, narrow] = [attribute('signed'), attribute('narrow')];
  // Signed: narrow - 2^(bits - 1) to 2^(bits - 1) - 1. Unsigned: 0 to 2^bits - 1 - narrow.
  const half = node('Pow', 'half', [two, node('Sub', 'half_bits', ['bitwidth', one])]);
  const low = node('Mul', 'low', [signed, node('Sub', 'least', [narrow, half])]);
  const levels = node('Pow', 'levels', [two, node('Sub', 'value_bits', ['bitwidth', signed])]);
  const unsigned = node('Sub', 'unsigned', [one, signed]);
  const left = node('Mul', 'left_out', [narrow, unsigned]);
  const high = node('Sub', 'high', [node('Sub', 'last', [levels, one]), left]);
  const scaled = node('Add', 'shifted', [node('Div', 'scaled', ['x', 'scale']), 'zeropt']);
  const clipped = node('Min', 'clipped', [node('Max', 'above', [scaled, low]), high]);
  const centred = node('Sub', 'centred', [node('Round', 'rounded', [clipped]), 'zeropt']);
  node('Mul', 'y', [centred, 'scale']);
  return {
    domain: DOMAIN,
    name: OPERATOR,
    inputs: ['x', 'scale', 'zeropt', 'bitwidth'],
    outputs: ['y'],
    attributes: ['signed', 'narrow', 'rounding_mode'],
    opset,
    nodes,
  };
}
