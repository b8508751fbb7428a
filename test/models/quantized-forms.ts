import type { FileModel, FileNode, FileTensor } from '../../lib/onnx/index.ts';

/** Files with one layer each, in forms that onnxruntime treats differently. */

const CHANNELS = 8;
const BITS: Readonly<Record<string, number>> = {
  int2: 2,
  uint2: 2,
  int4: 4,
  uint4: 4,
  uint16: 16,
  int32: 32,
};
const IR: Readonly<Record<number, number>> = { 13: 7, 19: 9, 21: 10, 25: 13 };
const INPUT_SCALE = Math.fround(0.1);
const WEIGHT_SCALE = Math.fround(0.05);

export interface FormOptions {
  op?: 'Conv' | 'Gemm' | 'MatMul';
  opset?: number;
  /** Element types. */
  weights?: string;
  activations?: string;
  zeroPoint?: number;
  /** Weights, and what else may be left in float or out. */
  floatWeights?: boolean;
  floatInput?: boolean;
  /** Default: int32 with the exact scale; none for MatMul. */
  bias?: 'exact' | 'other scale' | 'float' | 'none';
  /** Between the layer and what quantizes it. */
  clamp?: { op: 'Relu' } | { op: 'Clip'; low: number; high: number };
  /** False: the network's output is what comes without a quantizer. */
  quantizesResult?: boolean;
  /** Sigmoid that reads the layer's result, or its clamp's. */
  reader?: boolean;
  /** Scales of weights along this axis. */
  axis?: number;
  transB?: number;
}

const float = (name: string, shape: number[], value: number | ((i: number) => number)): FileTensor => {
  const length = shape.reduce((product, size) => product * size, 1);
  const at = typeof value === 'number' ? () => value : value;
  return {
    name,
    tensor: { dtype: 'float32', shape, data: Float32Array.from({ length }, (_, i) => at(i)) },
  };
};

const integers = (name: string, dtype: string, shape: number[], value = 0): FileTensor => {
  const elements = shape.reduce((product, size) => product * size, 1);
  const data = new Uint8Array(Math.ceil((elements * (BITS[dtype] ?? 8)) / 8)).fill(value);
  return { name, tensor: { dtype, shape, data } };
};

const node = (
  op: string,
  inputs: string[],
  output: string,
  attributes: FileNode['attributes'] = {},
): FileNode => ({ op, name: output, inputs, outputs: [output], attributes });

/** `layer` is the name of the layer. */
export function form(options: FormOptions = {}): FileModel {
  const { op = 'Conv', opset = 21, weights = 'int8', activations = 'uint8', zeroPoint = 0 } = options;
  const { bias = op === 'MatMul' ? 'none' : 'exact', axis = 0, transB = axis === 0 ? 1 : 0 } = options;
  const { clamp, quantizesResult = true, reader = false } = options;
  const image = op === 'Conv' ? [1, CHANNELS, 6, 6] : [2, CHANNELS];
  const kernel = op === 'Conv' ? [CHANNELS, CHANNELS, 3, 3] : [CHANNELS, CHANNELS];
  const per = [CHANNELS];
  const nodes: FileNode[] = [];
  const initializers: FileTensor[] = [
    float('scale', [], INPUT_SCALE),
    integers('zero', activations, [], zeroPoint),
  ];
  const pair = (from: string, to: string) =>
    nodes.push(
      node('QuantizeLinear', [from, 'scale', 'zero'], `${to}_quantized`),
      node('DequantizeLinear', [`${to}_quantized`, 'scale', 'zero'], to),
    );
  if (!options.floatInput) pair('x', 'x_read');
  const inputs = [options.floatInput ? 'x' : 'x_read', 'w_read'];
  if (options.floatWeights) {
    initializers.push(float('w_read', kernel, (i) => 0.01 * (i % 7) - 0.02));
  } else {
    initializers.push(
      integers('w', weights, kernel, 1),
      float('w_scale', per, WEIGHT_SCALE),
      integers('w_zero', weights, per),
    );
    nodes.push(node('DequantizeLinear', ['w', 'w_scale', 'w_zero'], 'w_read', { axis }));
  }
  if (bias === 'float') {
    initializers.push(float('b_read', per, 0.5));
    inputs.push('b_read');
  } else if (bias !== 'none') {
    const scale = bias === 'exact' ? Math.fround(INPUT_SCALE * WEIGHT_SCALE) : 0.006;
    initializers.push(
      integers('b', 'int32', per),
      float('b_scale', per, scale),
      integers('b_zero', 'int32', per),
    );
    nodes.push(node('DequantizeLinear', ['b', 'b_scale', 'b_zero'], 'b_read', { axis: 0 }));
    inputs.push('b_read');
  }
  const attributes = { Conv: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, Gemm: { transB }, MatMul: {} }[op];
  nodes.push({ ...node(op, inputs, 'result', attributes), name: 'layer' });
  let last = 'result';
  if (clamp) {
    const limits = clamp.op === 'Clip' ? ['low', 'high'] : [];
    if (clamp.op === 'Clip') initializers.push(float('low', [], clamp.low), float('high', [], clamp.high));
    nodes.push(node(clamp.op, [last, ...limits], 'clamped'));
    last = 'clamped';
  }
  const outputs: string[] = [];
  if (reader) {
    nodes.push(node('Sigmoid', [last], 'sigmoid'));
    outputs.push('sigmoid');
  }
  if (quantizesResult) {
    pair(last, 'y');
    outputs.push('y');
  } else if (!reader) outputs.push(last);
  const port = (name: string) => ({ name, dtype: 'float32', shape: image });
  const used = new Set(nodes.flatMap((own) => own.inputs));
  return {
    opset,
    irVersion: IR[opset],
    name: 'form',
    inputs: [port('x')],
    outputs: outputs.map(port),
    initializers: initializers.filter(({ name }) => used.has(name)),
    nodes,
  };
}
