import { hash } from '../data/split.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import { type Experiment, type Kinds, liveBefore, prefix, type QuantizeLayer } from './experiments.ts';
import { OutputDivergence } from './outputs.ts';

/** Length of a random direction relative to that of the weights: small enough for the second order, above float's noise. */
const STEP = 2 ** -5;

/**
 * The layer's weights moved in a random direction of equal steps d = +-e (Rademacher). The divergence from the float
 * network has its minimum there, so that it is dᵀFd / 2 to second order with Fisher's matrix F, and in the mean over
 * directions e² trace(F) / 2: Hutchinson's estimator without a gradient.
 */
export function perturbed(graph: Graph, layer: Layer, seed: number, kinds: Kinds): Experiment {
  const cut = liveBefore(graph, layer);
  const step = stepOf(layer);
  return {
    cut,
    replaces: layer.name,
    apply: async (executor, cached) => {
      const moved = layer.weights.map((weight, index) =>
        (hash(seed, index) & 1) === 1 ? weight + step : weight - step,
      );
      executor.replaceWeights(layer.name, moved, layer.bias);
      return prefix(cut, cached);
    },
    divergence: new OutputDivergence(kinds),
  };
}

function stepOf({ weights }: Layer): number {
  const power = weights.reduce((sum, weight) => sum + weight * weight, 0) / weights.length;
  return STEP * Math.sqrt(power);
}

/** Per width: mean trace(F) / 2 times the squared error of the weights at it. */
export async function curvatureLosses(
  layer: Layer,
  widths: readonly number[],
  probes: readonly Experiment[],
  quantize: QuantizeLayer,
  kernels: Kernels,
  signal?: AbortSignal,
): Promise<Record<number, number>> {
  const mean = probes.reduce((sum, { divergence }) => sum + divergence.mean, 0) / probes.length;
  const squaredStep = stepOf(layer) ** 2;
  const losses: Record<number, number> = {};
  for (const bits of widths) {
    const { q, scales } = await quantize(layer.name, bits, signal);
    const error = kernels.squaredError(layer.weights, dequantizeWeights(q, scales));
    // A step of e in each of n weights cost `mean` = n e² times the mean of half the trace.
    losses[bits] = squaredStep > 0 ? (mean / (squaredStep * layer.weights.length)) * error : 0;
  }
  return losses;
}
