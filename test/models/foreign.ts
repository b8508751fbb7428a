import { importGraph, type Tensor } from '../../lib/graph/index.ts';
import type { FileNode } from '../../lib/onnx/index.ts';
import { random } from '../support/network.ts';
import { evaluateGraph, modelBytes } from './build.ts';

/** A float network and QDQ files of it as other tools write them: other names, batch-norm fused, int8, 16 bits. */

const CHANNELS = 8;
const CLASSES = 5;
const next = random(11);

function tensor(shape: readonly number[], value: () => number): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, value) };
}

const spread = (fanIn: number) => () => next() * Math.sqrt(3 / fanIn);

const constants: Record<string, Tensor> = {
  'first.w': tensor([CHANNELS, 3, 3, 3], spread(27)),
  'bn.scale': tensor([CHANNELS], () => 1 + next() / 2),
  'bn.shift': tensor([CHANNELS], () => 0.3 + next() / 4),
  'bn.mean': tensor([CHANNELS], () => next() / 4),
  'bn.variance': tensor([CHANNELS], () => 0.5 + next() / 4),
  'second.w': tensor([CHANNELS, CHANNELS, 3, 3], spread(9 * CHANNELS)),
  'second.b': tensor([CHANNELS], () => next() / 4),
  'head.w': tensor([CHANNELS, CLASSES], spread(CHANNELS)),
  'head.b': tensor([CLASSES], () => next() / 4),
};

const step = (op: string, inputs: string[], output: string, attributes = {}, name = output): FileNode => ({
  name,
  op,
  inputs,
  outputs: [output],
  attributes,
});
const window = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };

const nodes: readonly FileNode[] = [
  step('Conv', ['image', 'first.w'], 'first_out', window, 'first'),
  step('BatchNormalization', ['first_out', 'bn.scale', 'bn.shift', 'bn.mean', 'bn.variance'], 'normalized'),
  step('Relu', ['normalized'], 'activated'),
  step('Conv', ['activated', 'second.w', 'second.b'], 'second_out', window, 'second'),
  step('GlobalAveragePool', ['second_out'], 'pooled'),
  step('Flatten', ['pooled'], 'features'),
  step('MatMul', ['features', 'head.w'], 'product', {}, 'head'),
  step('Add', ['product', 'head.b'], 'logits'),
];
const inputs = { image: ['batch', 3, 6, 6] };

export function floatModel(): Uint8Array<ArrayBuffer> {
  return modelBytes({ nodes, inputs, outputs: ['logits'], constants });
}

export interface ForeignOptions {
  /** Type of the activations' integers. */
  activations?: 'int8' | 'uint8' | 'uint16';
  /** Weights as floats behind QuantizeLinear and DequantizeLinear, or as integers. */
  weights?: 'float' | 'integers';
  /** Added to the zero point of the DequantizeLinear of this value alone. */
  shifted?: string;
  /** Renames nodes and values of the layer `second`. */
  renamed?: boolean;
}

const LEVELS = { int8: [-128, 127], uint8: [0, 255], uint16: [0, 65535] } as const;
const ARRAYS = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array } as const;

/** Quantizes as others do: one scale per tensor, ranges of one batch, batch-norm fused into the convolution. */
export function qdqModel(images: Tensor, options: ForeignOptions = {}): Uint8Array<ArrayBuffer> {
  const { activations = 'int8', weights = 'integers', shifted, renamed = false } = options;
  const made: Record<string, Tensor> = {};
  const file: FileNode[] = [];
  const { graph } = importGraph(floatModel());
  const values = evaluateGraph(graph, { image: images });

  const scalar = (name: string, dtype: 'float32' | keyof typeof ARRAYS, value: number): string => {
    const data = dtype === 'float32' ? Float32Array.of(value) : ARRAYS[dtype].of(value);
    made[name] = { dtype, shape: [], data };
    return name;
  };
  /** Q and DQ of a value; returns the name that its readers read. */
  const pair = (value: string, source = value, result = `${value}_DequantizeLinear_Output`): string => {
    const [low, high] = range(values.get(value)!.data as Float32Array);
    const [least, most] = LEVELS[activations];
    const step_ = (high - low) / (most - least);
    const zero = Math.round(least - low / step_);
    const scale = scalar(`${value}_scale`, 'float32', step_);
    const zeroPoint = scalar(`${value}_zero_point`, activations, zero);
    const other = value === shifted ? scalar(`${value}_other_zero_point`, activations, zero + 20) : zeroPoint;
    file.push(
      step('QuantizeLinear', [source, scale, zeroPoint], `${value}_QuantizeLinear_Output`),
      step('DequantizeLinear', [`${value}_QuantizeLinear_Output`, scale, other], result),
    );
    return result;
  };
  const constant = (name: string, weight: Tensor): string => {
    const data = weight.data as Float32Array;
    const most = data.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / 127;
    const scale = scalar(`${name}_scale`, 'float32', most);
    const zeroPoint = scalar(`${name}_zero_point`, 'int8', 0);
    const integers = Int8Array.from(data, (value) => Math.round(value / most));
    if (weights === 'float') {
      made[name] = weight;
      file.push(step('QuantizeLinear', [name, scale, zeroPoint], `${name}_quantized`));
    } else made[`${name}_quantized`] = { dtype: 'int8', shape: weight.shape, data: integers };
    file.push(step('DequantizeLinear', [`${name}_quantized`, scale, zeroPoint], `${name}_dequantized`));
    return `${name}_dequantized`;
  };
  const layer = (name: string) => graph.nodes.find((node) => node.name === name)!;
  const stored = (name: string, input: number) => graph.constants.get(layer(name).inputs[input])!;
  const second = renamed ? 'conv_b' : 'second';

  const image = pair('image');
  made['first.bias'] = stored('first', 2);
  file.push(
    step(
      'Conv',
      [image, constant('first.w', stored('first', 1)), 'first.bias'],
      'normalized',
      window,
      'first',
    ),
    step('Relu', ['normalized'], 'activated'),
  );
  const activated = pair('activated');
  made['second.b'] = constants['second.b'];
  const [w, out] = [constant('second.w', constants['second.w']), renamed ? 'value_7' : 'second_out'];
  file.push(step('Conv', [activated, w, 'second.b'], out, window, second));
  const pooledFrom = pair('second_out', out, `${out}_DequantizeLinear_Output`);
  file.push(step('GlobalAveragePool', [pooledFrom], 'pooled'));
  const pooled = pair('pooled');
  file.push(step('Flatten', [pooled], 'features'));
  made['head.b'] = constants['head.b'];
  file.push(
    step('MatMul', ['features', constant('head.w', constants['head.w'])], 'product', {}, 'head'),
    step('Add', ['product', 'head.b'], 'logits_QuantizeLinear_Input'),
  );
  pair('logits', 'logits_QuantizeLinear_Input', 'logits');
  return modelBytes({ nodes: file, inputs, outputs: ['logits'], constants: made });
}

function range(x: Float32Array): [number, number] {
  return [x.reduce((a, b) => Math.min(a, b), 0), x.reduce((a, b) => Math.max(a, b), 0)];
}
