import type { Graph, Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { dequantizeWeights, leastScale, roundWeights, searchScales } from '../quant/weights.ts';
import type { LayerProfile } from './analysis.ts';

/** Bins over a layer's weights: fine enough to see the steps of 8 bits, coarse enough for layers of few weights. */
const BINS = 256;
/**
 * Added to every bin of both histograms before the divergence, as a share of the number of weights: so that empty
 * bins cost the same in small and in large layers.
 */
const SMOOTHING = 1e-4;

/**
 * What the weights alone say of every layer, for `widths`; needs no data, so outputDivergence is null. Divergence is
 * that of the weights rounded to the nearest with scales of least squared error.
 */
export function weightProfile(
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  widths: readonly number[],
): LayerProfile[] {
  return layers.map((layer) => {
    const { name, op, outChannels, parameters, macs, weights } = layer;
    const { sigma, moments } = describeWeights(weights, kernels);
    return {
      name,
      op,
      depthwise: layer.groups > 1 && layer.channels === 1,
      outChannels,
      parameters,
      macs,
      sigma,
      rawSigma: graph.rawSigma.get(name) ?? null,
      moments,
      weightDivergence: Object.fromEntries(
        widths.map((bits) => [bits, weightDivergence(layer, bits, kernels)]),
      ),
      outputDivergence: null,
    };
  });
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
function weightDivergence(layer: Layer, bits: number, kernels: Kernels): number {
  const { weights, outChannels, groups } = layer;
  const floors = new Float32Array(outChannels).fill(leastScale(0, 1));
  const scales = searchScales(weights, outChannels, groups, bits, null, floors);
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
