import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, isFloat, numbers, sizeOf } from '../tensors.ts';
import { clampOf } from './elementwise.ts';
import { ints, type Known, misfit, need, number, type Operator, sameTypes, text } from './operator.ts';
import { type Window, windowOf, windowTable } from './window.ts';

/** Sizes of a convolution: x [batch][channels][...], w [outChannels][channels / groups][...kernel]. */
export interface Convolution {
  batch: number;
  channels: number;
  outChannels: number;
  groups: number;
  window: Window;
}

export function convolutionOf(node: Node, x: readonly number[], w: readonly number[]): Convolution {
  if (x.length < 3 || w.length !== x.length)
    misfit(node, `weights of rank ${Math.max(3, x.length)}`, `[${w.join(', ')}] for input [${x.join(', ')}]`);
  const groups = number(node, 'group', 1);
  const [outChannels, perGroup, ...kernel] = w;
  if (x[1] !== perGroup * groups || outChannels % groups !== 0)
    misfit(
      node,
      `weights for ${x[1]} channels in ${groups} groups`,
      `[${w.join(', ')}] for input [${x.join(', ')}]`,
    );
  const shape = ints(node, 'kernel_shape');
  if (shape && shape.join() !== kernel.join())
    misfit(node, `a kernel of [${shape.join(', ')}]`, `weights [${w.join(', ')}]`);
  return { batch: x[0], channels: x[1], outChannels, groups, window: windowOf(node, x.slice(2), kernel) };
}

/** Sums of x times w in float64 (integers of 8 bits stay exact), [batch][outChannels][positions]. */
export function convolve(
  { batch, channels, outChannels, groups, window }: Convolution,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
): Float64Array {
  const table = windowTable(window);
  const taps = sizeOf(window.kernel);
  const positions = sizeOf(window.output);
  const inner = sizeOf(window.input);
  const depth = channels / groups;
  const perGroup = outChannels / groups;
  const out = new Float64Array(batch * outChannels * positions);
  for (let row = 0; row < batch * outChannels; row++) {
    const oc = row % outChannels;
    const image = Math.floor(row / outChannels) * channels + Math.floor(oc / perGroup) * depth;
    for (let position = 0; position < positions; position++) {
      let sum = 0;
      for (let c = 0; c < depth; c++) {
        const from = (image + c) * inner;
        const weights = (oc * depth + c) * taps;
        for (let t = 0; t < taps; t++) {
          const at = table[position * taps + t];
          if (at >= 0) sum += x[from + at] * w[weights + t];
        }
      }
      out[row * positions + position] = sum;
    }
  }
  return out;
}

export function outputShape({ batch, outChannels, window }: Convolution): number[] {
  return [batch, outChannels, ...window.output];
}

/** Data and weights, floats of one type. */
function floatsOf(node: Node, inputs: readonly (Known | null)[]): [Known, Known] {
  const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
  sameTypes(node, inputs);
  if (!isFloat(x.dtype)) misfit(node, 'floats', x.dtype);
  return [x, w];
}

function checkBias(node: Node, bias: Known | null | undefined, channels: number): void {
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== channels))
    misfit(
      node,
      `a bias of shape [${channels}]`,
      `${JSON.stringify(node.inputs[2])} of shape [${bias.shape.join(', ')}]`,
    );
}

const conv: Operator = {
  layout: 'spatial',
  permuted: [0, 1],
  infer(node, inputs) {
    const [x, w] = floatsOf(node, inputs);
    const shape = outputShape(convolutionOf(node, x.shape, w.shape));
    checkBias(node, inputs[2], shape[1]);
    return [{ dtype: x.dtype, shape }];
  },
  evaluate(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
    const convolution = convolutionOf(node, x.shape, w.shape);
    const out = convolve(convolution, numbers(x), numbers(w));
    return [withBias(node, inputs[2] ?? null, out, x, outputShape(convolution))];
  },
};

/** out [batch][channels][...] plus a bias per channel, clamped. */
function withBias(
  node: Node,
  bias: Tensor | null,
  out: Float64Array,
  x: Tensor,
  shape: readonly number[],
): Tensor {
  const b = bias ? numbers(bias) : null;
  const [low, high] = clampOf(node);
  const inner = sizeOf(shape.slice(2));
  for (let i = 0; i < out.length; i++) {
    const sum = out[i] + (b ? b[Math.floor(i / inner) % shape[1]] : 0);
    out[i] = Math.min(Math.max(sum, low), high);
  }
  return fromNumbers(x.dtype, shape, out);
}

interface Transposed {
  /** The window of the convolution whose gradient this is. */
  window: Window;
  shape: number[];
  groups: number;
}

/** w [channels][outChannels / groups][...kernel]. */
function transposedOf(node: Node, x: readonly number[], w: readonly number[]): Transposed {
  if (x.length < 3 || w.length !== x.length || w[0] !== x[1])
    misfit(node, 'weights that fit the input', `[${w.join(', ')}] for input [${x.join(', ')}]`);
  const rank = x.length - 2;
  const [kernel, sizes] = [w.slice(2), x.slice(2)];
  const groups = number(node, 'group', 1);
  const ones = new Array<number>(rank).fill(1);
  const strides = ints(node, 'strides') ?? ones;
  const dilations = ints(node, 'dilations') ?? ones;
  const extra = ints(node, 'output_padding') ?? new Array<number>(rank).fill(0);
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis] + 1);
  const full = sizes.map((size, axis) => (size - 1) * strides[axis] + reach[axis] + extra[axis]);
  const mode = text(node, 'auto_pad', 'NOTSET');
  const wanted =
    ints(node, 'output_shape')?.slice(-rank) ??
    (mode.startsWith('SAME') ? sizes.map((size, axis) => size * strides[axis]) : null);
  let pads = ints(node, 'pads') ?? new Array<number>(2 * rank).fill(0);
  if (wanted) {
    const total = full.map((size, axis) => Math.max(0, size - wanted[axis]));
    const small = total.map((sum) => Math.floor(sum / 2));
    const large = total.map((sum, axis) => sum - small[axis]);
    pads = mode === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small];
  }
  const output = wanted ?? full.map((size, axis) => size - pads[axis] - pads[axis + rank]);
  return {
    // What the convolution reads is what this writes: input and output change places.
    window: { kernel, strides, dilations, pads, input: output, output: sizes },
    shape: [x[0], w[1] * groups, ...output],
    groups,
  };
}

const convTranspose: Operator = {
  layout: 'spatial',
  infer(node, inputs) {
    const [x, w] = floatsOf(node, inputs);
    const { shape } = transposedOf(node, x.shape, w.shape);
    checkBias(node, inputs[2], shape[1]);
    return [{ dtype: x.dtype, shape }];
  },
  evaluate(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
    const { window, shape, groups } = transposedOf(node, x.shape, w.shape);
    const table = windowTable(window);
    const [taps, positions, inner] = [sizeOf(window.kernel), sizeOf(window.output), sizeOf(window.input)];
    const [channels, perGroup] = [x.shape[1], w.shape[1]];
    const depth = channels / groups;
    const [from, weights] = [numbers(x), numbers(w)];
    const out = new Float64Array(sizeOf(shape));
    for (let row = 0; row < x.shape[0] * channels; row++) {
      const c = row % channels;
      const image = Math.floor(row / channels) * perGroup * groups + Math.floor(c / depth) * perGroup;
      for (let o = 0; o < perGroup; o++)
        for (let position = 0; position < positions; position++)
          for (let t = 0; t < taps; t++) {
            const at = table[position * taps + t];
            if (at >= 0)
              out[(image + o) * inner + at] +=
                from[row * positions + position] * weights[(c * perGroup + o) * taps + t];
          }
    }
    return [withBias(node, inputs[2] ?? null, out, x, shape)];
  },
};

/** x [..., k] times w [n][k] transposed, plus bias. */
const linear: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const [x, w] = floatsOf(node, inputs);
    checkBias(node, inputs[2], w.shape[0]);
    return [{ dtype: x.dtype, shape: linearShape(node, x, w) }];
  },
  evaluate(node, inputs) {
    const [x, w] = [need(node, inputs, 0), need(node, inputs, 1)];
    const shape = linearShape(node, x, w);
    const [n, k] = w.shape;
    const [a, b] = [numbers(x), numbers(w)];
    const bias = inputs[2] ? numbers(inputs[2]) : null;
    const [low, high] = clampOf(node);
    const out = new Float64Array(sizeOf(shape));
    for (let i = 0; i < out.length; i++) {
      const [row, column] = [Math.floor(i / n) * k, (i % n) * k];
      let sum = bias ? bias[i % n] : 0;
      for (let j = 0; j < k; j++) sum += a[row + j] * b[column + j];
      out[i] = Math.min(Math.max(sum, low), high);
    }
    return [fromNumbers(x.dtype, shape, out)];
  },
};

function linearShape(node: Node, x: Known | Tensor, w: Known | Tensor): number[] {
  const k = x.shape[x.shape.length - 1];
  if (w.shape.length !== 2 || k !== w.shape[1])
    misfit(node, `${w.shape[1]} input features`, `shape [${x.shape.join(', ')}]`);
  return [...x.shape.slice(0, -1), w.shape[0]];
}

export const CONVOLUTIONS: Readonly<Record<string, Operator>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  Linear: linear,
};
