import type { Node } from '../graph/graph.ts';
import { roundHalfEven } from '../kernels/math.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import type { StepMaker } from './float-steps.ts';
import { clampOf, weightsShape, windowShape } from './geometry.ts';
import { emitParts } from './move-steps.ts';
import type { PlanBuilder } from './plan.ts';
import { type ByteSlot, byteSlot, floatSlot, sizeOf } from './storage.ts';

const { fround } = Math;
/** Every value of a byte. */
const BYTES = 256;

/**
 * Operators that compute with integers; the caller has checked that all their data inputs are quantized, and
 * their output too unless it is a Conv or Linear. Orders of operations are onnxruntime's.
 */
export const integerSteps: Readonly<Record<string, StepMaker>> = {
  Conv: product,
  Linear: product,
  Add: add,
  Concat: concatenate,
  AveragePool: averagePool,
  GlobalAveragePool: globalAverage,
  Relu: table,
  Clip: table,
  MaxPool: maxPool,
};

/**
 * The output's integer range with a fused activation in it: quantizing is monotone, so clamping to the quantized
 * ends is the same as clamping before quantizing.
 */
export function outputRange(
  quantizer: Quantizer,
  clamp: readonly [low: number, high: number],
): { low: number; high: number } {
  const ends = clamp.map((end) => quantizeOne(end, quantizer));
  return { low: ends[0], high: Math.max(ends[0], ends[1]) };
}

function quantizeOne(x: number, { scale, zeroPoint, low, high }: Quantizer): number {
  const level = roundHalfEven(fround(fround(x) / fround(scale))) + zeroPoint;
  return Math.min(Math.max(level, low), high);
}

/**
 * q' = quantize(clamp(dequantize(q))): a fused or separate activation, or another scale. QLinearConcat of
 * onnxruntime makes the same table.
 */
function conversion(from: Quantizer, to: Quantizer, [low, high]: readonly [number, number]): Uint8Array {
  return Uint8Array.from({ length: BYTES }, (_, q) => {
    const x = fround((q - from.zeroPoint) * fround(from.scale));
    return quantizeOne(Math.min(Math.max(x, low), high), to);
  });
}

const sameQuantizer = (a: Quantizer, b: Quantizer) =>
  a.scale === b.scale && a.zeroPoint === b.zeroPoint && a.low >= b.low && a.high <= b.high;

const NO_CLAMP = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;

function bytes(plan: PlanBuilder, name: string): ByteSlot {
  return plan.slot(name) as ByteSlot;
}

/**
 * Conv and Linear: int32 sums with the bias in them, y = clamp(rne(fl(fl(sum)*m)) + zo) with m = fl(fl(sa*sw)/so).
 * Without an output quantizer, y = fl(fl(sum)*fl(sa*sw)) in float, then the float clamp.
 */
function product(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const weights = plan.model.integerWeights(node)!;
  const [input, output] = [plan.shape(node.inputs[0])!, plan.shape(node.outputs[0])!];
  const kernel = plan.shape(node.inputs[1])!;
  const shape =
    node.op === 'Conv'
      ? windowShape(node, input, output, kernel.slice(1, -1), weightsShape(node, kernel, 8).groups)!
      : null;
  const x = bytes(plan, node.inputs[0]);
  const rows = x.length / kernel[kernel.length - 1];
  const { zeroPoint } = plan.quantizer(node.inputs[0])!;
  const quantizer = plan.quantizer(node.outputs[0]);
  const clamp = clampOf(node);
  const range = quantizer ? outputRange(quantizer, clamp) : { low: 0, high: 0 };
  const y = quantizer ? plan.byteOutput(node) : plan.floatOutput(node);
  const [outZero, low, high] = [quantizer?.zeroPoint ?? 0, range.low, range.high];
  plan.emit(
    [x, y],
    shape
      ? () => {
          const { packed, shape: form, bias, multipliers } = weights;
          kernels.conv(x.data, packed, form, shape, zeroPoint, bias, multipliers, outZero, low, high, y.data);
        }
      : () => {
          const { packed, shape: form, bias, multipliers } = weights;
          kernels.gemm(x.data, packed, form, rows, zeroPoint, bias, multipliers, outZero, low, high, y.data);
        },
  );
  if (y.dtype === 'float32' && clamp.some(Number.isFinite))
    plan.emit([y], () => kernels.clamp(y.data, clamp[0], clamp[1], y.data));
  return true;
}

/** QLinearAdd: the order of operations stands at `quantizedAdd` of the kernels. */
function add(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const [a, b] = node.inputs.map((name) => bytes(plan, name));
  const [qa, qb] = node.inputs.map((name) => plan.quantizer(name)!);
  const to = plan.quantizer(node.outputs[0])!;
  const { low, high } = outputRange(to, clampOf(node));
  const y = plan.byteOutput(node);
  plan.emit([a, b, y], () =>
    kernels.quantizedAdd(
      a.data,
      qa.scale,
      qa.zeroPoint,
      b.data,
      qb.scale,
      qb.zeroPoint,
      to.scale,
      to.zeroPoint,
      low,
      high,
      y.data,
    ),
  );
  return true;
}

/** QLinearConcat: every input through its table, unless it has the output's scale already. */
function concatenate(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const to = plan.quantizer(node.outputs[0])!;
  const inputs = node.inputs.map((name) => bytes(plan, name));
  const distinct = new Set(inputs).size === inputs.length;
  const parts = inputs.map((x, i) => {
    const name = node.inputs[i];
    const from = plan.quantizer(name)!;
    if (sameQuantizer(from, to)) return x;
    const levels = conversion(from, to, NO_CLAMP);
    const converted = distinct && plan.dies(x, node) ? x : byteSlot(x.length);
    plan.emit([x, converted], () => kernels.lookup(x.data, levels, converted.data));
    return converted;
  });
  emitParts(plan, node, parts, plan.byteOutput(node));
  return true;
}

/** Relu and Clip that stand alone. */
function table(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const clamp = node.op === 'Relu' ? ([0, Number.POSITIVE_INFINITY] as const) : clampOf(node);
  if (node.op === 'Clip' && node.attributes['clamp'] === undefined) return false;
  const x = bytes(plan, node.inputs[0]);
  const levels = conversion(plan.quantizer(node.inputs[0])!, plan.quantizer(node.outputs[0])!, clamp);
  const y = plan.byteOutput(node, 0, x);
  plan.emit([x, y], () => kernels.lookup(x.data, levels, y.data));
  return true;
}

function pooled(plan: PlanBuilder, node: Node) {
  const [input, output] = [plan.shape(node.inputs[0])!, plan.shape(node.outputs[0])!];
  const kernel = node.attributes['kernel_shape'] as readonly number[];
  return windowShape(node, input, output, kernel, input[input.length - 1]);
}

function maxPool(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const shape = pooled(plan, node);
  if (!shape || node.outputs.length > 1) return false;
  const x = bytes(plan, node.inputs[0]);
  const y = plan.byteOutput(node);
  plan.emit([x, y], () => kernels.quantizedMaxPool(x.data, shape, y.data));
  return true;
}

/** QLinearAveragePool: dequantized by value, averaged in float (taps row by row, one division), quantized. */
function averagePool(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const shape = pooled(plan, node);
  const countPadding = node.attributes['count_include_pad'] === 1;
  if (!shape || (countPadding && node.attributes['ceil_mode'] === 1)) return false;
  const x = plan.float(node.inputs[0])!;
  const average = floatSlot(sizeOf(plan.shape(node.outputs[0])!));
  plan.emit([x, average], () => kernels.averagePool(x.data, shape, countPadding, average.data));
  plan.quantize(average, plan.quantizer(node.outputs[0])!, plan.byteOutput(node));
  return true;
}

/** QLinearGlobalAveragePool: int32 sums, multiplier fl(sa / fl(so * pixels)). */
function globalAverage(plan: PlanBuilder, node: Node): boolean {
  const { kernels } = plan;
  const input = plan.shape(node.inputs[0])!;
  const channels = input[input.length - 1];
  const pixels = sizeOf(input.slice(1, -1));
  const [from, to] = [plan.quantizer(node.inputs[0])!, plan.quantizer(node.outputs[0])!];
  const multiplier = fround(fround(from.scale) / fround(fround(to.scale) * pixels));
  const x = bytes(plan, node.inputs[0]);
  const y = plan.byteOutput(node);
  plan.emit([x, y], () =>
    kernels.quantizedGlobalAverage(
      x.data,
      input[0],
      channels,
      from.zeroPoint,
      multiplier,
      to.zeroPoint,
      to.low,
      to.high,
      y.data,
    ),
  );
  return true;
}
