import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, int64Tensor, numbers, sizeOf } from '../tensors.ts';
import { spread } from './elementwise.ts';
import { offsets, stridesOf } from './indexing.ts';
import { axisOf, type Known, listInput, need, number, type Operator, sameAsFirst } from './operator.ts';
import { normalizedPlanes } from './pooling.ts';

/** Axes to reduce: attribute or input 1, all by default; null where not known. */
function reducedAxes(node: Node, rank: number, inputs: readonly (Known | Tensor | null)[]): number[] | null {
  const axes = listInput(node, 'axes', inputs, 1);
  if (axes === null) return null;
  if (axes && axes.length > 0) return axes.map((axis) => axisOf(node, axis, rank));
  return number(node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

function reducedShape(node: Node, x: readonly number[], axes: readonly number[]): number[] {
  const keep = number(node, 'keepdims', 1) === 1;
  return x.flatMap((size, axis) => (axes.includes(axis) ? (keep ? [1] : []) : [size]));
}

/** For every kept element, the offsets of what is reduced into it: starts plus steps. */
function groups(x: readonly number[], axes: readonly number[]): { starts: Int32Array; steps: Int32Array } {
  const strides = stridesOf(x);
  const pick = (wanted: boolean) => {
    const chosen = [...x.keys()].filter((axis) => axes.includes(axis) === wanted);
    return offsets(
      chosen.map((axis) => x[axis]),
      chosen.map((axis) => strides[axis]),
    );
  };
  return { starts: pick(false), steps: pick(true) };
}

/** Without any axis every element is a group of its own: squares and logarithms apply to it all the same. */
function reduction(reduce: (values: Float64Array) => number): Operator {
  return {
    layout: 'axis',
    infer(node, inputs) {
      const { dtype, shape } = need(node, inputs, 0);
      const axes = reducedAxes(node, shape.length, inputs);
      return [axes && { dtype, shape: reducedShape(node, shape, axes) }];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const axes = reducedAxes(node, x.shape.length, inputs)!;
      const { starts, steps } = groups(x.shape, axes);
      const from = numbers(x);
      const values = new Float64Array(steps.length);
      const out = Float64Array.from(starts, (start) => {
        for (let i = 0; i < values.length; i++) values[i] = from[start + steps[i]];
        return reduce(values);
      });
      return [fromNumbers(x.dtype, reducedShape(node, x.shape, axes), out)];
    },
  };
}

const sum = (values: Float64Array, f: (x: number) => number = (x) => x) =>
  values.reduce((total, value) => total + f(value), 0);

function logSumExp(values: Float64Array): number {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(most)) return most;
  return most + Math.log(sum(values, (x) => Math.exp(x - most)));
}

/** Place of the extreme along one axis; the first of equals unless select_last_index. */
function extreme(better: (a: number, b: number) => boolean): Operator {
  const axisFor = (node: Node, rank: number) => axisOf(node, number(node, 'axis', 0), rank);
  return {
    layout: 'axis',
    infer(node, inputs) {
      const { shape } = need(node, inputs, 0);
      return [{ dtype: 'int64', shape: reducedShape(node, shape, [axisFor(node, shape.length)]) }];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const axis = axisFor(node, x.shape.length);
      const last = number(node, 'select_last_index', 0) === 1;
      const { starts, steps } = groups(x.shape, [axis]);
      const from = numbers(x);
      const places = Array.from(starts, (start) => {
        let best = 0;
        for (let i = 1; i < steps.length; i++) {
          const [value, champion] = [from[start + steps[i]], from[start + steps[best]]];
          if (better(value, champion) || (last && value === champion)) best = i;
        }
        return best;
      });
      return [int64Tensor(places, reducedShape(node, x.shape, [axis]))];
    },
  };
}

/** Along one axis; before opset 13 along all axes from `axis` on. */
function softmax(finish: (x: number, most: number, total: number) => number): Operator {
  return {
    layout: 'axis',
    infer: sameAsFirst,
    evaluate(node, inputs, { opset }) {
      const x = need(node, inputs, 0);
      const rank = x.shape.length;
      const axis = axisOf(node, number(node, 'axis', opset < 13 ? 1 : -1), rank);
      const axes = opset < 13 ? [...x.shape.keys()].slice(axis) : [axis];
      const { starts, steps } = groups(x.shape, axes);
      const from = numbers(x);
      const out = new Float64Array(from.length);
      for (const start of starts) {
        let most = -Infinity;
        for (const step of steps) most = Math.max(most, from[start + step]);
        let total = 0;
        for (const step of steps) total += Math.exp(from[start + step] - most);
        for (const step of steps) out[start + step] = finish(from[start + step], most, total);
      }
      return [fromNumbers(x.dtype, x.shape, out)];
    },
  };
}

/** Normalizes over all axes from `axis` on; further outputs are the mean and the inverse deviation. */
const layerNormalization: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const { dtype, shape } = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', -1), shape.length);
    const kept = shape.map((size, i) => (i < axis ? size : 1));
    return node.outputs.map((_, i) => (i === 0 ? { dtype, shape } : { dtype: 'float32', shape: kept }));
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', -1), x.shape.length);
    const epsilon = number(node, 'epsilon', 1e-5);
    const scale = numbers(need(node, inputs, 1));
    const shift = inputs[2] ? numbers(inputs[2]) : null;
    const planes = sizeOf(x.shape.slice(0, axis));
    const length = sizeOf(x.shape.slice(axis));
    const y = normalizedPlanes(x, planes, epsilon, () => (i) => [
      scale[i % scale.length],
      shift?.[i % shift.length] ?? 0,
    ]);
    const from = numbers(x);
    const [means, inverses] = [new Float64Array(planes), new Float64Array(planes)];
    for (let plane = 0; plane < planes; plane++) {
      const values = Float64Array.from({ length }, (_, i) => from[plane * length + i]);
      means[plane] = sum(values) / length;
      inverses[plane] = 1 / Math.sqrt(sum(values, (v) => (v - means[plane]) ** 2) / length + epsilon);
    }
    const kept = x.shape.map((size, i) => (i < axis ? size : 1));
    return [y, fromNumbers('float32', kept, means), fromNumbers('float32', kept, inverses)];
  },
};

/** x / sqrt(mean of x² + epsilon), over all axes from `axis` on; the scale broadcasts. */
const rmsNormalization: Operator = {
  layout: 'fixed',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const [x, scale] = [need(node, inputs, 0), need(node, inputs, 1)];
    const axis = axisOf(node, number(node, 'axis', -1), x.shape.length);
    const epsilon = number(node, 'epsilon', 1e-5);
    const length = sizeOf(x.shape.slice(axis));
    const factor = spread(scale, x.shape);
    const out = Float64Array.from(numbers(x));
    for (let start = 0; start < out.length; start += length) {
      const values = out.subarray(start, start + length);
      const root = Math.sqrt(sum(values, (v) => v * v) / length + epsilon);
      values.forEach((value, i) => {
        values[i] = (value / root) * factor(start + i);
      });
    }
    return [fromNumbers(x.dtype, x.shape, out)];
  },
};

/** Divides by the norm along one axis: p 1 or 2. A norm of 0 leaves zeros. */
const lpNormalization: Operator = {
  layout: 'axis',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const axis = axisOf(node, number(node, 'axis', -1), x.shape.length);
    const absolute = number(node, 'p', 2) === 1;
    const { starts, steps } = groups(x.shape, [axis]);
    const from = numbers(x);
    const out = new Float64Array(from.length);
    for (const start of starts) {
      let total = 0;
      for (const step of steps) total += absolute ? Math.abs(from[start + step]) : from[start + step] ** 2;
      const norm = absolute ? total : Math.sqrt(total);
      for (const step of steps) out[start + step] = norm === 0 ? 0 : from[start + step] / norm;
    }
    return [fromNumbers(x.dtype, x.shape, out)];
  },
};

export const REDUCTIONS: Readonly<Record<string, Operator>> = {
  ReduceL1: reduction((values) => sum(values, Math.abs)),
  ReduceL2: reduction((values) => Math.sqrt(sum(values, (x) => x * x))),
  ReduceLogSum: reduction((values) => Math.log(sum(values))),
  ReduceLogSumExp: reduction(logSumExp),
  ReduceMax: reduction((values) => values.reduce((a, b) => Math.max(a, b), -Infinity)),
  ReduceMean: reduction((values) => sum(values) / values.length),
  ReduceMin: reduction((values) => values.reduce((a, b) => Math.min(a, b), Infinity)),
  ReduceProd: reduction((values) => values.reduce((product, x) => product * x, 1)),
  ReduceSum: reduction((values) => sum(values)),
  ReduceSumSquare: reduction((values) => sum(values, (x) => x * x)),
  ArgMax: extreme((a, b) => a > b),
  ArgMin: extreme((a, b) => a < b),
  Softmax: softmax((x, most, total) => Math.exp(x - most) / total),
  LogSoftmax: softmax((x, most, total) => x - most - Math.log(total)),
  LayerNormalization: layerNormalization,
  RMSNormalization: rmsNormalization,
  LpNormalization: lpNormalization,
};
