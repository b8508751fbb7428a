import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, int64Tensor, numbers, sizeOf } from '../tensors.ts';
import { stridesOf, take } from './indexing.ts';
import { axisOf, type Known, list, misfit, need, number, type Operator, sameAsFirst } from './operator.ts';

/** Stretches of x along one axis: where each starts, and the step from one element to the next. */
function stretches(x: readonly number[], axis: number): { starts: number[]; step: number } {
  const step = stridesOf(x)[axis] ?? 1;
  const whole = step * (x[axis] ?? 1);
  const starts = Array.from({ length: sizeOf(x.filter((_, i) => i !== axis)) }, (_, i) => {
    return Math.floor(i / step) * whole + (i % step);
  });
  return { starts, step };
}

/** How many to take: an attribute before opset 10; null where it is not known. */
function countOf(node: Node, x: readonly number[], axis: number, given: Known | Tensor | null | undefined) {
  const tensor = given && ('data' in given ? given : given.value);
  if (given && !tensor) return null;
  const count = tensor ? list(tensor)[0] : number(node, 'k', -1);
  if (!(count >= 0 && count <= x[axis])) misfit(node, `k within ${x[axis]}`, String(count));
  return count;
}

/** The k largest (or smallest) along one axis and their places, best first; the first of equals wins. */
const topK: Operator = {
  layout: 'axis',
  infer(node, inputs) {
    const { dtype, shape } = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', -1), shape.length);
    const count = countOf(node, shape, axis, inputs[1]);
    if (count === null) return [null, null];
    const taken = shape.map((size, i) => (i === axis ? count : size));
    return [
      { dtype, shape: taken },
      { dtype: 'int64', shape: taken },
    ];
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', -1), x.shape.length);
    const count = countOf(node, x.shape, axis, inputs[1])!;
    const sign = number(node, 'largest', 1) === 1 ? 1 : -1;
    const shape = x.shape.map((size, i) => (i === axis ? count : size));
    const from = numbers(x);
    const { starts, step } = stretches(x.shape, axis);
    const targets = stretches(shape, axis).starts;
    const at = new Int32Array(sizeOf(shape));
    const places = new Array<number>(at.length).fill(0);
    starts.forEach((start, row) => {
      const order = Array.from({ length: x.shape[axis] }, (_, i) => i);
      order.sort((a, b) => sign * (from[start + b * step] - from[start + a * step]) || a - b);
      for (let i = 0; i < count; i++) {
        at[targets[row] + i * step] = start + order[i] * step;
        places[targets[row] + i * step] = order[i];
      }
    });
    return [take(x, shape, at), int64Tensor(places, shape)];
  },
};

/** Running sums or products along the axis that input 1 names. */
function running(start: number, f: (total: number, x: number) => number): Operator {
  return {
    layout: 'fixed',
    infer: sameAsFirst,
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const axis = axisOf(node, list(need(node, inputs, 1))[0], x.shape.length);
      const [exclusive, reverse] = ['exclusive', 'reverse'].map((name) => number(node, name, 0) === 1);
      const from = numbers(x);
      const out = new Float64Array(from.length);
      const { starts, step } = stretches(x.shape, axis);
      const length = x.shape[axis];
      for (const first of starts) {
        let total = start;
        for (let i = 0; i < length; i++) {
          const at = first + (reverse ? length - 1 - i : i) * step;
          const next = f(total, from[at]);
          out[at] = exclusive ? total : next;
          total = next;
        }
      }
      return [fromNumbers(x.dtype, x.shape, out)];
    },
  };
}

/** Keeps the upper or lower triangle of the last two axes, shifted by input 1. */
const trilu: Operator = {
  layout: 'fixed',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const [rows, columns] = x.shape.slice(-2);
    if (columns === undefined) misfit(node, 'matrices', `[${x.shape.join(', ')}]`);
    const shift = inputs[1] ? list(inputs[1])[0] : 0;
    const upper = number(node, 'upper', 1) === 1;
    const at = Int32Array.from({ length: x.data.length }, (_, i) => {
      const distance = (i % columns) - (Math.floor(i / columns) % rows) - shift;
      return (upper ? distance >= 0 : distance <= 0) ? i : -1;
    });
    return [take(x, x.shape, at)];
  },
};

/** Operators that order, accumulate or cut along axes. */
export const SEQUENCES: Readonly<Record<string, Operator>> = {
  TopK: topK,
  CumSum: running(0, (total, x) => total + x),
  CumProd: running(1, (total, x) => total * x),
  Trilu: trilu,
};
