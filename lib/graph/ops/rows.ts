import type { Tensor } from '../graph.ts';
import { sizeOf } from '../tensors.ts';
import { broadcastStrides, offsets } from './indexing.ts';

/** out[o + k] = a[i + k * p] op b[j + k * q] for k < n; p and q are 0 where the operand stays the same, else 1. */
type Row = (
  out: Float32Array,
  o: number,
  a: Float32Array,
  i: number,
  p: number,
  b: Float32Array,
  j: number,
  q: number,
  n: number,
) => void;

/** One loop each, so that the compiler sees the operator inside; rounded once, when stored. */
const add: Row = (out, o, a, i, p, b, j, q, n) => {
  for (let k = 0; k < n; k++) out[o + k] = a[i + k * p] + b[j + k * q];
};
const subtract: Row = (out, o, a, i, p, b, j, q, n) => {
  for (let k = 0; k < n; k++) out[o + k] = a[i + k * p] - b[j + k * q];
};
const multiply: Row = (out, o, a, i, p, b, j, q, n) => {
  for (let k = 0; k < n; k++) out[o + k] = a[i + k * p] * b[j + k * q];
};
const divide: Row = (out, o, a, i, p, b, j, q, n) => {
  for (let k = 0; k < n; k++) out[o + k] = a[i + k * p] / b[j + k * q];
};

export const ROWS: Readonly<Record<string, Row>> = { Add: add, Sub: subtract, Mul: multiply, Div: divide };

/** Axes at the end that an operand either has whole (step 1) or repeats whole (step 0). */
function stepFrom(axis: number, own: readonly number[], shape: readonly number[]): 0 | 1 | null {
  const tail = shape.slice(axis).map((_, i) => own[own.length - shape.length + axis + i] ?? 1);
  if (tail.every((size) => size === 1)) return sizeOf(shape.slice(axis)) === 1 ? 1 : 0;
  return tail.every((size, i) => size === shape[axis + i]) ? 1 : null;
}

/** a op b on the broadcast shape, in rows as long as both operands allow. Both are float32. */
export function byRows(row: Row, a: Tensor, b: Tensor, shape: readonly number[]): Float32Array {
  const out = new Float32Array(sizeOf(shape));
  let axis = shape.length;
  while (axis > 0 && [a, b].every((tensor) => stepFrom(axis - 1, tensor.shape, shape) !== null)) axis--;
  const n = sizeOf(shape.slice(axis));
  const outer = shape.slice(0, axis);
  const [starts, others] = [a, b].map((tensor) =>
    offsets(outer, broadcastStrides(tensor.shape, shape).slice(0, axis)),
  );
  const [p, q] = [a, b].map((tensor) => stepFrom(axis, tensor.shape, shape)!);
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  for (let i = 0; i < starts.length; i++) row(out, i * n, x, starts[i], p, y, others[i], q, n);
  return out;
}

/** In place. */
export function clampRow(out: Float32Array, low: number, high: number): void {
  for (let i = 0; i < out.length; i++) out[i] = Math.min(Math.max(out[i], low), high);
}
