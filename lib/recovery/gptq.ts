import type { Pace } from '../analysis/pace.ts';
import { layerScales } from '../analysis/scales.ts';
import type { Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { bitWidth } from '../quant/bitwidth.ts';
import { closestIntegers, createSearch } from './closest-integers.ts';
import { descend, dot, multiply } from './descent.ts';
import type { GroupHessian } from './hessian.ts';

/**
 * Scales tried per output channel, as multiples of the one that suits rounding to nearest; the one that leaves the
 * least output error wins. At five bits and more the first is as good as any.
 */
const MULTIPLES: Readonly<Record<number, readonly number[]>> = {
  2: [1, 0.9, 1.07, 1.14, 1.22, 1.3, 1.4],
  3: [1, 0.88, 0.93, 1.05, 1.1, 1.15],
  4: [1, 0.9, 0.95, 1.05, 1.08],
};
/** Above this width integers stand where second-order rounding puts them: descent gains nothing measurable. */
const DESCENT_BITS = 4;
/** Rows of at most so many weights (depthwise kernels) get the best integers of all instead. */
const SEARCHED_WEIGHTS = 25;
/** Scales tried for them, as shares of the one that suits rounding to nearest. */
const SEARCHED_SCALES = Array.from({ length: 33 }, (_, i) => 0.7 + i * 0.025);
/** Integers and scale settle within a few rounds. */
const SEARCH_ROUNDS = 6;
/** Multiply-adds that one call of the kernel may take before it must let others run: about 30 ms. */
const WORK_PER_CALL = 2 ** 26;

/** A layer's weights in the rounding order of its Hessians, and what does not depend on the width. */
export interface RoundingProblem {
  layer: Layer;
  hessians: readonly GroupHessian[];
  /** [outChannels][k] in rounding order. */
  w: Float64Array;
  /** h·w per output channel, [outChannels][k]; made when first needed. */
  hw: Float64Array | null;
}

export interface Rounded {
  /** [outChannels][k] in the layer's order. */
  q: Int8Array;
  scales: Float32Array;
}

export function roundingProblem(layer: Layer, hessians: readonly GroupHessian[]): RoundingProblem {
  const w = new Float64Array(layer.weights.length);
  const k = layer.taps * layer.channels;
  for (let row = 0; row < layer.outChannels; row++) {
    const { order } = hessians[groupOf(layer, row)];
    for (let j = 0; j < k; j++) w[row * k + j] = layer.weights[row * k + order[j]];
  }
  return { layer, hessians, w, hw: null };
}

const groupOf = (layer: Layer, row: number) => Math.floor((row * layer.groups) / layer.outChannels);

/**
 * Second-order rounding (GPTQ: Frantar et al. 2022, columns by falling second moment) from several scales, then
 * descent on the integers and scales of the best. `power` is the inputs' second moment [groups][k].
 */
export async function roundSecondOrder(
  problem: RoundingProblem,
  bits: number,
  power: Float64Array,
  floors: Float32Array,
  kernels: Kernels,
  pace: Pace,
): Promise<Rounded> {
  const { layer } = problem;
  const { outChannels } = layer;
  const nearest = await layerScales(layer, bits, power, floors, pace);
  const best = {
    q: new Int8Array(layer.weights.length),
    scales: Float32Array.from(nearest),
    errors: new Float64Array(outChannels).fill(Number.POSITIVE_INFINITY),
  };
  for (const multiple of MULTIPLES[bits] ?? [1]) {
    const scales = nearest.map((scale, row) => Math.max(Math.fround(scale * multiple), floors[row]));
    await roundOnce(problem, bits, scales, best, kernels, pace);
  }
  const few = layer.taps * layer.channels <= SEARCHED_WEIGHTS;
  if (bits <= DESCENT_BITS || few) await descendAll(problem, bits, best, floors, pace);
  if (few) await searchAll(problem, bits, nearest, best, floors, pace);
  return { q: inLayerOrder(problem, best.q), scales: best.scales };
}

interface Best {
  q: Int8Array;
  scales: Float32Array;
  errors: Float64Array;
}

/** One pass of the kernel with given scales; rows that came out better replace those in `best`. */
async function roundOnce(
  { layer, hessians, w }: RoundingProblem,
  bits: number,
  scales: Float32Array,
  best: Best,
  kernels: Kernels,
  pace: Pace,
): Promise<void> {
  const { low, high } = bitWidth(bits);
  const rows = layer.outChannels / layer.groups;
  const k = layer.taps * layer.channels;
  const chunk = Math.max(1, Math.floor(WORK_PER_CALL / (k * k)));
  for (let group = 0; group < layer.groups; group++) {
    const { u } = hessians[group];
    for (let first = group * rows; first < (group + 1) * rows; first += chunk) {
      const last = Math.min(first + chunk, (group + 1) * rows);
      // The kernel leaves e in place of w, and (w - q*s) h (w - q*s)ᵀ = Σ e², because w - q*s = e·u and h = (uᵀu)⁻¹.
      const error = w.slice(first * k, last * k);
      const q = new Int8Array(error.length);
      kernels.roundWithHessian(error, scales.subarray(first, last), u, 0, last - first, low, high, q);
      for (let row = first; row < last; row++) {
        const own = error.subarray((row - first) * k, (row - first + 1) * k);
        const sum = dot(own, own);
        if (!(sum < best.errors[row])) continue;
        best.errors[row] = sum;
        best.scales[row] = scales[row];
        best.q.set(q.subarray((row - first) * k, (row - first + 1) * k), row * k);
      }
      await pace(((last - first) * k * k) / 2);
    }
  }
}

async function descendAll(
  problem: RoundingProblem,
  bits: number,
  best: Best,
  floors: Float32Array,
  pace: Pace,
): Promise<void> {
  const { layer, hessians, w } = problem;
  const { low, high } = bitWidth(bits);
  const k = layer.taps * layer.channels;
  const scratch = new Float64Array(k);
  const known = problem.hw !== null;
  const hw = problem.hw ?? new Float64Array(w.length);
  for (let row = 0; row < layer.outChannels; row++) {
    const { h } = hessians[groupOf(layer, row)];
    const span: [number, number] = [row * k, (row + 1) * k];
    const product = hw.subarray(...span);
    if (!known) multiply(h, k, w.subarray(...span), product);
    const state = {
      q: best.q.subarray(...span),
      scale: best.scales[row],
      hw: product,
      power: dot(w.subarray(...span), product),
    };
    best.errors[row] = descend(state, h, k, low, high, floors[row], scratch);
    best.scales[row] = state.scale;
    await pace(2 * k * k);
  }
  problem.hw = hw;
}

/** Per row the best integers for many scales, then in turn the best scale for integers and integers for the scale. */
async function searchAll(
  { layer, hessians, w, hw }: RoundingProblem,
  bits: number,
  nearest: Float32Array,
  best: Best,
  floors: Float32Array,
  pace: Pace,
): Promise<void> {
  const { low, high } = bitWidth(bits);
  const k = layer.taps * layer.channels;
  const search = createSearch(k);
  const hq = new Float64Array(k);
  for (let row = 0; row < layer.outChannels; row++) {
    const { h, u } = hessians[groupOf(layer, row)];
    const span: [number, number] = [row * k, (row + 1) * k];
    const own = w.subarray(...span);
    const q = best.q.subarray(...span);
    const attempt = (scale: number): boolean => {
      const error = closestIntegers(own, scale, u, low, high, best.errors[row], q, search);
      if (!(error < best.errors[row])) return false;
      best.errors[row] = error;
      best.scales[row] = scale;
      return true;
    };
    const paid = search.nodes;
    for (const share of SEARCHED_SCALES) attempt(Math.max(Math.fround(nearest[row] * share), floors[row]));
    for (let round = 0; round < SEARCH_ROUNDS; round++) {
      multiply(h, k, q, hq);
      const scale = Math.max(Math.fround(dot(q, hw!.subarray(...span)) / dot(q, hq)), floors[row]);
      if (!(scale > 0) || !attempt(scale)) break;
    }
    await pace((search.nodes - paid) * k);
  }
}

function inLayerOrder({ layer, hessians }: RoundingProblem, q: Int8Array): Int8Array {
  const k = layer.taps * layer.channels;
  const out = new Int8Array(q.length);
  for (let row = 0; row < layer.outChannels; row++) {
    const { order } = hessians[groupOf(layer, row)];
    for (let j = 0; j < k; j++) out[row * k + order[j]] = q[row * k + j];
  }
  return out;
}
