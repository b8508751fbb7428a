import type { AllocatableLayer } from './allocate.ts';
import type { Dial, Plan } from './dials.ts';

/** Loss of every dial at every width it offers: [dial][index into dial.bits], falling or level along the widths. */
export type Scores = readonly (readonly number[])[];

/** Stands for losses that are not finite: more than any real divergence, and sums of it stay exact enough. */
const LARGEST = 1e6;

/**
 * Which losses of single layers a strategy goes by: the measured divergence, the one that the curvature expects, or the
 * geometric mean of both. The first knows one rounding on few samples, the second the mean over all directions: they
 * err apart.
 */
export type Reading = 'divergence' | 'curvature' | 'both';

/**
 * Scores from the divergence of the network's output where every layer that has a choice was measured, else from the
 * divergence of the weights; inputs that were not measured score nothing. A reading of the curvature where that was not
 * measured goes by divergence. A wider layer is never scored worse than a narrower one: where a measurement says so it
 * is noise, and the larger of the two counts.
 */
export function scoresOf(
  layers: readonly AllocatableLayer[],
  dials: readonly Dial[],
  reading: Reading = 'divergence',
): Scores {
  const all = (table: 'outputDivergence' | 'curvatureLoss') =>
    layers.every((layer) => layer.bits.length === 1 || layer[table]);
  const measured = all('outputDivergence');
  const curved = all('curvatureLoss');
  const lossOf = (layer: AllocatableLayer, of: Dial['of'], bits: number): number => {
    if (of === 'activations') return layer.inputDivergence?.[bits] ?? 0;
    const divergence = (measured ? layer.outputDivergence : layer.weightDivergence)?.[bits] ?? 0;
    const curvature = layer.curvatureLoss?.[bits] ?? 0;
    if (!curved || reading === 'divergence') return divergence;
    return reading === 'curvature' ? curvature : Math.sqrt(Math.max(0, divergence * curvature));
  };
  return dials.map(({ of, layers: members, bits }) => {
    // Layers that share an input share what was measured of it.
    const counted = of === 'activations' ? members.slice(0, 1) : members;
    const losses = counted.map((member) => falling(bits.map((width) => lossOf(layers[member], of, width))));
    return bits.map((_, index) => losses.reduce((sum, own) => sum + own[index], 0));
  });
}

/** Running maximum from the widest down. */
export function falling(losses: readonly number[]): number[] {
  const result = losses.map((loss) =>
    Number.isFinite(loss) ? Math.max(0, loss) : Number.isNaN(loss) || loss > 0 ? LARGEST : 0,
  );
  for (let index = result.length - 2; index >= 0; index--)
    result[index] = Math.max(result[index], result[index + 1]);
  return result;
}

/** Sum of the dials' scores in a plan. */
export function scoreOf(dials: readonly Dial[], scores: Scores, plan: Plan): number {
  return plan.reduce((sum, bits, dial) => sum + scores[dial][dials[dial].bits.indexOf(bits)], 0);
}
