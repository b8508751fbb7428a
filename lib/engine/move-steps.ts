import type { Node } from '../graph/graph.ts';
import type { StepMaker } from './float-steps.ts';
import type { PlanBuilder } from './plan.ts';
import type { Slot } from './storage.ts';
import {
  copyStrided,
  type Elements,
  interleave,
  type StridedCopy,
  simplify,
  stridesOf,
} from './strided-copy.ts';

/** Operators that only move values: floats and quantized values alike, except Concat, which is for floats. */
export const moveSteps: Readonly<Record<string, StepMaker>> = {
  Flatten: view,
  Reshape: view,
  Squeeze: view,
  Unsqueeze: view,
  Identity: view,
  Transpose: transpose,
  Slice: slice,
  Pad: pad,
  Concat: concatenate,
};

/** A node that moves reads its input as it is stored; one that runs in float (padding with ones) reads floats. */
function input0(plan: PlanBuilder, node: Node): Slot | null {
  const name = node.inputs[0];
  return plan.model.execution(node) === 'move' ? plan.slot(name) : plan.float(name);
}

/** The same elements under another shape: no copy. */
function view(plan: PlanBuilder, node: Node): boolean {
  const x = input0(plan, node);
  if (!x || !plan.shape(node.outputs[0])) return false;
  plan.define(node.outputs[0], x);
  return true;
}

/** Emits copies from one slot to another, which is filled with `fill` first if given. */
export function emitCopies(
  plan: PlanBuilder,
  from: Slot,
  to: Slot,
  copies: readonly StridedCopy[],
  fill: number | null = null,
): void {
  const { kernels } = plan;
  const simple = copies.map(simplify);
  const filler: Elements | null =
    fill === null ? null : to.dtype === 'uint8' ? Uint8Array.of(fill) : Float32Array.of(fill);
  plan.emit([from, to], () => {
    if (filler) kernels.copyPlane(filler, to.data, 1, to.length, 0, 0, 0, 0, 0, 1);
    for (const copy of simple) copyStrided(kernels, from.data, to.data, copy);
  });
}

function transpose(plan: PlanBuilder, node: Node): boolean {
  const x = input0(plan, node);
  const shape = plan.shape(node.inputs[0]);
  if (!x || !shape) return false;
  const perm = node.attributes['perm'] as readonly number[];
  const moved = perm.filter((axis) => shape[axis] !== 1);
  if (moved.every((axis, i) => i === 0 || moved[i - 1] < axis)) return view(plan, node);
  const y = plan.outputLike(x, node);
  const toChannelsLast =
    perm[0] === 0 &&
    perm.at(-1) === 1 &&
    perm.every((axis, i) => i < 1 || axis === i + 1 || i === perm.length - 1);
  if (toChannelsLast) {
    const [batch, channels] = shape;
    const pixels = x.length / Math.max(1, batch * channels);
    plan.emit([x, y], () => interleave(plan.kernels, x.data, y.data, batch, channels, pixels));
    return true;
  }
  const strides = stridesOf(shape);
  const to = perm.map((axis) => shape[axis]);
  emitCopies(plan, x, y, [
    {
      shape: to,
      fromOffset: 0,
      fromStrides: perm.map((axis) => strides[axis]),
      toOffset: 0,
      toStrides: stridesOf(to),
    },
  ]);
  return true;
}

/** A constant list of whole numbers among the inputs; null if absent, undefined if not constant. */
function constantInts(plan: PlanBuilder, name: string | undefined): number[] | null | undefined {
  if (!name) return null;
  const tensor = plan.constant(name);
  return tensor && Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}

function slice(plan: PlanBuilder, node: Node): boolean {
  const x = input0(plan, node);
  const [input, output] = [plan.shape(node.inputs[0]), plan.shape(node.outputs[0])];
  const listed = node.inputs.slice(1).map((name) => constantInts(plan, name));
  if (!x || !input || !output || listed.length < 2 || listed.includes(undefined)) return false;
  const [starts, , axes, steps] = listed;
  const fromStrides = stridesOf(input);
  let fromOffset = 0;
  (axes ?? starts!.map((_, i) => i)).forEach((given, i) => {
    const axis = given < 0 ? given + input.length : given;
    const step = steps?.[i] ?? 1;
    const length = input[axis];
    const start = starts![i] < 0 ? starts![i] + length : starts![i];
    fromOffset += Math.min(Math.max(start, 0), step < 0 ? length - 1 : length) * fromStrides[axis];
    fromStrides[axis] *= step;
  });
  const y = plan.outputLike(x, node);
  emitCopies(plan, x, y, [
    { shape: output, fromOffset, fromStrides, toOffset: 0, toStrides: stridesOf(output) },
  ]);
  return true;
}

/** Constant padding, cropping where pads are negative; quantized zeros are the zero point. */
function pad(plan: PlanBuilder, node: Node): boolean {
  const x = input0(plan, node);
  const [input, output] = [plan.shape(node.inputs[0]), plan.shape(node.outputs[0])];
  const pads = node.attributes['pads'] as readonly number[] | undefined;
  if (!x || !input || !output || !pads || node.attributes['mode'] !== 'constant') return false;
  const value = node.attributes['value'] as number;
  const fill = x.dtype === 'uint8' ? plan.quantizer(node.inputs[0])!.zeroPoint : value;
  const [fromStrides, toStrides] = [stridesOf(input), stridesOf(output)];
  let [fromOffset, toOffset] = [0, 0];
  const shape = input.map((length, axis) => {
    const [before, after] = [pads[axis], pads[axis + input.length]];
    fromOffset += Math.max(0, -before) * fromStrides[axis];
    toOffset += Math.max(0, before) * toStrides[axis];
    return Math.max(0, length + Math.min(0, before) + Math.min(0, after));
  });
  const y = plan.outputLike(x, node);
  emitCopies(plan, x, y, [{ shape, fromOffset, fromStrides, toOffset, toStrides }], fill);
  return true;
}

/** Copies inputs of a float Concat side by side. */
function concatenate(plan: PlanBuilder, node: Node): boolean {
  const output = plan.shape(node.outputs[0]);
  const slots = node.inputs.map((name) => plan.float(name));
  if (!output || slots.includes(null)) return false;
  const y = plan.floatOutput(node);
  emitParts(plan, node, slots as Slot[], y);
  return true;
}

/** One copy per part of a concatenation along the node's axis. */
export function emitParts(plan: PlanBuilder, node: Node, parts: readonly Slot[], to: Slot): void {
  const output = plan.shape(node.outputs[0])!;
  const axis = node.attributes['axis'] as number;
  const inner = output.slice(axis + 1).reduce((product, length) => product * length, 1);
  const rows = output.slice(0, axis).reduce((product, length) => product * length, 1);
  const toRow = output[axis] * inner;
  let toOffset = 0;
  parts.forEach((from, i) => {
    const fromRow = plan.shape(node.inputs[i])![axis] * inner;
    emitCopies(plan, from, to, [
      { shape: [rows, fromRow], fromOffset: 0, fromStrides: [fromRow, 1], toOffset, toStrides: [toRow, 1] },
    ]);
    toOffset += fromRow;
  });
}
