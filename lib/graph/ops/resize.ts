import type { Node, Tensor } from '../graph.ts';
import { fromNumbers, numbers, sizeOf } from '../tensors.ts';
import { roundEven } from './elementwise.ts';
import { stridesOf } from './indexing.ts';
import { axisOf, ints, type Known, misfit, need, number, type Operator, text } from './operator.ts';

/** One axis of a resize. */
interface Axis {
  from: number;
  to: number;
  scale: number;
  /** Region of interest, as fractions of the axis. */
  region: readonly [number, number];
}

/** Taps of one output place: input places and weights; no taps means the extrapolation value. */
interface Taps {
  places: number[];
  weights: number[];
}

/** Values of an input; undefined where it is absent or empty, null where it is not known yet. */
function values(input: Known | Tensor | null | undefined): number[] | undefined | null {
  if (!input) return undefined;
  const tensor = 'data' in input ? input : input.value;
  if (!tensor) return null;
  return tensor.data.length > 0 ? Array.from(numbers(tensor)) : undefined;
}

/** Inputs x, roi, scales, sizes (opset 11); x, scales before. Upsample: scales as input or attribute. */
function axesOf(
  node: Node,
  x: readonly number[],
  inputs: readonly (Known | Tensor | null)[],
  opset: number,
): Axis[] | null {
  const old = node.op === 'Upsample' || opset < 11;
  const roi = old ? undefined : values(inputs[1]);
  const scales = (node.attributes['scales'] as number[] | undefined) ?? values(inputs[old ? 1 : 2]);
  const sizes = old ? undefined : values(inputs[3]);
  if (scales === null || sizes === null || roi === null) return null;
  const chosen = ints(node, 'axes')?.map((axis) => axisOf(node, axis, x.length)) ?? [...x.keys()];
  const given = scales ?? sizes;
  if (!given || given.length !== chosen.length)
    misfit(node, `scales or sizes for ${chosen.length} axes`, String(given?.length ?? 'none'));
  const axes = x.map((from): Axis => ({ from, to: from, scale: 1, region: [0, 1] }));
  const kept = scales ? 1 : keptScale(node, chosen, x, sizes!);
  chosen.forEach((axis, i) => {
    const from = x[axis];
    const region: [number, number] = roi ? [roi[i], roi[i + chosen.length]] : [0, 1];
    const cropped = text(node, 'coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize';
    const span = cropped ? region[1] - region[0] : 1;
    const to = scales
      ? Math.floor(from * span * scales[i])
      : kept === null
        ? sizes![i]
        : Math.round(from * kept);
    axes[axis] = { from, to, scale: scales ? scales[i] : (kept ?? sizes![i] / from), region };
  });
  return axes;
}

/** The one scale of keep_aspect_ratio_policy (opset 18); null for `stretch`. */
function keptScale(
  node: Node,
  axes: readonly number[],
  x: readonly number[],
  sizes: readonly number[],
): number | null {
  const policy = text(node, 'keep_aspect_ratio_policy', 'stretch');
  if (policy === 'stretch') return null;
  const scales = axes.map((axis, i) => sizes[i] / x[axis]);
  return policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales);
}

/** Where an output place lies in the input. */
function coordinate(mode: string, { from, to, scale, region }: Axis, place: number): number {
  switch (mode) {
    case 'align_corners':
      // The exact length, which scales that are no fraction of it do not round.
      return from * scale > 1 ? (place * (from - 1)) / (from * scale - 1) : 0;
    case 'asymmetric':
      return place / scale;
    case 'pytorch_half_pixel':
      return to > 1 ? (place + 0.5) / scale - 0.5 : 0;
    case 'tf_half_pixel_for_nn':
      return (place + 0.5) / scale;
    case 'half_pixel_symmetric': {
      const adjustment = to / (scale * from);
      return (from / 2) * (1 - adjustment) + (place + 0.5) / scale - 0.5;
    }
    case 'tf_crop_and_resize': {
      const [start, end] = region;
      if (to > 1) return start * (from - 1) + (place * (end - start) * (from - 1)) / (to - 1);
      return 0.5 * (start + end) * (from - 1);
    }
    default:
      return (place + 0.5) / scale - 0.5;
  }
}

function nearest(mode: string, at: number): number {
  switch (mode) {
    case 'round_prefer_ceil':
      return Math.floor(at + 0.5);
    case 'floor':
      return Math.floor(at);
    case 'ceil':
      return Math.ceil(at);
    default:
      return Math.ceil(at - 0.5);
  }
}

/** Weight of a sample at distance d >= 0: Keys' kernel, which is 0 from 2 on. */
function cubic(d: number, a: number): number {
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/**
 * Places around `at` and their weights. antialias (opset 18) stretches the kernel over all the samples that a smaller
 * output stands for.
 */
function filtered(node: Node, at: number, { from, scale }: Axis): Taps {
  const cubes = text(node, 'mode', 'nearest') === 'cubic';
  const antialias = number(node, 'antialias', 0) === 1;
  // A kernel as wide as the input sees all of it.
  const shrink = antialias ? Math.min(1, Math.max(scale, 1 / from)) : 1;
  const a = number(node, 'cubic_coeff_a', -0.75);
  const floor = Math.floor(at);
  const first = Math.floor((cubes ? -2 : -1) / shrink) + 1;
  const places = Array.from({ length: 2 - 2 * first }, (_, i) => floor + first + i);
  const weights = places.map((place) => {
    const distance = Math.abs(place - at) * shrink;
    return cubes ? cubic(distance, a) : Math.max(0, 1 - distance);
  });
  return { places, weights: antialias ? normalized(weights) : weights };
}

/** Weights that sum to 1. */
function normalized(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function tapsOf(node: Node, axis: Axis, opset: number): Taps[] {
  const { from, to } = axis;
  const old = node.op === 'Upsample' || opset < 11;
  const mode = text(node, 'mode', 'nearest');
  const transformation = old ? 'asymmetric' : text(node, 'coordinate_transformation_mode', 'half_pixel');
  const rounding = old ? 'floor' : text(node, 'nearest_mode', 'round_prefer_floor');
  const inside = (place: number) => Math.min(from - 1, Math.max(0, place));
  return Array.from({ length: to }, (_, place): Taps => {
    // An axis that keeps its size is copied: rounding must not move it.
    if (axis.scale === 1 && to === from && transformation !== 'tf_crop_and_resize')
      return { places: [place], weights: [1] };
    const at = coordinate(transformation, axis, place);
    if (transformation === 'tf_crop_and_resize' && (at < 0 || at > from - 1))
      return { places: [], weights: [] };
    if (mode === 'nearest') return { places: [inside(nearest(rounding, at))], weights: [1] };
    const { places, weights } = filtered(node, at, axis);
    const excluded = number(node, 'exclude_outside', 0) === 1;
    return { places: places.map(inside), weights: excluded ? within(places, weights, from) : weights };
  });
}

/** Weights outside the input become 0 and the others sum to 1. */
function within(places: readonly number[], weights: readonly number[], from: number): number[] {
  return normalized(weights.map((weight, i) => (places[i] >= 0 && places[i] < from ? weight : 0)));
}

const resize: Operator = {
  layout: 'spatial',
  infer(node, inputs, { opset }) {
    const { dtype, shape } = need(node, inputs, 0);
    const axes = axesOf(node, shape, inputs, opset);
    return [axes && { dtype, shape: axes.map(({ to }) => to) }];
  },
  evaluate(node, inputs, { opset }) {
    const x = need(node, inputs, 0);
    const axes = axesOf(node, x.shape, inputs, opset) ?? misfit(node, 'scales or sizes', 'none');
    const outside = number(node, 'extrapolation_value', 0);
    const integer = !/float/.test(x.dtype);
    let [data, shape]: [ArrayLike<number>, number[]] = [numbers(x), [...x.shape]];
    const missing: Int8Array[] = [];
    for (const [axis, size] of axes.entries()) {
      const taps = tapsOf(node, size, opset);
      if (isCopy(taps, size.from)) {
        missing.push(new Int8Array(size.to));
        continue;
      }
      missing.push(Int8Array.from(taps, ({ places }) => (places.length === 0 ? 1 : 0)));
      data = resized(data, shape, axis, taps);
      shape = shape.with(axis, size.to);
    }
    if (missing.some((map) => map.includes(1))) data = extrapolated(data, shape, missing, outside);
    const out = integer ? Float64Array.from(data, roundEven) : data;
    return [fromNumbers(x.dtype, shape, out)];
  },
};

/** True where every place is its own single tap. */
function isCopy(taps: readonly Taps[], from: number): boolean {
  return (
    taps.length === from &&
    taps.every(({ places, weights }, i) => places.length === 1 && places[0] === i && weights[0] === 1)
  );
}

/** With `value` where any axis has no tap. */
function extrapolated(
  data: ArrayLike<number>,
  shape: readonly number[],
  missing: readonly Int8Array[],
  value: number,
): Float64Array {
  const strides = stridesOf(shape);
  return Float64Array.from(data, (inside, i) =>
    missing.some((map, axis) => map[Math.floor(i / strides[axis]) % shape[axis]] === 1) ? value : inside,
  );
}

/** One axis at a time: the kernels are separable. */
function resized(
  x: ArrayLike<number>,
  shape: readonly number[],
  axis: number,
  taps: readonly Taps[],
): Float64Array {
  const inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const out = new Float64Array(outer * taps.length * inner);
  for (let row = 0; row < outer; row++)
    taps.forEach(({ places, weights }, place) => {
      const to = (row * taps.length + place) * inner;
      places.forEach((at, tap) => {
        const from = (row * shape[axis] + at) * inner;
        for (let i = 0; i < inner; i++) out[to + i] += weights[tap] * x[from + i];
      });
    });
  return out;
}

export const RESIZES: Readonly<Record<string, Operator>> = { Resize: resize, Upsample: resize };
