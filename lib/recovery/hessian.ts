import type { InputStatistics } from '../analysis/analysis.ts';
import type { Pace } from '../analysis/pace.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import { inverseFactor } from './cholesky.ts';

/** Share of the mean diagonal that is added to the diagonal, as in the GPTQ paper. */
const DAMPING = 0.01;
/** Damping grows by this much where the factorization fails, up to LIMIT times the mean diagonal. */
const DAMPING_GROWTH = 10;
const DAMPING_LIMIT = 1e6;
/**
 * ours: how much of the inputs' mean stays in the Hessian. 0 trusts the bias correction to remove the mean error
 * wholly, but the quantized network's inputs have another mean than the float network's; 1 spends integers on it.
 */
const MEAN_SHARE = 0.1;

/** The quadratic form of one group's output error, columns in rounding order. */
export interface GroupHessian {
  k: number;
  /** Column j of this form is column order[j] of the weights: falling diagonal, ties by index. */
  order: Int32Array;
  /** [k][k], damped. */
  h: Float64Array;
  /** Upper factor of its inverse. */
  u: Float64Array;
}

/** Null where the inputs carry no Gram or were always zero: there is nothing to weigh errors by. */
export async function layerHessians(
  layer: Layer,
  input: InputStatistics,
  pace: Pace,
): Promise<GroupHessian[] | null> {
  if (input.gram === null) return null;
  const k = layer.taps * layer.channels;
  const hessians: GroupHessian[] = [];
  for (let group = 0; group < layer.groups; group++) {
    const gram = input.gram.subarray(group * k * k, (group + 1) * k * k);
    const mean = input.mean.subarray(group * k, (group + 1) * k);
    hessians.push(await groupHessian(gram, mean, input.rows, k, pace));
  }
  return hessians;
}

async function groupHessian(
  gram: Float64Array,
  mean: Float64Array,
  rows: number,
  k: number,
  pace: Pace,
): Promise<GroupHessian> {
  const centre = 1 - MEAN_SHARE;
  const entry = (i: number, j: number) => gram[i * k + j] / rows - centre * mean[i] * mean[j];
  const diagonal = Float64Array.from(mean, (_, i) => Math.max(entry(i, i), 0));
  const order = Int32Array.from(diagonal.keys()).sort((i, j) => diagonal[j] - diagonal[i] || i - j);
  // A group that never saw input: any rounding is as good, the identity keeps it to the nearest.
  const average = diagonal.reduce((sum, value) => sum + value, 0) / k || 1;
  for (let damping = DAMPING; ; damping *= DAMPING_GROWTH) {
    const h = new Float64Array(k * k);
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) h[i * k + j] = entry(order[i], order[j]);
      h[i * k + i] = diagonal[order[i]] + damping * average;
    }
    const u = await inverseFactor(h, k, pace);
    if (u !== null) return { k, order, h, u };
    if (damping > DAMPING_LIMIT)
      throw new SigmaQuantError('INTERNAL', 'Expected finite input statistics but received others.');
  }
}
