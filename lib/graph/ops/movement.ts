import type { Node, Tensor } from '../graph.ts';
import { sizeOf } from '../tensors.ts';
import { broadcastStrides, offsets, permute, range, stridesOf, take, transpose } from './indexing.ts';
import {
  axisOf,
  broadcast,
  ints,
  type Known,
  listInput,
  misfit,
  need,
  number,
  type Operator,
  text,
} from './operator.ts';

type Maybe = readonly (Known | Tensor | null)[];

/** A row that fills its one output from places of its first input; -1 stands for `fill`. */
function taking(
  layout: Operator['layout'],
  plan: (
    node: Node,
    x: readonly number[],
    inputs: Maybe,
  ) => { shape: number[]; at: () => ArrayLike<number> } | null,
  fill?: (node: Node, x: Tensor, inputs: readonly (Tensor | null)[]) => unknown,
): Operator {
  return {
    layout,
    infer(node, inputs) {
      const { dtype, shape } = need(node, inputs, 0);
      const planned = plan(node, shape, inputs);
      return [planned && { dtype, shape: planned.shape }];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const planned = plan(node, x.shape, inputs) ?? misfit(node, 'known sizes', 'none');
      return [take(x, planned.shape, planned.at(), fill?.(node, x, inputs))];
    },
  };
}

const transposeRow = taking('axis', (node, x) => {
  const perm = ints(node, 'perm') ?? range(x.length).reverse();
  if (
    perm.length !== x.length ||
    new Set(perm).size !== x.length ||
    perm.some((axis) => !(axis >= 0 && axis < x.length))
  )
    misfit(node, `a permutation of ${x.length} axes`, `[${perm.join(', ')}]`);
  const shape = permute(x, perm);
  return { shape, at: () => offsets(shape, permute(stridesOf(x), perm)) };
});

/** Attributes (opset < 10) or inputs starts, ends, axes, steps. */
const slice = taking('axis', (node, x, inputs) => {
  const lists = (['starts', 'ends', 'axes', 'steps'] as const).map((name, i) =>
    listInput(node, name, inputs, i + 1),
  );
  const [starts, ends, axes, steps] = lists;
  if (!starts || !ends || axes === null || steps === null) return null;
  const shape = [...x];
  const strides = stridesOf(x);
  let start = 0;
  starts.forEach((first, i) => {
    const axis = axisOf(node, axes?.[i] ?? i, x.length);
    const step = steps?.[i] ?? 1;
    if (step === 0) misfit(node, 'steps other than 0', '0');
    const length = x[axis];
    const place = (value: number) => (value < 0 ? value + length : value);
    const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
    const from = Math.min(Math.max(place(first), 0), step > 0 ? length : length - 1);
    const to = Math.min(Math.max(place(ends[i]), low), high);
    shape[axis] = Math.max(0, Math.ceil((to - from) / step));
    start += from * strides[axis];
    strides[axis] *= step;
  });
  return { shape, at: () => offsets(shape, strides, start) };
});

const expand = taking('fixed', (node, x, inputs) => {
  const sizes = listInput(node, 'shape', inputs, 1);
  if (!sizes) return null;
  const shape = broadcast(node, x, sizes);
  return { shape, at: () => offsets(shape, broadcastStrides(x, shape)) };
});

const tile = taking('fixed', (node, x, inputs) => {
  const repeats = listInput(node, 'repeats', inputs, 1);
  if (!repeats) return null;
  if (repeats.length !== x.length) misfit(node, `${x.length} repeats`, `[${repeats.join(', ')}]`);
  const shape = x.map((size, axis) => size * repeats[axis]);
  const strides = stridesOf(x);
  return { shape, at: () => placed(shape, x, strides, (at, axis) => at % x[axis]) };
});

/** Offsets where each axis has its own rule; -1 where a rule says so. */
function placed(
  shape: readonly number[],
  x: readonly number[],
  strides: readonly number[],
  rule: (at: number, axis: number) => number,
): Int32Array {
  const maps = shape.map((size, axis) => Int32Array.from({ length: size }, (_, at) => rule(at, axis)));
  const out = new Int32Array(sizeOf(shape));
  const at = shape.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    let offset = 0;
    for (let axis = 0; axis < x.length; axis++) {
      const place = maps[axis][at[axis]];
      if (place < 0) {
        offset = -1;
        break;
      }
      offset += place * strides[axis];
    }
    out[i] = offset;
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
  return out;
}

/** pads as attribute (normal form, opset < 11) or input; axes (opset 18) as input 3. */
export function padsOf(node: Node, rank: number, inputs: Maybe): number[] | null {
  const pads = listInput(node, 'pads', inputs, 1);
  const axes = listInput(node, 'axes', inputs, 3);
  if (!pads || axes === null) return null;
  if (!axes)
    return pads.length === 2 * rank ? pads : misfit(node, `${2 * rank} pads`, `[${pads.join(', ')}]`);
  const all = new Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    const place = axisOf(node, axis, rank);
    all[place] = pads[i];
    all[place + rank] = pads[i + axes.length];
  });
  return all;
}

function padRule(mode: string, before: number, length: number): (at: number) => number {
  return (at) => {
    let place = at - before;
    if (mode === 'edge') return Math.min(length - 1, Math.max(0, place));
    if (mode === 'wrap') return ((place % length) + length) % length;
    if (mode === 'reflect') {
      const period = Math.max(1, 2 * (length - 1));
      place = ((place % period) + period) % period;
      return place < length ? place : period - place;
    }
    return place >= 0 && place < length ? place : -1;
  };
}

const pad = taking(
  'axis',
  (node, x, inputs) => {
    const pads = padsOf(node, x.length, inputs);
    if (!pads) return null;
    const mode = text(node, 'mode', 'constant');
    const shape = x.map((size, axis) => size + pads[axis] + pads[axis + x.length]);
    if (shape.some((size) => size < 0)) misfit(node, 'pads that leave something', `[${pads.join(', ')}]`);
    const rules = x.map((size, axis) => padRule(mode, pads[axis], size));
    return { shape, at: () => placed(shape, x, stridesOf(x), (at, axis) => rules[axis](at)) };
  },
  (node, x, inputs) => {
    if (inputs[2]) return inputs[2].data[0];
    const value = number(node, 'value', 0);
    return typeof x.data[0] === 'bigint' ? BigInt(value) : value;
  },
);

/** Both are a transposition between two shapes of rank 6. */
function blocks(
  rearrange: (
    node: Node,
    x: readonly number[],
    block: number,
  ) => { split: number[]; perm: number[]; shape: number[] },
): Operator {
  const plan = (node: Node, x: readonly number[]) => {
    const block = number(node, 'blocksize', 1);
    if (x.length !== 4) misfit(node, 'an input of rank 4', `[${x.join(', ')}]`);
    const planned = rearrange(node, x, block);
    if (sizeOf(planned.shape) !== sizeOf(x) || planned.shape.some((size) => !Number.isInteger(size)))
      misfit(node, `sizes that ${block} divides`, `[${x.join(', ')}]`);
    return planned;
  };
  return {
    layout: 'spatial',
    infer: (node, inputs) => {
      const { dtype, shape } = need(node, inputs, 0);
      return [{ dtype, shape: plan(node, shape).shape }];
    },
    evaluate(node, inputs) {
      const x = need(node, inputs, 0);
      const { split: parts, perm, shape } = plan(node, x.shape);
      return [{ ...transpose({ ...x, shape: parts }, perm), shape }];
    },
  };
}

const depthToSpace = blocks((node, [n, c, h, w], b) => {
  const rest = c / (b * b);
  const columnsFirst = text(node, 'mode', 'DCR') === 'DCR';
  return {
    split: columnsFirst ? [n, b, b, rest, h, w] : [n, rest, b, b, h, w],
    perm: columnsFirst ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3],
    shape: [n, rest, h * b, w * b],
  };
});

const spaceToDepth = blocks((_, [n, c, h, w], b) => ({
  split: [n, c, h / b, b, w / b, b],
  perm: [0, 3, 5, 1, 2, 4],
  shape: [n, c * b * b, h / b, w / b],
}));

export const MOVEMENTS: Readonly<Record<string, Operator>> = {
  Transpose: transposeRow,
  Slice: slice,
  Expand: expand,
  Tile: tile,
  Pad: pad,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
};
