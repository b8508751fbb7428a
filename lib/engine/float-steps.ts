import type { Node } from '../graph/graph.ts';
import { clampOf, weightsShape, windowShape } from './geometry.ts';
import type { PlanBuilder } from './plan.ts';
import { byteSlot, sizeOf } from './storage.ts';

/** Adds the steps of a node; false where this form of the operator is left to its table row's `evaluate`. */
export type StepMaker = (plan: PlanBuilder, node: Node) => boolean;

/** Operators with a kernel, in float. */
export const floatSteps: Readonly<Record<string, StepMaker>> = {
  Conv: convolution,
  Linear: linear,
  Add: add,
  Relu: (plan, node) => clamp(plan, node, 0, Number.POSITIVE_INFINITY),
  Clip: (plan, node) => node.attributes['clamp'] !== undefined && clamp(plan, node, ...clampOf(node)),
  MaxPool: (plan, node) => pool(plan, node, 'max'),
  AveragePool: (plan, node) => pool(plan, node, 'average'),
  GlobalAveragePool: globalAverage,
};

function convolution(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const [x, w] = [plan.float(node.inputs[0]), plan.float(node.inputs[1])];
  const weights = plan.shape(node.inputs[1]);
  const [input, output] = [plan.shape(node.inputs[0]), plan.shape(node.outputs[0])];
  if (!x || !w || !weights || !input || !output) return false;
  const form = weightsShape(node, weights, 8);
  const shape = windowShape(node, input, output, weights.slice(1, -1), form.groups);
  if (!shape) return false;
  const [low, high] = clampOf(node);
  const packed = plan.model.floatWeights(node);
  if (packed) {
    const y = plan.floatOutput(node);
    plan.emit([x, y], () =>
      kernels.floatConv(x.data, packed.packed, form, shape, packed.bias, low, high, y.data),
    );
    return true;
  }
  const bias = node.inputs[2] ? plan.float(node.inputs[2]) : null;
  if (node.inputs[2] && !bias) return false;
  const panel = byteSlot(kernels.floatWeightsSize(form));
  const y = plan.floatOutput(node);
  plan.emit(bias ? [x, w, bias, panel, y] : [x, w, panel, y], () => {
    kernels.packFloatWeights(w.data, form, panel.data);
    kernels.floatConv(x.data, panel.data, form, shape, bias?.data ?? null, low, high, y.data);
  });
  return true;
}

function linear(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const packed = plan.model.floatWeights(node);
  const x = plan.float(node.inputs[0]);
  if (!packed || !x || !plan.shape(node.outputs[0])) return false;
  const { shape } = packed;
  const rows = x.length / shape.channels;
  const [low, high] = clampOf(node);
  const y = plan.floatOutput(node);
  plan.emit([x, y], () =>
    kernels.floatGemm(x.data, packed.packed, shape, rows, packed.bias, low, high, y.data),
  );
  return true;
}

function add(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const [a, b] = [plan.float(node.inputs[0]), plan.float(node.inputs[1])];
  const shapes = [...node.inputs, node.outputs[0]].map((name) => String(plan.shape(name)));
  if (!a || !b || shapes.some((shape) => shape !== shapes[0])) return false;
  const [low, high] = clampOf(node);
  const over = plan.dies(a, node) ? a : plan.dies(b, node) ? b : null;
  const y = plan.floatOutput(node, 0, over);
  plan.emit([a, b, y], () => kernels.add(a.data, b.data, low, high, y.data));
  return true;
}

function clamp(plan: PlanBuilder, node: Node, low: number, high: number): boolean {
  const { kernels } = plan;
  const x = plan.float(node.inputs[0]);
  if (!x || !plan.shape(node.outputs[0])) return false;
  const y = plan.floatOutput(node, 0, x);
  plan.emit([x, y], () => kernels.clamp(x.data, low, high, y.data));
  return true;
}

function pool(plan: PlanBuilder, node: Node, kind: 'max' | 'average'): boolean {
  const { kernels } = plan;
  const [input, output] = [plan.shape(node.inputs[0]), plan.shape(node.outputs[0])];
  if (!input || !output || node.outputs.length > 1) return false;
  const shape = windowShape(
    node,
    input,
    output,
    node.attributes['kernel_shape'] as readonly number[],
    input[input.length - 1],
  );
  // A window that ceil_mode pushes past the padding counts differently there.
  const countPadding = node.attributes['count_include_pad'] === 1;
  if (!shape || (countPadding && node.attributes['ceil_mode'] === 1)) return false;
  const x = plan.float(node.inputs[0]);
  if (!x) return false;
  const y = plan.floatOutput(node);
  plan.emit(
    [x, y],
    kind === 'max'
      ? () => kernels.maxPool(x.data, shape, y.data)
      : () => kernels.averagePool(x.data, shape, countPadding, y.data),
  );
  return true;
}

/** An average pool whose window is the whole picture: all spatial axes joined into one. */
function globalAverage(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const input = plan.shape(node.inputs[0]);
  if (!input || input.length < 3) return false;
  const x = plan.float(node.inputs[0]);
  if (!x) return false;
  const channels = input[input.length - 1];
  const pixels = sizeOf(input.slice(1, -1));
  const shape = {
    batch: input[0],
    inHeight: 1,
    inWidth: pixels,
    inChannels: channels,
    outHeight: 1,
    outWidth: 1,
    outChannels: channels,
    kernelHeight: 1,
    kernelWidth: pixels,
    strideHeight: 1,
    strideWidth: 1,
    dilationHeight: 1,
    dilationWidth: 1,
    padTop: 0,
    padLeft: 0,
    groups: channels,
  };
  const y = plan.floatOutput(node);
  plan.emit([x, y], () => kernels.averagePool(x.data, shape, false, y.data));
  return true;
}
