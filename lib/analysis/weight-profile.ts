import type { Graph, Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { dequantizeWeights, leastScale, roundWeights } from '../quant/weights.ts';
import type { LayerProfile, WorkOptions } from './analysis.ts';
import { createPace, type Pace } from './pace.ts';
import { layerScales } from './scales.ts';

/** Bins over a layer's weights: fine enough to see the steps of 8 bits, coarse enough for layers of few weights. */
const BINS = 256;
/**
 * Added to every bin of both histograms before the divergence, as a share of the number of weights: so that empty
 * bins cost the same in small and in large layers.
 */
const SMOOTHING = 1e-4;

/**
 * What the weights alone say of every layer, for `widths`; needs no data, so what outputs would tell is null. Divergence is
 * that of the weights rounded to the nearest with scales of least squared error. Abortable within 200 ms.
 */
export async function weightProfile(
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  widths: readonly number[],
  options: WorkOptions = {},
): Promise<LayerProfile[]> {
  const pace = createPace(options.signal);
  const profiles: LayerProfile[] = [];
  for (const layer of layers) {
    const { name, op, outChannels, parameters, macs, weights } = layer;
    const { sigma, moments } = describeWeights(weights, kernels);
    const weightDivergence: Record<number, number> = {};
    for (const bits of widths) weightDivergence[bits] = await divergenceAt(layer, bits, kernels, pace);
    profiles.push({
      name,
      op,
      depthwise: layer.groups > 1 && layer.channels === 1,
      outChannels,
      parameters,
      macs,
      sigma,
      // A layer without a batch-norm among others that had one is as it was trained.
      rawSigma: graph.rawSigma.get(name) ?? (graph.rawSigma.size > 0 ? sigma : null),
      moments,
      weightDivergence,
      outputDivergence: null,
      inputDivergence: null,
      curvatureLoss: null,
    });
    options.onProgress?.('weights', profiles.length, layers.length);
  }
  return profiles;
}

/** Population standard deviation and standardized central moments; kurtosis of a normal distribution is 3. */
export function describeWeights(
  weights: Float32Array,
  kernels: Kernels,
): Pick<LayerProfile, 'sigma' | 'moments'> {
  const raw = new Float64Array(6);
  kernels.moments(weights, raw);
  const [min, max] = raw;
  const [mean, second, third, fourth] = [...raw.subarray(2)].map((sum) => sum / weights.length);
  const variance = Math.max(second - mean * mean, 0);
  const sigma = Math.sqrt(variance);
  const thirdCentral = third - 3 * mean * second + 2 * mean ** 3;
  const fourthCentral = fourth - 4 * mean * third + 6 * mean * mean * second - 3 * mean ** 4;
  return {
    sigma,
    moments: {
      min,
      max,
      mean,
      skewness: sigma > 0 ? thirdCentral / (variance * sigma) : 0,
      kurtosis: sigma > 0 ? fourthCentral / (variance * variance) : 0,
    },
  };
}

/** KL of the float weights' histogram against the quantized ones', same bins over the float range. */
async function divergenceAt(layer: Layer, bits: number, kernels: Kernels, pace: Pace): Promise<number> {
  const { weights, outChannels } = layer;
  const floors = new Float32Array(outChannels).fill(leastScale(0, 1));
  const scales = await layerScales(layer, bits, null, floors, pace);
  const quantized = dequantizeWeights(roundWeights(weights, scales, bits), scales);
  const extremes = new Float64Array(6);
  kernels.moments(weights, extremes);
  const [low, high] = extremes;
  if (!(Math.fround(high) > Math.fround(low))) return 0;
  const [p, q] = [new Float64Array(BINS), new Float64Array(BINS)];
  kernels.histogram(weights, low, high, p);
  kernels.histogram(quantized, low, high, q);
  return kernels.divergence(p, q, SMOOTHING * weights.length);
}
