import type { Node, Tensor } from '../graph.ts';
import { dtypeOf, fromNumbers, int64Tensor, isFloat, isWide, numbers, sizeOf, zeros } from '../tensors.ts';
import { reshaped } from './indexing.ts';
import {
  attribute,
  axisOf,
  type Known,
  list,
  listInput,
  misfit,
  need,
  number,
  type Operator,
  sameAsFirst,
} from './operator.ts';

/** The shape is the attribute `shape` (0 copies, -1 infers) or ONNX's second input. */
function reshapedShape(node: Node, x: readonly number[], shape: readonly number[]): number[] {
  const keepZeros = number(node, 'allowzero', 0) === 1;
  const sizes = shape.map((size, axis) => (size === 0 && !keepZeros ? (x[axis] ?? Number.NaN) : size));
  const open = sizes.indexOf(-1);
  const known = sizeOf(sizes.filter((_, axis) => axis !== open));
  if (open >= 0) sizes[open] = known === 0 ? 0 : sizeOf(x) / known;
  if (sizeOf(sizes) !== sizeOf(x) || sizes.some((size) => !(size >= 0 && Number.isInteger(size))))
    misfit(node, `a shape of ${sizeOf(x)} elements`, `[${shape.join(', ')}] for input [${x.join(', ')}]`);
  return sizes;
}

const reshape: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const x = need(node, inputs, 0);
    const shape = listInput(node, 'shape', inputs, 1);
    if (!shape) return [null];
    return [carry(x, reshapedShape(node, x.shape, shape))];
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const shape = listInput(node, 'shape', inputs, 1) ?? misfit(node, 'a shape', 'none');
    return [reshaped(x, reshapedShape(node, x.shape, shape))];
  },
};

/** A new shape over the same elements. */
function carry({ dtype, value }: Known, shape: readonly number[]): Known {
  return { dtype, shape, ...(value ? { value: reshaped(value, shape) } : {}) };
}

function flattened(node: Node, x: readonly number[]): number[] {
  const axis = number(node, 'axis', 1);
  const split = axis < 0 ? axis + x.length : axis;
  if (!(split >= 0 && split <= x.length)) misfit(node, `an axis within ${x.length} dimensions`, String(axis));
  return [sizeOf(x.slice(0, split)), sizeOf(x.slice(split))];
}

/** A row that only changes the shape. */
function viewing(
  layout: Operator['layout'],
  shape: (node: Node, x: readonly number[], axes: number[]) => number[],
): Operator {
  return {
    layout,
    infer(node, inputs) {
      const x = need(node, inputs, 0);
      const axes = listInput(node, 'axes', inputs, 1);
      return [axes === null ? null : carry(x, shape(node, x.shape, axes ?? []))];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      return [reshaped(x, shape(node, x.shape, listInput(node, 'axes', inputs, 1) ?? []))];
    },
  };
}

function squeezed(node: Node, x: readonly number[], axes: readonly number[]): number[] {
  const gone =
    axes.length > 0
      ? axes.map((axis) => axisOf(node, axis, x.length))
      : [...x.keys()].filter((i) => x[i] === 1);
  for (const axis of gone)
    if (x[axis] !== 1) misfit(node, `size 1 on axis ${axis}`, `shape [${x.join(', ')}]`);
  return x.filter((_, axis) => !gone.includes(axis));
}

function unsqueezed(node: Node, x: readonly number[], axes: readonly number[]): number[] {
  const rank = x.length + axes.length;
  const ones = new Set(axes.map((axis) => axisOf(node, axis, rank)));
  if (ones.size !== axes.length) misfit(node, 'distinct axes', `[${axes.join(', ')}]`);
  const rest = [...x];
  return Array.from({ length: rank }, (_, axis) => (ones.has(axis) ? 1 : rest.shift()!));
}

function clippedRange(node: Node, rank: number): [number, number] {
  const place = (value: number) => Math.min(rank, Math.max(0, value < 0 ? value + rank : value));
  return [place(number(node, 'start', 0)), place(number(node, 'end', rank))];
}

const shape: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const { shape: sizes } = need(node, inputs, 0);
    const value = int64Tensor(sizes.slice(...clippedRange(node, sizes.length)));
    return [{ dtype: 'int64', shape: value.shape, value }];
  },
  evaluate(node, inputs) {
    const { shape: sizes } = need(node, inputs, 0);
    return [int64Tensor(sizes.slice(...clippedRange(node, sizes.length)))];
  },
};

const size: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const value = int64Tensor([sizeOf(need(node, inputs, 0).shape)], []);
    return [{ dtype: 'int64', shape: [], value }];
  },
  evaluate: (node, inputs) => [int64Tensor([sizeOf(need(node, inputs, 0).shape)], [])],
};

/** `to` is a TensorProto.DataType. */
function cast(node: Node, x: Tensor): Tensor {
  const to = dtypeOf(number(node, 'to', 0), `attribute to of node ${node.name}`);
  if (to === x.dtype) return x;
  if (isWide(to) && isWide(x.dtype)) {
    const data = zeros(to, x.data.length) as BigInt64Array;
    data.set(x.data as BigInt64Array);
    return { dtype: to, shape: x.shape, data };
  }
  if (to === 'string')
    return { dtype: to, shape: x.shape, data: Array.from(numbers(x), (v) => written(v, x.dtype)) };
  return fromNumbers(to, x.shape, numbers(x));
}

/** Shortest text that reads back as the same value of its type. */
function written(value: number, dtype: Tensor['dtype']): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF';
  if (!isFloat(dtype)) return String(value);
  let shortest = String(value);
  if (dtype !== 'float64')
    for (let digits = 1; digits <= 9; digits++) {
      const text = Number(value.toPrecision(digits));
      if (Math.fround(text) === value) {
        shortest = String(text);
        break;
      }
    }
  return shortest;
}

const castRow: Operator = {
  layout: 'elementwise',
  infer(node, inputs) {
    const { shape: sizes, value } = need(node, inputs, 0);
    const dtype = dtypeOf(number(node, 'to', 0), `attribute to of node ${node.name}`);
    return [{ dtype, shape: sizes, ...(value ? { value: cast(node, value) } : {}) }];
  },
  evaluate: (node, inputs) => [cast(node, need(node, inputs, 0))],
};

const castLike: Operator = {
  layout: 'fixed',
  infer: (node, inputs) => [{ dtype: need(node, inputs, 1).dtype, shape: need(node, inputs, 0).shape }],
  evaluate(node, inputs) {
    const [x, like] = [need(node, inputs, 0), need(node, inputs, 1)];
    return [x.dtype === like.dtype ? x : fromNumbers(like.dtype, x.shape, numbers(x))];
  },
};

/** The tensor of a Constant node. */
export function constantOf(node: Node): Tensor {
  const { value, value_float, value_floats, value_int, value_ints, value_string, value_strings } =
    node.attributes;
  if (value !== undefined) return value as Tensor;
  if (value_float !== undefined) return fromNumbers('float32', [], [value_float as number]);
  if (value_floats !== undefined) {
    const values = value_floats as readonly number[];
    return fromNumbers('float32', [values.length], values);
  }
  if (value_int !== undefined) return int64Tensor([value_int as number], []);
  if (value_ints !== undefined) return int64Tensor(value_ints as readonly number[]);
  if (value_string !== undefined) return { dtype: 'string', shape: [], data: [value_string as string] };
  if (value_strings !== undefined) {
    const data = [...(value_strings as readonly string[])];
    return { dtype: 'string', shape: [data.length], data };
  }
  return misfit(node, 'a constant tensor', 'none that is dense');
}

function filled(node: Node, sizes: readonly number[]): Tensor {
  const value = attribute<Tensor>(node, 'value') ?? fromNumbers('float32', [1], [0]);
  const data = zeros(value.dtype, sizeOf(sizes)) as unknown as { fill(value: unknown): Tensor['data'] };
  return { dtype: value.dtype, shape: sizes, data: data.fill(value.data[0]) };
}

const constantOfShape: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const { value } = need(node, inputs, 0);
    return [value ? { dtype: filled(node, [0]).dtype, shape: list(value) } : null];
  },
  evaluate: (node, inputs) => [filled(node, list(need(node, inputs, 0)))],
};

function counted(node: Node, inputs: readonly (Tensor | null)[]): Tensor {
  const [start, limit, delta] = [0, 1, 2].map((i) => numbers(need(node, inputs, i))[0]);
  const length = Math.max(0, Math.ceil((limit - start) / delta));
  const values = Float64Array.from({ length }, (_, i) => start + i * delta);
  return fromNumbers(need(node, inputs, 0).dtype, [length], values);
}

const rangeRow: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const values = inputs.map((input) => input?.value ?? null);
    if (values.some((value) => value === null)) return [null];
    const value = counted(node, values);
    return [{ dtype: value.dtype, shape: value.shape, value }];
  },
  evaluate: (node, inputs) => [counted(node, inputs)],
};

/** Inference: its input. The mask, where asked for, is all true. Training with a ratio above 0 has no one answer. */
const dropout: Operator = {
  layout: 'elementwise',
  infer(node, inputs, form) {
    const { dtype, shape: sizes } = need(node, inputs, 0);
    const mask = { dtype: form.opset < 10 ? dtype : ('bool' as const), shape: sizes };
    return node.outputs.length > 1 ? [{ dtype, shape: sizes }, mask] : [{ dtype, shape: sizes }];
  },
  evaluate(node, inputs, form) {
    const x = need(node, inputs, 0);
    const training = inputs[2] ? numbers(inputs[2])[0] === 1 : false;
    const ratio = inputs[1] ? numbers(inputs[1])[0] : number(node, 'ratio', 0.5);
    if (training && ratio > 0) misfit(node, 'inference or a ratio of 0', `training with ratio ${ratio}`);
    const ones = new Float64Array(x.data.length).fill(1);
    return [x, fromNumbers(form.opset < 10 ? x.dtype : 'bool', x.shape, ones)];
  },
};

export const SHAPES: Readonly<Record<string, Operator>> = {
  Reshape: reshape,
  Flatten: viewing('fixed', flattened),
  Squeeze: viewing('axis', squeezed),
  Unsqueeze: viewing('fixed', unsqueezed),
  Shape: shape,
  Size: size,
  Cast: castRow,
  CastLike: castLike,
  Constant: {
    layout: 'fixed',
    infer: (node) => {
      const value = constantOf(node);
      return [{ dtype: value.dtype, shape: value.shape, value }];
    },
    evaluate: (node) => [constantOf(node)],
  },
  ConstantOfShape: constantOfShape,
  Range: rangeRow,
  Identity: {
    layout: 'elementwise',
    infer: sameAsFirst,
    evaluate: (node, inputs) => [need(node, inputs, 0)],
  },
  Dropout: dropout,
};
