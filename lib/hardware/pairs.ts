import type { LayerWidths } from '../allocate/allocate.ts';
import type { Device, Operator, Pair } from './device.ts';

/** What a device computes a layer with. */
export interface RoundedPair extends LayerWidths {
  /** True where the device lacks the widths that were asked for. */
  rounded: boolean;
  /** What it costs; null for a device that has no pairs. */
  pair: Pair | null;
}

/**
 * The pair of widths that a device computes with: the one asked for, or the next that it has. Rounded up are both
 * widths, to the pair of fewest bit products; weights first where two have as many.
 */
export function roundedPair(device: Device, operator: Operator, widths: LayerWidths): RoundedPair {
  const { weights, activations } = widths;
  if (device.pairs.length === 0) return { weights, activations, rounded: false, pair: null };
  let best: RoundedPair | null = null;
  for (const pair of device.pairs) {
    if (!pair.operators.includes(operator)) continue;
    for (const w of pair.weights)
      for (const a of pair.activations) {
        if (w < weights || a < activations) continue;
        const cheaper = !best || w * a < best.weights * best.activations;
        const narrower = best && w * a === best.weights * best.activations && w < best.weights;
        if (cheaper || narrower)
          best = { weights: w, activations: a, rounded: w !== weights || a !== activations, pair };
      }
  }
  return best!; // the schema sees to it that 8 x 8 is there for every operator
}
