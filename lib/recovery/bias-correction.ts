import type { InputStatistics } from '../analysis/analysis.ts';
import type { Layer } from '../graph/graph.ts';
import { roundHalfEven } from '../kernels/math.ts';
import { dot } from './descent.ts';

/** An integer bias of at most 2^30, as scales are floored for. */
const BIAS_LIMIT = 2 ** 30;

/**
 * The bias that takes the mean output error e·mean(x) back, e = q*s - w, per output channel; kept only where the
 * mean squared output error over the calibration inputs, (e·x + change)² with the bias as the integer it becomes,
 * is lower for it. Returns a new bias [outChannels].
 */
export function correctBias(
  layer: Layer,
  input: InputStatistics,
  q: Int8Array,
  scales: Float32Array,
  inputScale: number | null,
): Float32Array {
  const { outChannels, groups } = layer;
  const k = layer.taps * layer.channels;
  const bias = Float32Array.from(layer.bias ?? new Float32Array(outChannels));
  const error = new Float64Array(k);
  for (let row = 0; row < outChannels; row++) {
    const group = Math.floor((row * groups) / outChannels);
    for (let j = 0; j < k; j++)
      error[j] = Math.fround(q[row * k + j] * scales[row]) - layer.weights[row * k + j];
    const meanError = dot(error, input.mean.subarray(group * k, (group + 1) * k));
    const step = inputScale === null ? 0 : Math.fround(inputScale * scales[row]);
    const applied = (value: number) => (step > 0 ? roundHalfEven(value / step) * step : value);
    const corrected = Math.fround(bias[row] - meanError);
    if (step > 0 && Math.abs(corrected / step) > BIAS_LIMIT) continue;
    // E(e·x + c)² = E(e·x)² + 2c E(e·x) + c²: the first term stands on both sides.
    const cost = (value: number) => {
      const change = applied(value) - (layer.bias?.[row] ?? 0);
      return 2 * change * meanError + change * change;
    };
    if (cost(corrected) < cost(bias[row])) bias[row] = corrected;
  }
  return bias;
}
