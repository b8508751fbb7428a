import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, int64Tensor, numbers, sizeOf } from '../tensors.ts';
import { ints, misfit, need, number, type Operator, sameAsFirst } from './operator.ts';
import { type Window, windowOf, windowTable } from './window.ts';

function poolOf(node: Node, x: readonly number[]): Window {
  const kernel = ints(node, 'kernel_shape');
  if (x.length < 3 || !kernel)
    misfit(node, 'a kernel_shape and an input of rank 3 or more', `[${x.join(', ')}]`);
  return windowOf(node, x.slice(2), kernel);
}

const inferPool: Operator['infer'] = (node, inputs) => {
  const { dtype, shape } = need(node, inputs, 0);
  const pooled = { dtype, shape: [shape[0], shape[1], ...poolOf(node, shape).output] };
  return node.outputs.length > 1 ? [pooled, { dtype: 'int64', shape: pooled.shape }] : [pooled];
};

/** The second output holds each maximum's place in the flat input. */
const maxPool: Operator = {
  layout: 'spatial',
  infer: inferPool,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const window = poolOf(node, x.shape);
    const table = windowTable(window);
    const [taps, positions, inner] = [sizeOf(window.kernel), sizeOf(window.output), sizeOf(window.input)];
    const from = numbers(x);
    const planes = x.shape[0] * x.shape[1];
    const out = new Float64Array(planes * positions);
    const places = new Array<number>(out.length).fill(0);
    for (let i = 0; i < out.length; i++) {
      const plane = Math.floor(i / positions) * inner;
      const row = (i % positions) * taps;
      let best = -Infinity;
      for (let t = 0; t < taps; t++) {
        const at = table[row + t];
        if (at >= 0 && from[plane + at] > best) {
          best = from[plane + at];
          places[i] = plane + at;
        }
      }
      out[i] = best;
    }
    const shape = [x.shape[0], x.shape[1], ...window.output];
    const pooled = fromNumbers(x.dtype, shape, out);
    if (node.outputs.length < 2) return [pooled];
    return [pooled, int64Tensor(columnMajor(node, places, window.input), shape)];
  },
};

/** storage_order 1 numbers the places of two spatial axes column by column. */
function columnMajor(node: Node, places: number[], input: readonly number[]): number[] {
  if (number(node, 'storage_order', 0) === 0 || input.length !== 2) return places;
  const [height, width] = input;
  return places.map((place) => {
    const at = place % (height * width);
    return place - at + (at % width) * height + Math.floor(at / width);
  });
}

const averagePool: Operator = {
  layout: 'spatial',
  infer: inferPool,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const window = poolOf(node, x.shape);
    const table = windowTable(window);
    const counts = number(node, 'count_include_pad', 0) === 1 ? paddedCounts(window) : null;
    const [taps, positions, inner] = [sizeOf(window.kernel), sizeOf(window.output), sizeOf(window.input)];
    const from = numbers(x);
    const out = new Float64Array(x.shape[0] * x.shape[1] * positions);
    for (let i = 0; i < out.length; i++) {
      const plane = Math.floor(i / positions) * inner;
      const row = (i % positions) * taps;
      let [sum, count] = [0, 0];
      for (let t = 0; t < taps; t++) {
        const at = table[row + t];
        if (at < 0) continue;
        sum += from[plane + at];
        count++;
      }
      out[i] = sum / (counts ? counts[i % positions] : count);
    }
    return [fromNumbers(x.dtype, [x.shape[0], x.shape[1], ...window.output], out)];
  },
};

/** Taps of each window that lie in the input or its padding: the input, padding included, as an image of its own. */
function paddedCounts(window: Window): number[] {
  const { input, pads, kernel, output } = window;
  const rank = input.length;
  const table = windowTable({
    ...window,
    input: input.map((size, axis) => size + pads[axis] + pads[axis + rank]),
    pads: pads.map(() => 0),
  });
  const taps = sizeOf(kernel);
  return Array.from(
    { length: sizeOf(output) },
    (_, position) => table.subarray(position * taps, (position + 1) * taps).filter((at) => at >= 0).length,
  );
}

/** All spatial axes to one place. */
function global(reduce: (plane: Float64Array) => number): Operator {
  return {
    layout: 'spatial',
    infer(node, inputs) {
      const { dtype, shape } = need(node, inputs, 0);
      return [{ dtype, shape: [...shape.slice(0, 2), ...shape.slice(2).map(() => 1)] }];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const inner = sizeOf(x.shape.slice(2));
      const from = Float64Array.from(numbers(x));
      const out = new Float64Array(sizeOf(x.shape.slice(0, 2)));
      for (let i = 0; i < out.length; i++) out[i] = reduce(from.subarray(i * inner, (i + 1) * inner));
      return [fromNumbers(x.dtype, [...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)], out)];
    },
  };
}

/** Per channel: scale * (x - mean) / sqrt(variance + epsilon) + shift. */
const batchNormalization: Operator = {
  layout: 'spatial',
  infer(node, inputs) {
    const { dtype, shape } = need(node, inputs, 0);
    const statistics = inputs[3] ? { dtype: inputs[3].dtype, shape: inputs[3].shape } : null;
    return node.outputs.map((_, i) => (i === 0 ? { dtype, shape } : statistics));
  },
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const [scale, shift, mean, variance] = [1, 2, 3, 4].map((i) => numbers(need(node, inputs, i)));
    const epsilon = number(node, 'epsilon', 1e-5);
    const training = number(node, 'training_mode', 0) === 1;
    const channels = x.shape[1] ?? 1;
    const inner = sizeOf(x.shape.slice(2));
    const from = numbers(x);
    const [means, variances] = training ? channelMoments(from, channels, inner) : [mean, variance];
    const out = new Float64Array(from.length);
    for (let i = 0; i < out.length; i++) {
      const c = Math.floor(i / inner) % channels;
      out[i] = (scale[c] * (from[i] - means[c])) / Math.sqrt(variances[c] + epsilon) + shift[c];
    }
    const y = fromNumbers(x.dtype, x.shape, out);
    if (!training) return [y];
    const momentum = number(node, 'momentum', 0.9);
    const running = [mean, variance].map((old, which) =>
      fromNumbers(
        need(node, inputs, 3).dtype,
        [channels],
        Float64Array.from({ length: channels }, (_, c) => {
          const seen = (which === 0 ? means : variances)[c];
          return old[c] * momentum + seen * (1 - momentum);
        }),
      ),
    );
    return [y, ...running];
  },
};

function channelMoments(x: ArrayLike<number>, channels: number, inner: number): [Float64Array, Float64Array] {
  const [means, variances] = [new Float64Array(channels), new Float64Array(channels)];
  const count = x.length / channels;
  const channel = (i: number) => Math.floor(i / inner) % channels;
  for (let i = 0; i < x.length; i++) means[channel(i)] += x[i] / count;
  for (let i = 0; i < x.length; i++) variances[channel(i)] += (x[i] - means[channel(i)]) ** 2 / count;
  return [means, variances];
}

const instanceNormalization: Operator = {
  layout: 'spatial',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const [scale, shift] = [numbers(need(node, inputs, 1)), numbers(need(node, inputs, 2))];
    return [
      normalizedPlanes(x, sizeOf(x.shape.slice(0, 2)), number(node, 'epsilon', 1e-5), (plane) => {
        const c = plane % x.shape[1];
        return () => [scale[c], shift[c]];
      }),
    ];
  },
};

/** Opset 18: scale and shift per group; 21: per channel. Told apart by their length. */
const groupNormalization: Operator = {
  layout: 'spatial',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const [scale, shift] = [numbers(need(node, inputs, 1)), numbers(need(node, inputs, 2))];
    const groups = number(node, 'num_groups', 1);
    const inner = sizeOf(x.shape.slice(2));
    const perGroup = x.shape[1] / groups;
    return [
      normalizedPlanes(x, x.shape[0] * groups, number(node, 'epsilon', 1e-5), (plane) => (i) => {
        const group = plane % groups;
        const at = scale.length === groups ? group : group * perGroup + Math.floor(i / inner);
        return [scale[at], shift[at]];
      }),
    ];
  },
};

/** Splits x into equal stretches and normalizes each by its own mean and variance. */
export function normalizedPlanes(
  x: Tensor,
  planes: number,
  epsilon: number,
  affine: (plane: number) => (i: number) => readonly [number, number],
): Tensor {
  const from = numbers(x);
  const length = from.length / Math.max(1, planes);
  const out = new Float64Array(from.length);
  for (let plane = 0; plane < planes; plane++) {
    const start = plane * length;
    let [mean, variance] = [0, 0];
    for (let i = 0; i < length; i++) mean += from[start + i] / length;
    for (let i = 0; i < length; i++) variance += (from[start + i] - mean) ** 2 / length;
    const inverse = 1 / Math.sqrt(variance + epsilon);
    const at = affine(plane);
    for (let i = 0; i < length; i++) {
      const [scale, shift] = at(i);
      out[start + i] = (from[start + i] - mean) * inverse * scale + shift;
    }
  }
  return fromNumbers(x.dtype, x.shape, out);
}

/** Local response normalization across channels. */
const lrn: Operator = {
  layout: 'spatial',
  infer: sameAsFirst,
  evaluate(node, inputs) {
    const x = need(node, inputs, 0);
    const size = number(node, 'size', 1);
    const [alpha, beta, bias] = [
      number(node, 'alpha', 1e-4),
      number(node, 'beta', 0.75),
      number(node, 'bias', 1),
    ];
    const channels = x.shape[1];
    const inner = sizeOf(x.shape.slice(2));
    const from = numbers(x);
    const out = new Float64Array(from.length);
    for (let i = 0; i < out.length; i++) {
      const c = Math.floor(i / inner) % channels;
      let sum = 0;
      for (
        let other = Math.max(0, c - Math.floor((size - 1) / 2));
        other <= Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
        other++
      )
        sum += from[i + (other - c) * inner] ** 2;
      out[i] = from[i] / (bias + (alpha / size) * sum) ** beta;
    }
    return [fromNumbers(x.dtype, x.shape, out)];
  },
};

export const POOLS: Readonly<Record<string, Operator>> = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: global((plane) => plane.reduce((sum, x) => sum + x, 0) / plane.length),
  GlobalMaxPool: global((plane) => plane.reduce((most, x) => Math.max(most, x), -Infinity)),
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LRN: lrn,
};
