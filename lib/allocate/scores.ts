import type { AllocatableLayer } from './allocate.ts';
import type { Dial, Plan } from './dials.ts';

/** Loss of every dial at every width it offers: [dial][index into dial.bits], falling or level along the widths. */
export type Scores = readonly (readonly number[])[];

/** Stands for losses that are not finite: more than any real divergence, and sums of it stay exact enough. */
const LARGEST = 1e6;

/** Which losses of single layers a strategy goes by. */
export type Reading = 'divergence' | 'curvature';

/**
 * Scores from the divergence of the network's output where every layer that has a choice was measured, else from the
 * divergence of the weights; inputs that were not measured score nothing. A wider layer is never scored worse than a
 * narrower one: where a measurement says so it is noise, and the larger of the two counts.
 */
export function scoresOf(
  layers: readonly AllocatableLayer[],
  dials: readonly Dial[],
  reading: Reading = 'divergence',
): Scores {
  const measured = layers.every(({ bits, outputDivergence }) => bits.length === 1 || outputDivergence);
  const curved =
    reading === 'curvature' && layers.every(({ bits, curvatureLoss }) => bits.length === 1 || curvatureLoss);
  const lossOf = (layer: AllocatableLayer, of: Dial['of']) => {
    if (of === 'activations') return layer.inputDivergence ?? {};
    return (curved ? layer.curvatureLoss : measured ? layer.outputDivergence : layer.weightDivergence) ?? {};
  };
  return dials.map(({ of, layers: members, bits }) => {
    // Layers that share an input share what was measured of it.
    const counted = of === 'activations' ? members.slice(0, 1) : members;
    const losses = counted.map((member) =>
      falling(bits.map((width) => lossOf(layers[member], of)[width] ?? 0)),
    );
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
