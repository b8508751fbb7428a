import type { Kernels } from '../kernels/kernels.ts';

export type Elements = Float32Array | Uint8Array;

/** Row-major strides of a shape. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** What to copy: `shape` elements from one strided place to another. Strides and offsets in elements. */
export interface StridedCopy {
  shape: readonly number[];
  fromOffset: number;
  fromStrides: readonly number[];
  toOffset: number;
  toStrides: readonly number[];
}

/** The same copy with axes of length 1 left out and axes that are contiguous on both sides joined. */
export function simplify(copy: StridedCopy): StridedCopy {
  const shape: number[] = [];
  const fromStrides: number[] = [];
  const toStrides: number[] = [];
  copy.shape.forEach((length, axis) => {
    if (length === 1) return;
    const [from, to] = [copy.fromStrides[axis], copy.toStrides[axis]];
    const end = shape.length - 1;
    if (end >= 0 && fromStrides[end] === from * length && toStrides[end] === to * length) {
      shape[end] *= length;
      fromStrides[end] = from;
      toStrides[end] = to;
    } else {
      shape.push(length);
      fromStrides.push(from);
      toStrides.push(to);
    }
  });
  return { ...copy, shape, fromStrides, toStrides };
}

/** Runs a simplified copy; both arrays of one type. */
export function copyStrided(
  kernels: Pick<Kernels, 'copyPlane'>,
  from: Elements,
  to: Elements,
  copy: StridedCopy,
): void {
  const { shape, fromStrides, toStrides } = copy;
  if (shape.includes(0)) return;
  const visit = (axis: number, fromAt: number, toAt: number): void => {
    const rest = shape.length - axis;
    if (rest > 2) {
      for (let i = 0; i < shape[axis]; i++)
        visit(axis + 1, fromAt + i * fromStrides[axis], toAt + i * toStrides[axis]);
    } else if (rest === 2) {
      const [rows, columns] = [shape[axis], shape[axis + 1]];
      const [fromRow, fromColumn] = [fromStrides[axis], fromStrides[axis + 1]];
      const [toRow, toColumn] = [toStrides[axis], toStrides[axis + 1]];
      kernels.copyPlane(from, to, rows, columns, fromAt, fromRow, fromColumn, toAt, toRow, toColumn);
    } else if (rest === 1) {
      kernels.copyPlane(from, to, 1, shape[axis], fromAt, 0, fromStrides[axis], toAt, 0, toStrides[axis]);
    } else kernels.copyPlane(from, to, 1, 1, fromAt, 0, 1, toAt, 0, 1);
  };
  visit(0, copy.fromOffset, copy.toOffset);
}

/** [batch][channels][pixels] -> [batch][pixels][channels]: images into the engine's layout. */
export function interleave(
  kernels: Pick<Kernels, 'copyPlane'>,
  from: Elements,
  to: Elements,
  batch: number,
  channels: number,
  pixels: number,
): void {
  const sample = channels * pixels;
  for (let n = 0, at = 0; n < batch; n++, at += sample)
    kernels.copyPlane(from, to, channels, pixels, at, pixels, 1, at, 1, channels);
}
