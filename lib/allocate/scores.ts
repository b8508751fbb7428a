import type { AllocatableLayer } from './allocate.ts';

/** Loss of every layer at every width it offers: [layer][index into layer.bits], falling or level along the widths. */
export type Scores = readonly (readonly number[])[];

/** Stands for losses that are not finite: more than any real divergence, and sums of it stay exact enough. */
const LARGEST = 1e6;

/**
 * Scores from the divergence of the network's output where every layer that has a choice was measured, else from the
 * divergence of the weights. A wider layer is never scored worse than a narrower one: where a measurement says so it
 * is noise, and the larger of the two counts.
 */
export function scoresOf(layers: readonly AllocatableLayer[]): Scores {
  const measured = layers.every(({ bits, outputDivergence }) => bits.length === 1 || outputDivergence);
  return layers.map(({ bits, outputDivergence, weightDivergence }) => {
    const table = (measured ? outputDivergence : weightDivergence) ?? {};
    return falling(bits.map((width) => table[width] ?? 0));
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

/** Sum of scores at these bits, one entry per layer. */
export function scoreOf(
  layers: readonly AllocatableLayer[],
  scores: Scores,
  bits: readonly number[],
): number {
  return bits.reduce((sum, width, index) => sum + scores[index][layers[index].bits.indexOf(width)], 0);
}
