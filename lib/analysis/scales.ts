import type { Layer } from '../graph/graph.ts';
import { searchScales } from '../quant/weights.ts';
import type { Pace } from './pace.ts';

/** Passes over a row's weights that one search costs, about. */
const PASSES = 60;
/** Weights searched between two pauses at most. */
const WEIGHTS_PER_CHUNK = 2 ** 18;

/** `searchScales` over a layer's channels, abortable. */
export async function layerScales(
  { weights, outChannels, groups }: Layer,
  bits: number,
  power: Float64Array | null,
  floors: Float32Array,
  pace: Pace,
): Promise<Float32Array> {
  const k = weights.length / outChannels;
  const chunk = Math.max(1, Math.floor(WEIGHTS_PER_CHUNK / k));
  const scales = new Float32Array(outChannels);
  for (let first = 0; first < outChannels; first += chunk) {
    const last = Math.min(first + chunk, outChannels);
    scales.set(searchScales(weights, outChannels, groups, bits, power, floors, first, last), first);
    await pace((last - first) * k * PASSES);
  }
  return scales;
}
