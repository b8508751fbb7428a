import type { Node } from '../graph.ts';
import { sizeOf } from '../tensors.ts';
import { ints, misfit, number, text } from './operator.ts';

/** Geometry of a convolution or pool over any number of spatial axes. */
export interface Window {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  /** Before each axis, then after each. */
  pads: readonly number[];
  /** Spatial sizes. */
  input: readonly number[];
  output: readonly number[];
}

/** Reads a node's window; `input` and `kernel` are spatial sizes. auto_pad is resolved. */
export function windowOf(node: Node, input: readonly number[], kernel: readonly number[]): Window {
  const rank = input.length;
  const ones = new Array<number>(rank).fill(1);
  const strides = ints(node, 'strides') ?? ones;
  const dilations = ints(node, 'dilations') ?? ones;
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis] + 1);
  const pads = padsOf(node, input, strides, reach);
  checkLength(node, 'kernel sizes', kernel, rank, isPositive);
  checkLength(node, 'strides', strides, rank, isPositive);
  checkLength(node, 'dilations', dilations, rank, isPositive);
  checkLength(node, 'pads', pads, 2 * rank, () => true);
  const ceil = number(node, 'ceil_mode', 0) === 1;
  const output = input.map((size, axis) => {
    const span = size + pads[axis] + pads[axis + rank] - reach[axis];
    let steps = (ceil ? Math.ceil : Math.floor)(span / strides[axis]);
    // A last window that would start in the padding behind is left out, as later operator sets say.
    if (ceil && steps * strides[axis] >= size + pads[axis]) steps--;
    return steps + 1;
  });
  if (output.some((size) => size < 1))
    misfit(node, 'an input at least as large as the kernel', `spatial sizes [${input.join(', ')}]`);
  return { kernel, strides, dilations, pads, input, output };
}

const isPositive = (value: number) => value > 0;

function checkLength(
  node: Node,
  name: string,
  values: readonly number[],
  length: number,
  holds: (value: number) => boolean,
): void {
  if (values.length !== length || !values.every(holds))
    misfit(node, `${length} ${name}`, `[${values.join(', ')}]`);
}

function padsOf(
  node: Node,
  input: readonly number[],
  strides: readonly number[],
  reach: readonly number[],
): readonly number[] {
  const mode = text(node, 'auto_pad', 'NOTSET');
  const none = new Array<number>(2 * input.length).fill(0);
  if (mode === 'NOTSET' || mode === '') return ints(node, 'pads') ?? none;
  if (mode === 'VALID') return none;
  if (mode !== 'SAME_UPPER' && mode !== 'SAME_LOWER')
    misfit(node, 'auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER', mode);
  const total = input.map((size, axis) =>
    Math.max(0, (Math.ceil(size / strides[axis]) - 1) * strides[axis] + reach[axis] - size),
  );
  const small = total.map((sum) => Math.floor(sum / 2));
  const large = total.map((sum, axis) => sum - small[axis]);
  return mode === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small];
}

/** [output positions][taps]: the input position under each tap, -1 in the padding. */
export function windowTable({ kernel, strides, dilations, pads, input, output }: Window): Int32Array {
  const taps = sizeOf(kernel);
  const positions = sizeOf(output);
  const table = new Int32Array(positions * taps);
  const at = output.map(() => 0);
  const tap = kernel.map(() => 0);
  for (let position = 0; position < positions; position++) {
    for (let t = 0; t < taps; t++) {
      let index = 0;
      for (let axis = 0; axis < input.length && index >= 0; axis++) {
        const place = at[axis] * strides[axis] - pads[axis] + tap[axis] * dilations[axis];
        index = place < 0 || place >= input[axis] ? -1 : index * input[axis] + place;
      }
      table[position * taps + t] = index;
      step(tap, kernel);
    }
    step(at, output);
  }
  return table;
}

/** The next coordinate in row-major order. */
function step(at: number[], shape: readonly number[]): void {
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (++at[axis] < shape[axis]) return;
    at[axis] = 0;
  }
}
