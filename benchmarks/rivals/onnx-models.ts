import { type FileTensor, writeModel } from '../../lib/onnx/index.ts';
import type { Problem } from './problem.ts';

/** Problems as onnxruntime takes them: models of one operator. */

export type Data = Float32Array | Int32Array | Uint8Array | Int8Array;

/** One operator: what it is and what goes in and out. */
export interface Model {
  /** Printed. */
  way: string;
  op: string;
  domain?: string;
  attributes: Record<string, unknown>;
  input: { dtype: string; shape: number[]; data: Data };
  /** Names of the inputs after x: the initializers, or x again. */
  inputs: string[];
  initializers: FileTensor[];
  output: { dtype: string; shape: number[] };
  /** NCHW on the outside. */
  channelsFirst?: boolean;
}

const OPSET = 21;
const IR = 10;
const CONTRIB = 'com.microsoft';
/** MatMulNBits: multiply with activations quantized to int8, its fastest way. */
const INT8_ACCURACY = 4;
const BLOCKS = [32, 128];

/** The models that do it, each made when it is asked for. */
export function models(problem: Problem): (() => Model)[] {
  switch (problem.trial.op) {
    case 'gemm':
      return [() => matMulInteger(problem)];
    case 'gemm-requantize':
      return [() => qLinearMatMul(problem)];
    case 'gemm-float-io':
      return BLOCKS.filter((block) => block === BLOCKS[0] || problem.gemm!.k % block === 0).map(
        (block) => () => matMulNBits(problem, block),
      );
    case 'conv':
      return [() => qLinearConv(problem)];
    case 'float-gemm':
      return [() => matMul(problem)];
    case 'float-conv':
      return [() => floatConv(problem)];
    default:
      return [() => elementwise(problem)];
  }
}

const ELEMENTWISE = {
  quantize: { op: 'QuantizeLinear', from: 'float32', to: 'uint8' },
  dequantize: { op: 'DequantizeLinear', from: 'uint8', to: 'float32' },
  add: { op: 'Add', from: 'float32', to: 'float32' },
} as const;

const tensor = (name: string, dtype: string, shape: number[], data: Data): FileTensor => ({
  name,
  tensor: { dtype, shape, data },
});
const scalar = (name: string, dtype: string, data: Data) => tensor(name, dtype, [], data);
const byteType = ({ trial }: Problem) => (trial.activations === 's8' ? 'int8' : 'uint8');
const zeroByte = (problem: Problem) =>
  problem.trial.activations === 's8' ? new Int8Array(1) : new Uint8Array(1);

function elementwise({ trial, a, scale, outLength }: Problem): Model {
  const { op, from, to } = ELEMENTWISE[trial.op as keyof typeof ELEMENTWISE];
  const quantizer = op === 'Add' ? [] : ['scale', 'zero'];
  return {
    way: op,
    op,
    attributes: {},
    input: { dtype: from, shape: [outLength], data: a },
    inputs: op === 'Add' ? ['x'] : quantizer,
    initializers:
      op === 'Add'
        ? []
        : [scalar('scale', 'float32', Float32Array.of(scale)), scalar('zero', 'uint8', Uint8Array.of(128))],
    output: { dtype: to, shape: [outLength] },
  };
}

/** What the four matrix products share: a [m][k] in, weights as [k][n], [m][n] out. */
function product(problem: Problem, dtype: string, weightType: string, out: string) {
  const { m, n, k } = problem.gemm!;
  return {
    attributes: {},
    input: { dtype, shape: [m, k], data: problem.a },
    weights: tensor('w', weightType, [k, n], transposed(problem.w, n, k)),
    output: { dtype: out, shape: [m, n] },
  };
}

function matMulInteger(problem: Problem): Model {
  const { weights, ...rest } = product(problem, byteType(problem), 'int8', 'int32');
  return { way: 'MatMulInteger', op: 'MatMulInteger', ...rest, inputs: ['w'], initializers: [weights] };
}

function matMul(problem: Problem): Model {
  const { weights, ...rest } = product(problem, 'float32', 'float32', 'float32');
  return { way: 'MatMul', op: 'MatMul', ...rest, inputs: ['w'], initializers: [weights] };
}

/** The quantizers of input, weights and output, in the order of the QLinear operators. */
function quantizers(problem: Problem): FileTensor[] {
  const [type, channels] = [byteType(problem), problem.weights!.outChannels];
  return [
    scalar('xScale', 'float32', Float32Array.of(problem.scale)),
    scalar('xZero', type, zeroByte(problem)),
    tensor('wScale', 'float32', [channels], problem.weightScales),
    tensor('wZero', 'int8', [channels], new Int8Array(channels)),
    scalar('yScale', 'float32', Float32Array.of(problem.outScale)),
    scalar('yZero', type, zeroByte(problem)),
  ];
}
const QLINEAR_INPUTS = ['xScale', 'xZero', 'w', 'wScale', 'wZero', 'yScale', 'yZero'];

function qLinearMatMul(problem: Problem): Model {
  const { weights, ...rest } = product(problem, byteType(problem), 'int8', byteType(problem));
  return {
    way: 'QLinearMatMul',
    op: 'QLinearMatMul',
    ...rest,
    inputs: QLINEAR_INPUTS,
    initializers: [weights, ...quantizers(problem)],
  };
}

/** Weights unsigned with zero point 2^(bits-1), lowest bits first; one scale per block, here that of its row. */
function matMulNBits(problem: Problem, block: number): Model {
  const { m, n, k } = problem.gemm!;
  const { bits } = problem.trial;
  const blocks = Math.ceil(k / block);
  const perByte = 8 / bits;
  const packed = new Uint8Array((n * blocks * block) / perByte);
  for (let row = 0; row < n; row++)
    for (let i = 0; i < blocks * block; i++) {
      const level = (i < k ? problem.w[row * k + i] : 0) + 2 ** (bits - 1);
      packed[Math.floor((row * blocks * block + i) / perByte)] |= level << ((i % perByte) * bits);
    }
  const scales = new Float32Array(n * blocks).map((_, i) => problem.weightScales[Math.floor(i / blocks)]);
  return {
    way: `MatMulNBits, block ${block}`,
    op: 'MatMulNBits',
    domain: CONTRIB,
    attributes: { K: k, N: n, bits, block_size: block, accuracy_level: INT8_ACCURACY },
    input: { dtype: 'float32', shape: [m, k], data: problem.a },
    inputs: ['w', 'scales'],
    initializers: [
      tensor('w', 'uint8', [n, blocks, block / perByte], packed),
      tensor('scales', 'float32', [n * blocks], scales),
    ],
    output: { dtype: 'float32', shape: [m, n] },
  };
}

function convAttributes({ conv }: Problem) {
  const { kernelHeight, kernelWidth, strideHeight, strideWidth, padTop, padLeft, groups } = conv!;
  return {
    kernel_shape: [kernelHeight, kernelWidth],
    strides: [strideHeight, strideWidth],
    pads: [padTop, padLeft, padTop, padLeft],
    group: groups,
  };
}

function convWeights(problem: Problem, dtype: string): FileTensor {
  const { outChannels, taps, channels } = problem.weights!;
  const { kernelHeight, kernelWidth } = problem.conv!;
  const w = problem.w.slice();
  for (let o = 0; o < outChannels; o++)
    w.set(
      transposed(problem.w.subarray(o * taps * channels, (o + 1) * taps * channels), taps, channels),
      o * taps * channels,
    );
  return tensor('w', dtype, [outChannels, channels, kernelHeight, kernelWidth], w);
}

function qLinearConv(problem: Problem): Model {
  const { batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = problem.conv!;
  const type = byteType(problem);
  return {
    way: 'QLinearConv, channels last',
    op: 'QLinearConv',
    domain: CONTRIB,
    attributes: { ...convAttributes(problem), channels_last: 1 },
    input: { dtype: type, shape: [batch, inHeight, inWidth, inChannels], data: problem.a },
    inputs: [...QLINEAR_INPUTS, 'bias'],
    initializers: [
      convWeights(problem, 'int8'),
      ...quantizers(problem),
      tensor('bias', 'int32', [outChannels], problem.bias),
    ],
    output: { dtype: type, shape: [batch, outHeight, outWidth, outChannels] },
  };
}

function floatConv(problem: Problem): Model {
  const { batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = problem.conv!;
  return {
    way: 'Conv, channels first',
    op: 'Conv',
    attributes: convAttributes(problem),
    input: { dtype: 'float32', shape: [batch, inChannels, inHeight, inWidth], data: problem.a },
    inputs: ['w', 'bias'],
    initializers: [convWeights(problem, 'float32'), tensor('bias', 'float32', [outChannels], problem.bias)],
    output: { dtype: 'float32', shape: [batch, outChannels, outHeight, outWidth] },
    channelsFirst: true,
  };
}

/** [rows][columns] -> [columns][rows]. */
export function transposed<T extends Data>(x: T, rows: number, columns: number): T {
  const y = x.slice();
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j];
  return y as T;
}

export function modelBytes(model: Model): Uint8Array {
  const { op, domain, input, inputs, output, initializers, attributes } = model;
  return writeModel({
    irVersion: IR,
    opset: OPSET,
    domains: new Map([[CONTRIB, 1]]),
    name: op,
    inputs: [{ name: 'x', dtype: input.dtype, shape: input.shape }],
    outputs: [{ name: 'y', dtype: output.dtype, shape: output.shape }],
    initializers,
    nodes: [
      {
        name: op,
        op,
        ...(domain !== undefined && { domain }),
        inputs: ['x', ...inputs],
        outputs: ['y'],
        attributes,
      },
    ],
  });
}
