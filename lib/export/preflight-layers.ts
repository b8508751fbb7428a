import type { FileNode } from '../onnx/index.ts';
import { type Ending, endingOf, type FileIndex, hasExactBias, isRedundant } from './preflight-graph.ts';

/** How onnxruntime runs a layer: with an integer kernel, in float, or not at all, since it refuses the file. */
export type Execution = 'integer' | 'float' | 'refused';

/** What onnxruntime's CPU provider will do with a layer of a file. */
export interface LayerForecast {
  /** The node's name. */
  layer: string;
  /** Conv, Gemm or MatMul. */
  op: string;
  /** Element type of the stored weights. */
  weights: string;
  execution: Execution;
  /** The operator that runs, without the activation function that a float one may take in; null where none does. */
  kernel: string | null;
  /** Why; a clause. */
  reason: string;
  /** What would give an integer kernel, or a file that loads; null where nothing need be done. */
  advice: string | null;
}

type Verdict = Omit<LayerForecast, 'layer' | 'op' | 'weights'>;
type Rule = (index: FileIndex, node: FileNode, weights: string) => Verdict;

const INT8_WEIGHTS = 'format ort stores weights of every width as int8';
const UINT8_VALUES = 'format ort stores values of every width as uint8';

/**
 * The rules by which onnxruntime 1.30 replaces QuantizeLinear, DequantizeLinear and what stands between them
 * (core/optimizer/qdq_transformer/selectors_actions/qdq_selectors.cc, weight_bias_quantization.cc), by operator.
 */
const RULES: Readonly<Record<string, Rule>> = { Conv: conv, Gemm: gemm, MatMul: matMul };

/** Operators with constant weights, in the file's order. */
export function forecastLayers(index: FileIndex): LayerForecast[] {
  return index.model.nodes.flatMap((node) => {
    const rule = node.domain ? undefined : RULES[node.op];
    const weights = rule && weightType(index, node);
    if (!rule || !weights) return [];
    return [{ layer: node.name, op: node.op, weights, ...rule(index, node, weights) }];
  });
}

/** Element type of constant weights, whatever stands between them and the layer; null where they are computed. */
function weightType(index: FileIndex, { inputs }: FileNode): string | null {
  const source = index.maker(inputs[1]);
  return index.stored(source ? source.inputs[0] : inputs[1])?.dtype ?? null;
}

const dequantizer = (index: FileIndex, value: string | undefined): FileNode | null => {
  const node = index.maker(value);
  return node?.op === 'DequantizeLinear' ? node : null;
};

const integer = (kernel: string, reason: string): Verdict => ({
  execution: 'integer',
  kernel,
  reason,
  advice: null,
});
const float = (kernel: string, reason: string, advice: string | null = null): Verdict => ({
  execution: 'float',
  kernel,
  reason,
  advice,
});
const refused = (reason: string, advice: string): Verdict => ({
  execution: 'refused',
  kernel: null,
  reason,
  advice,
});

/** A float layer whose input is float, too. */
function floatInput(index: FileIndex, node: FileNode, weights: string): Verdict {
  const source = index.maker(node.inputs[1]);
  if (source?.op === 'DequantizeLinear')
    return float(
      node.op,
      `its input is float; ${weights} weights are dequantized on every run`,
      'format ort quantizes activations',
    );
  if (source) return float(node.op, `${source.op} computes in float`, 'format ort has integers');
  return float(node.op, 'it has float weights and a float input');
}

function conv(index: FileIndex, node: FileNode, weights: string): Verdict {
  const input = dequantizer(index, node.inputs[0]);
  if (!input) return floatInput(index, node, weights);
  const ending = endingOf(index, node);
  const open = openEnding(index, node, ending);
  if (open) return float('Conv', open);
  const [quantizer] = ending.quantizers;
  const [from, to] = [input, quantizer].map((own) => index.integerType(own));
  const own = dequantizer(index, node.inputs[1]);
  if (!own && index.maker(node.inputs[1])) return floatInput(index, node, weights);
  const bias = biasProblem(index, node, input, own);
  if (bias) return float('Conv', bias, 'quantize the bias to int32 with that scale, as format ort does');
  if (from !== to) return float('Conv', `it reads ${from} and makes ${to}`, UINT8_VALUES);
  if (/16$/.test(from)) return float('Conv', `there is no integer kernel for ${from}`, UINT8_VALUES);
  if (/^u?int4$/.test(weights))
    return float('Conv', `${weights} weights have no integer kernel`, INT8_WEIGHTS);
  if (!/^u?int8$/.test(from))
    return refused(`onnxruntime makes a QLinearConv of ${from} values, which it then rejects`, UINT8_VALUES);
  if (/^u?int2$/.test(weights))
    return refused(
      `onnxruntime makes a QLinearConv of ${weights} weights, which it then rejects`,
      `${INT8_WEIGHTS}, format compact leaves activations float`,
    );
  if (!own) return integer('QLinearConv', 'onnxruntime itself rounds its float weights to 8 bits per tensor');
  return integer('QLinearConv', `${weights} weights between ${from} values`);
}

/** Why a result is not one QuantizeLinear's alone; null where it is. */
function openEnding(index: FileIndex, { outputs }: FileNode, ending: Ending): string | null {
  const { clamp, quantizers, readers } = ending;
  if (index.isOutput(outputs[0])) return 'its result is an output of the network, in float';
  if (quantizers.length === 0) {
    const [reader] = readers;
    return reader ? `${reader.op} ${reader.name} reads its result in float` : 'nothing reads its result';
  }
  if (readers.length > 1) {
    const other = readers.find((reader) => reader !== quantizers[0])!;
    return `${other.op} ${other.name} reads its result too`;
  }
  if (clamp && !isRedundant(index, clamp, quantizers[0]))
    return `${clamp.op} ${clamp.name} stands between it and QuantizeLinear and narrows its range`;
  return null;
}

/** A float bias is quantized by onnxruntime where the weights are; an integer one must have the exact scale. */
function biasProblem(
  index: FileIndex,
  { inputs: [, , bias] }: FileNode,
  input: FileNode,
  weights: FileNode | null,
): string | null {
  if (!bias || index.stored(bias)) return null;
  const own = dequantizer(index, bias);
  if (!own) return 'its bias is computed';
  if (weights && index.integerType(own) === 'int32' && hasExactBias(index, [input, weights, own]))
    return null;
  return 'the scale of its bias is not exactly input scale times weight scale';
}

function gemm(index: FileIndex, node: FileNode, weights: string): Verdict {
  const input = dequantizer(index, node.inputs[0]);
  if (!input) return weightOnly(index, node, weights);
  const { clamp, quantizers, readers } = endingOf(index, node);
  const own = dequantizer(index, node.inputs[1]);
  const biasName = node.inputs[2];
  const floatBias = biasName ? index.stored(biasName) !== undefined : false;
  const closed = quantizers.length > 0 && readers.length === 1 && !index.isOutput(node.outputs[0]);
  // Only there does onnxruntime quantize a float bias or float weights itself.
  if ((!own || floatBias) && !closed)
    return own
      ? float('Gemm', 'its bias is float', 'quantize the bias to int32, as format ort does')
      : floatInput(index, node, weights);
  if (clamp && !(quantizers.length === 1 && isRedundant(index, clamp, quantizers[0])))
    return float('Gemm', `${clamp.op} ${clamp.name} behind it is no part of a QuantizeLinear's range`);
  if (quantizers.length > 0 && !closed)
    return float('Gemm', 'its result is read both by QuantizeLinear and in float');
  const from = index.integerType(input);
  if (quantizers.length > 0 && index.integerType(quantizers[0]) !== from)
    return float('Gemm', `it reads ${from} and makes ${index.integerType(quantizers[0])}`, UINT8_VALUES);
  if (/16$|^u?int4$/.test(from)) return float('Gemm', `there is no integer kernel for ${from}`, UINT8_VALUES);
  if (/^u?int4$/.test(weights))
    return float('Gemm', `${weights} weights have no integer kernel`, INT8_WEIGHTS);
  if (!/^u?int8$/.test(from))
    return refused(`onnxruntime makes a QGemm of ${from} values, which it then rejects`, UINT8_VALUES);
  if (/^u?int2$/.test(weights))
    return refused(
      `onnxruntime makes a QGemm of ${weights} weights, which it then rejects`,
      `${INT8_WEIGHTS}, format compact leaves activations float`,
    );
  return integer('QGemm', `${weights} weights and ${from} values`);
}

function matMul(index: FileIndex, node: FileNode, weights: string): Verdict {
  const input = dequantizer(index, node.inputs[0]);
  const own = dequantizer(index, node.inputs[1]);
  if (!input) return weightOnly(index, node, weights);
  if (!own) return floatInput(index, node, weights);
  const from = index.integerType(input);
  const narrow = [weights, from].find((type) => !/^u?int8$/.test(type));
  if (narrow)
    return /2$/.test(narrow)
      ? refused(`onnxruntime makes an integer product of ${narrow}, which it then rejects`, INT8_WEIGHTS)
      : float('MatMul', `there is no integer kernel for ${narrow}`, INT8_WEIGHTS);
  const { quantizers, readers } = endingOf(index, node);
  if (quantizers.length === 0)
    return integer('MatMulIntegerToFloat', `${weights} weights and ${from} values`);
  return readers.length === 1 && !index.isOutput(node.outputs[0])
    ? integer('QLinearMatMul', `${weights} weights between ${from} values`)
    : float('MatMul', 'its result is read both by QuantizeLinear and in float');
}

/** A matrix of integers, its scales along the columns, is multiplied as it is stored. */
function weightOnly(index: FileIndex, node: FileNode, weights: string): Verdict {
  const own = dequantizer(index, node.inputs[1]);
  const tensor = index.stored(own?.inputs[0]);
  const scales = index.stored(own?.inputs[1]);
  const columns =
    tensor?.shape.length === 2 &&
    node.attributes['transB'] !== 1 &&
    (own?.attributes['axis'] ?? 1) === 1 &&
    scales?.shape.join() === String(tensor.shape[1]);
  if (own && columns && /^u?int[248]$/.test(weights) && index.readers(own.outputs[0]).length === 1)
    return float(
      'MatMulNBits',
      `its input is rounded to 8 bits on the way; ${weights} weights are multiplied as they are stored`,
    );
  return floatInput(index, node, weights);
}
