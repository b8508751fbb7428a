import type { Tensor, TensorData } from '../graph.ts';
import { sizeOf, zeros } from '../tensors.ts';

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** Strides of `shape` as seen from the broadcast shape `to`: 0 along repeated axes. */
export function broadcastStrides(shape: readonly number[], to: readonly number[]): number[] {
  const own = stridesOf(shape);
  const offset = to.length - shape.length;
  return to.map((_, axis) => (axis < offset || shape[axis - offset] === 1 ? 0 : own[axis - offset]));
}

/** Source offset of every element of `shape` in row-major order, walking with `strides` from `start`. */
export function offsets(shape: readonly number[], strides: readonly number[], start = 0): Int32Array {
  const result = new Int32Array(sizeOf(shape));
  if (result.length === 0) return result;
  result[0] = start;
  let filled = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const block = filled;
    for (let i = 1; i < shape[axis]; i++) {
      const shift = i * strides[axis];
      for (let j = 0; j < block; j++) result[filled++] = result[j] + shift;
    }
  }
  return result;
}

/** Elements of `tensor` at `indices`; -1 gives `fill`. */
export function take(
  tensor: Tensor,
  shape: readonly number[],
  indices: ArrayLike<number>,
  fill?: unknown,
): Tensor {
  const { dtype } = tensor;
  const data = zeros(dtype, indices.length);
  const from = tensor.data as { [index: number]: unknown };
  const to = data as { [index: number]: unknown };
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i];
    if (index >= 0) to[i] = from[index];
    else if (fill !== undefined) to[i] = fill;
  }
  return { dtype, shape, data };
}

export function transpose(tensor: Tensor, perm: readonly number[]): Tensor {
  const { shape } = tensor;
  if (perm.every((axis, i) => axis === i)) return tensor;
  const strides = stridesOf(shape);
  const to = perm.map((axis) => shape[axis]);
  return take(
    tensor,
    to,
    offsets(
      to,
      perm.map((axis) => strides[axis]),
    ),
  );
}

export function reshaped(tensor: Tensor, shape: readonly number[]): Tensor {
  return { dtype: tensor.dtype, shape, data: tensor.data };
}

/** Elements [from, to) of the data, a copy. */
export function sliceData(data: TensorData, from: number, to: number): TensorData {
  return data.slice(from, to) as TensorData;
}

/** By rank: they are asked for at every node, each time that shapes are inferred. */
const LAST: (readonly number[])[] = [];
const FIRST: (readonly number[])[] = [];

/** [0, 2, 3, ..., 1]: where each channels-last axis lies in ONNX's layout. */
export function toLast(rank: number): readonly number[] {
  return (LAST[rank] ??= rank < 3 ? range(rank) : [0, ...range(rank - 2).map((i) => i + 2), 1]);
}

/** [0, rank-1, 1, 2, ...]: where each axis of ONNX's layout lies in channels-last. */
export function toFirst(rank: number): readonly number[] {
  return (FIRST[rank] ??= rank < 3 ? range(rank) : [0, rank - 1, ...range(rank - 2).map((i) => i + 1)]);
}

export function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

export function permute<T>(values: readonly T[], perm: readonly number[]): T[] {
  return perm.map((axis) => values[axis]);
}
