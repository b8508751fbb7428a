import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, numbers, sizeOf } from '../tensors.ts';
import { offsets, sliceData, stridesOf, take } from './indexing.ts';
import { axisOf, misfit, need, number, type Operator, sameAsFirst, text } from './operator.ts';

const REDUCTIONS: Readonly<Record<string, (old: number, update: number) => number>> = {
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: Math.max,
  min: Math.min,
};

/** A copy of x where element `at[i]` took the update i: replaced, or by the attribute `reduction` (opset 16; 18). */
function updated(node: Node, x: Tensor, at: ArrayLike<number>, updates: Tensor): Tensor {
  const reduction = text(node, 'reduction', 'none');
  if (at.length !== updates.data.length)
    misfit(node, `${at.length} updates`, `[${updates.shape.join(', ')}]`);
  if (reduction === 'none') {
    const data = sliceData(x.data, 0, x.data.length) as { [index: number]: unknown };
    for (let i = 0; i < at.length; i++) data[at[i]] = updates.data[i];
    return { ...x, data: data as Tensor['data'] };
  }
  const reduce = REDUCTIONS[reduction] ?? misfit(node, 'none, add, mul, max or min for reduction', reduction);
  const out = Float64Array.from(numbers(x));
  const values = numbers(updates);
  for (let i = 0; i < at.length; i++) out[at[i]] = reduce(out[at[i]], values[i]);
  return fromNumbers(x.dtype, x.shape, out);
}

/** An index that may count from the end. */
function placed(node: Node, index: number, length: number): number {
  if (!(index >= -length && index < length)) misfit(node, `indices within ${length}`, String(index));
  return index < 0 ? index + length : index;
}

/** Offsets in x of all elements of the slices that tuples of indices name, the first `batch` axes side by side. */
function tupleOffsets(node: Node, x: readonly number[], indices: Tensor, batch: number): Int32Array {
  const depth = indices.shape.at(-1) ?? misfit(node, 'indices of rank 1 or more', 'a scalar');
  if (batch + depth > x.length)
    misfit(node, `tuples of at most ${x.length - batch} indices`, `[${indices.shape.join(', ')}]`);
  const strides = stridesOf(x);
  const inner = offsets(x.slice(batch + depth), strides.slice(batch + depth));
  const tuples = sizeOf(indices.shape.slice(0, -1));
  const perBatch = tuples / Math.max(1, sizeOf(x.slice(0, batch)));
  const batchStride = sizeOf(x.slice(batch));
  const values = numbers(indices);
  const out = new Int32Array(tuples * inner.length);
  for (let tuple = 0; tuple < tuples; tuple++) {
    let start = Math.floor(tuple / perBatch) * batchStride;
    for (let i = 0; i < depth; i++)
      start += placed(node, values[tuple * depth + i], x[batch + i]) * strides[batch + i];
    for (let i = 0; i < inner.length; i++) out[tuple * inner.length + i] = start + inner[i];
  }
  return out;
}

const scatterND: Operator = {
  layout: 'fixed',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const [x, indices, updates] = [0, 1, 2].map((i) => need(node, inputs, i));
    return [updated(node, x, tupleOffsets(node, x.shape, indices, 0), updates)];
  },
};

const scatterElements: Operator = {
  layout: 'fixed',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const [x, indices, updates] = [0, 1, 2].map((i) => need(node, inputs, i));
    const axis = axisOf(node, number(node, 'axis', 0), x.shape.length);
    const fits = (size: number, i: number) => i === axis || size <= x.shape[i];
    if (indices.shape.length !== x.shape.length || !indices.shape.every(fits))
      misfit(
        node,
        `indices within [${x.shape.join(', ')}] beside axis ${axis}`,
        `[${indices.shape.join(', ')}]`,
      );
    const strides = stridesOf(x.shape);
    const rest = offsets(indices.shape, strides.with(axis, 0));
    const chosen = numbers(indices);
    const at = rest.map((offset, i) => offset + placed(node, chosen[i], x.shape[axis]) * strides[axis]);
    return [updated(node, x, at, updates)];
  },
};

const gatherND: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const [x, indices] = [need(node, inputs, 0), need(node, inputs, 1)];
    const depth = indices.shape.at(-1) ?? misfit(node, 'indices of rank 1 or more', 'a scalar');
    const rest = x.shape.slice(number(node, 'batch_dims', 0) + depth);
    return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...rest] }];
  },
  evaluate(node, inputs, form) {
    const [x, indices] = [need(node, inputs, 0), need(node, inputs, 1)];
    const { shape } = gatherND.infer(node, [x, indices], form)[0]!;
    return [take(x, shape, tupleOffsets(node, x.shape, indices, number(node, 'batch_dims', 0)))];
  },
};

/** Operators that read or write at computed places. */
export const SCATTERS: Readonly<Record<string, Operator>> = {
  ScatterND: scatterND,
  ScatterElements: scatterElements,
  GatherND: gatherND,
};
