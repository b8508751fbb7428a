import type { Dtype, Node, Tensor } from '../graph.ts';
import { fromNumbers, isFloat, isWide, numbers, sizeOf } from '../tensors.ts';
import { broadcastStrides, offsets } from './indexing.ts';
import { broadcast, type Known, need, number, type Operator, sameAsFirst, sameTypes } from './operator.ts';
import { byRows, clampRow, ROWS } from './rows.ts';

export type Unary = (x: number) => number;
type Binary = (a: number, b: number) => number;
type WideBinary = (a: bigint, b: bigint) => bigint;

/** Applies `f` to every element. */
export function map(tensor: Tensor, f: Unary, dtype: Dtype = tensor.dtype): Tensor {
  const x = numbers(tensor);
  const out = new Float64Array(x.length);
  for (let i = 0; i < out.length; i++) out[i] = f(x[i]);
  return fromNumbers(dtype, tensor.shape, out);
}

/** Elements of a tensor as if it had the shape `to`. */
export function spread(tensor: Tensor, to: readonly number[]): (i: number) => number {
  const x = numbers(tensor);
  if (x.length === 1) return () => x[0];
  if (x.length === sizeOf(to)) return (i) => x[i];
  const index = offsets(to, broadcastStrides(tensor.shape, to));
  return (i) => x[index[i]];
}

/** [low, high] of a fused activation; everything without one. */
export function clampOf(node: Node): readonly [number, number] {
  const clamp = node.attributes['clamp'] as readonly number[] | undefined;
  return clamp ? [clamp[0], clamp[1]] : [-Infinity, Infinity];
}

const inferBroadcast =
  (dtype?: Dtype, mixed = false): Operator['infer'] =>
  (node, inputs) => {
    const known = inputs.map((_, i) => need(node, inputs, i));
    if (!mixed) sameTypes(node, known);
    return [{ dtype: dtype ?? known[0].dtype, shape: broadcast(node, ...known.map(({ shape }) => shape)) }];
  };

/** Folds its inputs from left to right. int64 stays exact where `wide` is given. */
function fold(f: Binary, wide?: WideBinary, finish?: (sum: number, count: number) => number): Operator {
  return {
    layout: 'elementwise',
    infer: inferBroadcast(),
    evaluate(node, inputs) {
      const tensors = inputs.map((_, i) => need(node, inputs, i));
      const { dtype } = tensors[0];
      const shape = broadcast(node, ...tensors.map((tensor) => tensor.shape));
      if (wide && isWide(dtype)) return [foldWide(tensors, shape, wide)];
      const [low, high] = clampOf(node);
      const row = ROWS[node.op];
      if (row && dtype === 'float32' && tensors.length === 2) {
        const data = byRows(row, tensors[0], tensors[1], shape);
        if (low > -Infinity || high < Infinity) clampRow(data, low, high);
        return [{ dtype, shape, data }];
      }
      const out = new Float64Array(sizeOf(shape));
      tensors.forEach((tensor, position) => {
        accumulate(out, tensor, shape, position === 0 ? second : f);
      });
      if (finish) for (let i = 0; i < out.length; i++) out[i] = finish(out[i], tensors.length);
      if (low > -Infinity || high < Infinity)
        for (let i = 0; i < out.length; i++) out[i] = Math.min(Math.max(out[i], low), high);
      return [fromNumbers(dtype, shape, out)];
    },
  };
}

const second: Binary = (_, value) => value;

/** out = f(out, tensor) on the broadcast shape. */
function accumulate(out: Float64Array, tensor: Tensor, shape: readonly number[], f: Binary): void {
  const x = numbers(tensor);
  if (x.length === out.length) for (let i = 0; i < out.length; i++) out[i] = f(out[i], x[i]);
  else if (x.length === 1) for (let i = 0, value = x[0]; i < out.length; i++) out[i] = f(out[i], value);
  else {
    const index = offsets(shape, broadcastStrides(tensor.shape, shape));
    for (let i = 0; i < out.length; i++) out[i] = f(out[i], x[index[i]]);
  }
}

function foldWide(tensors: readonly Tensor[], shape: readonly number[], f: WideBinary): Tensor {
  const { dtype } = tensors[0];
  const data = dtype === 'int64' ? new BigInt64Array(sizeOf(shape)) : new BigUint64Array(sizeOf(shape));
  tensors.forEach((tensor, position) => {
    const from = tensor.data as BigInt64Array;
    const index = offsets(shape, broadcastStrides(tensor.shape, shape));
    for (let i = 0; i < data.length; i++)
      data[i] = position === 0 ? from[index[i]] : f(data[i], from[index[i]]);
  });
  return { dtype, shape, data };
}

function largest(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

function smallest(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** Two inputs to bool. */
function compare(f: Binary): Operator {
  return {
    layout: 'elementwise',
    infer: inferBroadcast('bool'),
    evaluate(node, inputs) {
      const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
      const shape = broadcast(node, a.shape, b.shape);
      const [x, y] = [spread(a, shape), spread(b, shape)];
      return [
        fromNumbers(
          'bool',
          shape,
          Float64Array.from({ length: sizeOf(shape) }, (_, i) => f(x(i), y(i))),
        ),
      ];
    },
  };
}

function divide(a: number, b: number): number {
  return a / b;
}

/** Integer division cuts off; a zero divisor gives zero. */
const division: Operator = {
  layout: 'elementwise',
  infer: inferBroadcast(),
  evaluate(node, inputs, form) {
    const { dtype } = need(node, inputs, 0);
    const rule = isFloat(dtype)
      ? fold(divide)
      : fold(
          (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
          (a, b) => (b === 0n ? 0n : a / b),
        );
    return rule.evaluate(node, inputs, form);
  },
};

/** fmod 1: sign of the dividend; 0: of the divisor (integers). */
const modulo: Operator = {
  layout: 'elementwise',
  infer: inferBroadcast(),
  evaluate(node, inputs, form) {
    const c = number(node, 'fmod', 0) === 1;
    const rule = fold(
      (a, b) => (c ? a % b : a - Math.floor(a / b) * b),
      (a, b) => (b === 0n ? 0n : c ? a % b : ((a % b) + b) % b),
    );
    return rule.evaluate(node, inputs, form);
  },
};

/** The base's type; the exponent may have another. */
const power: Operator = {
  layout: 'elementwise',
  infer: inferBroadcast(undefined, true),
  evaluate(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    const shape = broadcast(node, a.shape, b.shape);
    const [x, y] = [spread(a, shape), spread(b, shape)];
    return [
      fromNumbers(
        a.dtype,
        shape,
        Float64Array.from({ length: sizeOf(shape) }, (_, i) => x(i) ** y(i)),
      ),
    ];
  },
};

const where: Operator = {
  layout: 'elementwise',
  infer: (node, inputs) => {
    const known: Known[] = inputs.map((_, i) => need(node, inputs, i));
    return [{ dtype: known[1].dtype, shape: broadcast(node, ...known.map(({ shape }) => shape)) }];
  },
  evaluate(node, inputs) {
    const [condition, a, b] = [need(node, inputs, 0), need(node, inputs, 1), need(node, inputs, 2)];
    const shape = broadcast(node, condition.shape, a.shape, b.shape);
    const chosen = spread(condition, shape);
    const [fromA, fromB] = [a, b].map((tensor) => offsets(shape, broadcastStrides(tensor.shape, shape)));
    const result = { dtype: a.dtype, shape, data: a.data.slice(0, 0) } as Tensor;
    const picked: unknown[] = [];
    for (let i = 0; i < fromA.length; i++) picked.push(chosen(i) ? a.data[fromA[i]] : b.data[fromB[i]]);
    const data =
      a.dtype === 'string'
        ? picked
        : (a.data.constructor as unknown as { from(v: unknown[]): unknown }).from(picked);
    return [{ ...result, data: data as Tensor['data'] }];
  },
};

/** Limits are the attribute `clamp`, attributes min and max (opset 6), or inputs. */
const clip: Operator = {
  layout: 'elementwise',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const fused = clampOf(node);
    const limit = (index: 1 | 2, name: 'min' | 'max') =>
      inputs[index] ? numbers(inputs[index])[0] : number(node, name, fused[index - 1]);
    const [low, high] = [limit(1, 'min'), limit(2, 'max')];
    return [map(x, (value) => Math.min(Math.max(value, low), high))];
  },
};

/** ONNX rounds half to even. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? (floor % 2 === 0 ? floor : floor + 1) : Math.round(x);
}

const isInfinite: Operator = {
  layout: 'elementwise',
  infer: inferBroadcast('bool'),
  evaluate(node, inputs) {
    const wanted = (x: number) => number(node, x > 0 ? 'detect_positive' : 'detect_negative', 1) === 1;
    const rule: Unary = (x) => (Math.abs(x) === Infinity && wanted(x) ? 1 : 0);
    return [map(need(node, inputs, 0), rule, 'bool')];
  },
};

export const ELEMENTWISE: Readonly<Record<string, Operator>> = {
  IsInf: isInfinite,
  IsNaN: {
    layout: 'elementwise',
    infer: inferBroadcast('bool'),
    evaluate: (node, inputs) => [map(need(node, inputs, 0), (x) => (Number.isNaN(x) ? 1 : 0), 'bool')],
  },
  Add: fold(
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  Sub: fold(
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  Mul: fold(
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  Div: division,
  Mod: modulo,
  Pow: power,
  Max: fold(Math.max, largest),
  Min: fold(Math.min, smallest),
  Sum: fold((a, b) => a + b),
  Mean: fold(
    (a, b) => a + b,
    undefined,
    (sum, count) => sum / count,
  ),
  And: compare((a, b) => (a && b ? 1 : 0)),
  Or: compare((a, b) => (a || b ? 1 : 0)),
  Xor: compare((a, b) => (!a !== !b ? 1 : 0)),
  Equal: compare((a, b) => (a === b ? 1 : 0)),
  Greater: compare((a, b) => (a > b ? 1 : 0)),
  GreaterOrEqual: compare((a, b) => (a >= b ? 1 : 0)),
  Less: compare((a, b) => (a < b ? 1 : 0)),
  LessOrEqual: compare((a, b) => (a <= b ? 1 : 0)),
  PRelu: fold((x, slope) => (x < 0 ? slope * x : x)),
  Where: where,
  Clip: clip,
};
