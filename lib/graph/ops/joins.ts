import type { Node, Tensor } from '../graph.ts';
import { numbers, sizeOf, zeros } from '../tensors.ts';
import { offsets, range, stridesOf, take } from './indexing.ts';
import {
  axisOf,
  type Known,
  list,
  listInput,
  misfit,
  need,
  number,
  type Operator,
  sameTypes,
} from './operator.ts';

type Maybe = readonly (Known | Tensor | null)[];

const concat: Operator = {
  layout: 'axis',
  infer(node, inputs) {
    const known = inputs.map((_, i) => need(node, inputs, i));
    sameTypes(node, known);
    const { dtype, shape } = known[0];
    const axis = axisOf(node, number(node, 'axis', 1), shape.length);
    for (const other of known)
      if (
        other.shape.length !== shape.length ||
        other.shape.some((size, i) => i !== axis && size !== shape[i])
      )
        misfit(
          node,
          `shapes that fit [${shape.join(', ')}] beside axis ${axis}`,
          `[${other.shape.join(', ')}]`,
        );
    const length = known.reduce((sum, other) => sum + other.shape[axis], 0);
    return [{ dtype, shape: shape.map((size, i) => (i === axis ? length : size)) }];
  },
  evaluate(node, inputs, form) {
    const tensors = inputs.map((_, i) => need(node, inputs, i));
    const { dtype, shape } = concat.infer(node, tensors, form)[0]!;
    const axis = axisOf(node, number(node, 'axis', 1), shape.length);
    const outer = sizeOf(shape.slice(0, axis));
    const data = zeros(dtype, sizeOf(shape)) as { [index: number]: unknown };
    let at = 0;
    for (let row = 0; row < outer; row++)
      for (const tensor of tensors) {
        const length = tensor.data.length / outer;
        for (let i = 0; i < length; i++) data[at++] = tensor.data[row * length + i];
      }
    return [{ dtype, shape, data: data as Tensor['data'] }];
  },
};

function partsOf(node: Node, x: readonly number[], axis: number, inputs: Maybe): number[] | null {
  const given = listInput(node, 'split', inputs, 1);
  if (given === null) return null;
  const count = number(node, 'num_outputs', node.outputs.length);
  const each = Math.ceil(x[axis] / count);
  const parts = given ?? range(count).map((i) => Math.max(0, Math.min(each, x[axis] - i * each)));
  if (parts.reduce((sum, part) => sum + part, 0) !== x[axis])
    misfit(node, `parts of ${x[axis]}`, `[${parts.join(', ')}]`);
  return parts;
}

const split: Operator = {
  layout: 'axis',
  infer(node, inputs) {
    const { dtype, shape } = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', 0), shape.length);
    const parts = partsOf(node, shape, axis, inputs);
    if (!parts) return node.outputs.map(() => null);
    return parts.map((part) => ({ dtype, shape: shape.map((size, i) => (i === axis ? part : size)) }));
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', 0), x.shape.length);
    const parts = partsOf(node, x.shape, axis, inputs) ?? misfit(node, 'parts', 'none');
    const strides = stridesOf(x.shape);
    let start = 0;
    return parts.map((part) => {
      const shape = x.shape.map((size, i) => (i === axis ? part : size));
      const piece = take(x, shape, offsets(shape, strides, start * strides[axis]));
      start += part;
      return piece;
    });
  },
};

/** Whole slices along one axis. */
const gather: Operator = {
  layout: 'axis',
  infer(node, inputs) {
    const [x, indices] = [need(node, inputs, 0), need(node, inputs, 1)];
    const axis = axisOf(node, number(node, 'axis', 0), x.shape.length);
    return [
      { dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)] },
    ];
  },
  evaluate(node, inputs, form) {
    const [x, indices] = [need(node, inputs, 0), need(node, inputs, 1)];
    const axis = axisOf(node, number(node, 'axis', 0), x.shape.length);
    const { shape } = gather.infer(node, [x, indices], form)[0]!;
    const inner = sizeOf(x.shape.slice(axis + 1));
    const length = x.shape[axis];
    const at = list(indices).map((index) => {
      if (!(index >= -length && index < length)) misfit(node, `indices within ${length}`, String(index));
      return index < 0 ? index + length : index;
    });
    const index = new Int32Array(sizeOf(shape));
    for (let i = 0; i < index.length; i++) {
      const rest = Math.floor(i / inner);
      index[i] = (Math.floor(rest / at.length) * length + at[rest % at.length]) * inner + (i % inner);
    }
    return [take(x, shape, index)];
  },
};

const gatherElements: Operator = {
  layout: 'fixed',
  infer: (node, inputs) => [{ dtype: need(node, inputs, 0).dtype, shape: need(node, inputs, 1).shape }],
  evaluate(node, inputs) {
    const [x, indices] = [need(node, inputs, 0), need(node, inputs, 1)];
    const axis = axisOf(node, number(node, 'axis', 0), x.shape.length);
    const strides = stridesOf(x.shape);
    const base = offsets(
      indices.shape,
      strides.map((stride, i) => (i === axis ? 0 : stride)),
    );
    const length = x.shape[axis];
    const chosen = numbers(indices);
    return [
      take(
        x,
        indices.shape,
        base.map((offset, i) => offset + (chosen[i] < 0 ? chosen[i] + length : chosen[i]) * strides[axis]),
      ),
    ];
  },
};

/** Operators that put together or take apart along one axis. */
export const JOINS: Readonly<Record<string, Operator>> = {
  Concat: concat,
  Split: split,
  Gather: gather,
  GatherElements: gatherElements,
};
