import type { Dtype, Node, Tensor } from '../graph.ts';
import { fromNumbers, numbers, sizeOf } from '../tensors.ts';
import { convolutionOf, convolve, outputShape } from './convolution.ts';
import { roundEven } from './elementwise.ts';
import { multiply, productOf } from './matrices.ts';
import { axisOf, type Known, misfit, need, number, type Operator } from './operator.ts';

/** Rounding ranges of the integer types that quantized values have. */
const RANGES: Partial<Record<Dtype, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

function rangeOf(node: Node, dtype: Dtype): readonly [number, number] {
  return RANGES[dtype] ?? misfit(node, 'integers of 8 or 16 bits', dtype);
}

/** The element of a scale or zero point that belongs to element i of x: one for all, or one per place on an axis. */
function along(node: Node, tensor: Tensor | null, x: readonly number[], axis: number): (i: number) => number {
  if (!tensor) return () => 0;
  const values = numbers(tensor);
  if (values.length === 1) return () => values[0];
  const place = axisOf(node, axis, x.length);
  if (values.length !== x[place]) misfit(node, `${x[place]} scales on axis ${place}`, String(values.length));
  const inner = sizeOf(x.slice(place + 1));
  return (i) => values[Math.floor(i / inner) % values.length];
}

const quantizeLinear: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    return [{ dtype: inputs[2]?.dtype ?? 'uint8', shape: need(node, inputs, 0).shape }];
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const dtype = inputs[2]?.dtype ?? 'uint8';
    const [low, high] = rangeOf(node, dtype);
    const axis = number(node, 'axis', 1);
    const scale = along(node, need(node, inputs, 1), x.shape, axis);
    const zero = along(node, inputs[2] ?? null, x.shape, axis);
    const from = numbers(x);
    const q = Float64Array.from(from, (value, i) =>
      Math.min(Math.max(roundEven(Math.fround(value / scale(i))) + zero(i), low), high),
    );
    return [fromNumbers(dtype, x.shape, q)];
  },
};

const dequantizeLinear: Operator = {
  layout: 'fixed',
  infer: (node, inputs) => [{ dtype: need(node, inputs, 1).dtype, shape: need(node, inputs, 0).shape }],
  evaluate(node, inputs) {
    const [x, scales] = [need(node, inputs, 0), need(node, inputs, 1)];
    const axis = number(node, 'axis', 1);
    const scale = along(node, scales, x.shape, axis);
    const zero = along(node, inputs[2] ?? null, x.shape, axis);
    const from = numbers(x);
    return [
      fromNumbers(
        scales.dtype,
        x.shape,
        Float64Array.from(from, (q, i) => (q - zero(i)) * scale(i)),
      ),
    ];
  },
};

/** uint8 over the range of the data, which is made to hold 0. */
const dynamicQuantizeLinear: Operator = {
  layout: 'fixed',
  infer: (node, inputs) => [
    { dtype: 'uint8', shape: need(node, inputs, 0).shape },
    { dtype: 'float32', shape: [] },
    { dtype: 'uint8', shape: [] },
  ],
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const from = numbers(x);
    let [low, high] = [0, 0];
    for (let i = 0; i < from.length; i++) {
      low = Math.min(low, from[i]);
      high = Math.max(high, from[i]);
    }
    const scale = Math.fround((high - low) / 255);
    const zero = Math.min(255, Math.max(0, roundEven(Math.fround(-low / scale))));
    const q = Float64Array.from(from, (value) =>
      Math.min(255, Math.max(0, roundEven(Math.fround(value / scale)) + zero)),
    );
    return [
      fromNumbers('uint8', x.shape, q),
      fromNumbers('float32', [], [scale]),
      fromNumbers('uint8', [], [zero]),
    ];
  },
};

/** Integers less their zero point: one for all, or one per place on an axis. */
function centred(node: Node, x: Tensor, zeroPoint: Tensor | null, axis: number): Float64Array {
  const zero = along(node, zeroPoint, x.shape, axis);
  return Float64Array.from(numbers(x), (value, i) => value - zero(i));
}

/** rne(fl(sum * scaleA * scaleB / scaleOut)) + zeroPoint, saturated. `scaleB` may differ along an axis of the result. */
function requantized(
  node: Node,
  sums: Float64Array,
  shape: readonly number[],
  scales: { a: Tensor; b: Tensor; out: Tensor; axis: number },
  zeroPoint: Tensor,
): Tensor {
  const [low, high] = rangeOf(node, zeroPoint.dtype);
  const [a] = [numbers(scales.a)[0]];
  const [out, zero] = [numbers(scales.out)[0], numbers(zeroPoint)[0]];
  const b = along(node, scales.b, shape, scales.axis);
  return fromNumbers(
    zeroPoint.dtype,
    shape,
    sums.map((sum, i) => {
      const multiplier = Math.fround(Math.fround(a * b(i)) / out);
      return Math.min(Math.max(roundEven(Math.fround(Math.fround(sum) * multiplier)) + zero, low), high);
    }),
  );
}

const convInteger: Operator = {
  layout: 'spatial',
  permuted: [0, 1],
  infer(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
    return [{ dtype: 'int32', shape: outputShape(convolutionOf(node, x.shape, w.shape)) }];
  },
  evaluate(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
    const convolution = convolutionOf(node, x.shape, w.shape);
    const sums = convolve(
      convolution,
      centred(node, x, inputs[2] ?? null, 0),
      centred(node, w, inputs[3] ?? null, 0),
    );
    return [fromNumbers('int32', outputShape(convolution), sums)];
  },
};

const matMulInteger: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    return [{ dtype: 'int32', shape: matrixShape(node, need(node, inputs, 0), need(node, inputs, 1)) }];
  },
  evaluate(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    const product = productOf(node, a.shape, b.shape);
    const x = centred(node, a, inputs[2] ?? null, -2);
    const y = centred(node, b, inputs[3] ?? null, -1);
    return [fromNumbers('int32', product.shape, multiply(product, x, y))];
  },
};

function matrixShape(node: Node, a: Known, b: Known): number[] {
  return productOf(node, a.shape, b.shape).shape;
}

/** x, its scale and zero point, w likewise, scale and zero point of the result, bias. */
const qLinearConv: Operator = {
  layout: 'spatial',
  permuted: [0, 3],
  infer(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 3)];
    return [
      { dtype: need(node, inputs, 7).dtype, shape: outputShape(convolutionOf(node, x.shape, w.shape)) },
    ];
  },
  evaluate(node, inputs) {
    const [x, scaleX, zeroX, w, scaleW, zeroW, scaleY, zeroY] = inputs.map((_, i) => need(node, inputs, i));
    const convolution = convolutionOf(node, x.shape, w.shape);
    const sums = convolve(convolution, centred(node, x, zeroX, 0), centred(node, w, zeroW, 0));
    const shape = outputShape(convolution);
    const bias = along(node, inputs[8] ?? null, shape, 1);
    const biased = sums.map((sum, i) => sum + bias(i));
    return [requantized(node, biased, shape, { a: scaleX, b: scaleW, out: scaleY, axis: 1 }, zeroY)];
  },
};

const qLinearMatMul: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 3)];
    return [{ dtype: need(node, inputs, 7).dtype, shape: matrixShape(node, a, b) }];
  },
  evaluate(node, inputs) {
    const [a, scaleA, zeroA, b, scaleB, zeroB, scaleY, zeroY] = inputs.map((_, i) => need(node, inputs, i));
    const product = productOf(node, a.shape, b.shape);
    const sums = multiply(product, centred(node, a, zeroA, -2), centred(node, b, zeroB, -1));
    return [requantized(node, sums, product.shape, { a: scaleA, b: scaleB, out: scaleY, axis: -1 }, zeroY)];
  },
};

export const QUANTIZED: Readonly<Record<string, Operator>> = {
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantizeLinear,
  ConvInteger: convInteger,
  MatMulInteger: matMulInteger,
  QLinearConv: qLinearConv,
  QLinearMatMul: qLinearMatMul,
};
