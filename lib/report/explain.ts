import type { AllocationFile } from '../export/allocation.ts';
import { changeText } from './amounts.ts';
import { bytes, percent, signed, significant } from './numbers.ts';

type LayerRow = AllocationFile['layers'][number];
type Offered = LayerRow['offered'][number];

/** Divergences beyond this are off the line along which points follow nats. */
const STRAIGHT = 0.3;

/** Why a layer has its width, and what its other widths would do. */
export interface Explanation {
  layer: string;
  /** What it has and why, a sentence each. */
  sentences: readonly string[];
  /** Every width offered. */
  widths: readonly OfferedWidth[];
}

export interface OfferedWidth {
  of: Offered['of'];
  bits: number;
  chosen: boolean;
  /** Nats: of the outputs when this alone is quantized. */
  divergence: number | null;
  /** Percentage points that the network would lose more (or less, negative) at it; null where nothing tells. */
  points: number | null;
  /** What the network would cost more or less, by resource. */
  change: Readonly<Record<string, number>>;
}

/**
 * Explains one layer by what allocation.json holds. Points are expected, not measured: divergences of single layers times
 * the points per nat that the search's own evaluations of whole networks show. Null for a layer that is not there.
 */
export function explanation(allocation: AllocationFile, layer: string): Explanation | null {
  const row = allocation.layers.find(({ name }) => name === layer);
  if (row === undefined) return null;
  const perNat = pointsPerNat(allocation);
  const present = (of: Offered['of']) =>
    row.offered.find((offer) => offer.of === of && offer.bits === row[of])?.divergence ?? null;
  const widths = row.offered.map(({ of, bits, divergence, change }): OfferedWidth => {
    const now = present(of);
    const points =
      divergence !== null && now !== null && perNat !== null ? (divergence - now) * perNat : null;
    return { of, bits, chosen: bits === row[of], divergence, points, change };
  });
  return { layer, sentences: sentencesOf(allocation, row, widths), widths };
}

/** Slope of the measured drops over their divergences, through zero; null without evaluations that show one. */
function pointsPerNat({ trace }: AllocationFile): number | null {
  let [both, square] = [0, 0];
  for (const { measurement } of trace) {
    if (!measurement || !(measurement.divergence > 0 && measurement.divergence < STRAIGHT)) continue;
    both += measurement.drop * measurement.divergence;
    square += measurement.divergence ** 2;
  }
  return square > 0 && both > 0 ? both / square : null;
}

function sentencesOf(allocation: AllocationFile, row: LayerRow, widths: readonly OfferedWidth[]): string[] {
  const { name, weights, activations, weightBytes } = row;
  const total = allocation.cost['weightBytes'];
  const has = `${name} has weights of ${weights} bits and an input of ${activations}: ${bytes(weightBytes)}, ${percent((100 * weightBytes) / total, 1)} of the network's weights.`;
  return [has, reasonOf(allocation, row), rankOf(allocation, row), ...neighbourSentences(row, widths)].filter(
    (sentence) => sentence !== '',
  );
}

/** From the last step that was kept and moved it. */
function reasonOf({ trace }: AllocationFile, { name, weights, offered }: LayerRow): string {
  const ownWeights = offered.filter(({ of }) => of === 'weights');
  if (ownWeights.length === 1) return `It was offered no other width than ${weights} bits.`;
  const step = trace.findLast(
    ({ kept, moves }) => kept && moves.some(({ layer, to, of }) => layer === name && to === weights && !of),
  );
  if (step === undefined) return 'No step that was kept moved it: it stands where the search began.';
  const from = step.moves.find(({ layer, of }) => layer === name && !of)!.from;
  return `It got this width in phase ${step.phase} (from ${from} bits; ${step.reason}).`;
}

/** How much it loses per byte that one width less would save, beside the other layers. */
function rankOf({ layers }: AllocationFile, { name }: LayerRow): string {
  const prices = layers.flatMap((layer) => {
    const [own, lower] = [stepOf(layer, 0), stepOf(layer, -1)];
    if (own?.divergence == null || lower?.divergence == null) return [];
    const saved = -(lower.change['weightBytes'] ?? 0);
    return saved > 0 ? [{ name: layer.name, price: (lower.divergence - own.divergence) / saved }] : [];
  });
  const rank = prices.sort((a, b) => b.price - a.price).findIndex((entry) => entry.name === name);
  return rank < 0
    ? ''
    : `Of ${prices.length} layers that could be narrower, ${rank} would lose more per byte saved than it.`;
}

function stepOf({ offered, weights }: LayerRow, by: number): Offered | undefined {
  const list = offered.filter(({ of }) => of === 'weights');
  return list[list.findIndex(({ bits }) => bits === weights) + by];
}

function neighbourSentences({ weights, activations }: LayerRow, widths: readonly OfferedWidth[]): string[] {
  return (['weights', 'activations'] as const).flatMap((of) => {
    const list = widths.filter((offer) => offer.of === of);
    const at = list.findIndex(({ bits }) => bits === (of === 'weights' ? weights : activations));
    return [list[at - 1], list[at + 1]].flatMap((offer) => (offer ? [sentenceOf(offer)] : []));
  });
}

function sentenceOf({ of, bits, divergence, points, change }: OfferedWidth): string {
  const loss =
    divergence === null
      ? 'nothing was measured'
      : `it alone would make the outputs diverge by ${significant(divergence)} nats${points === null ? '' : ` (about ${signed(points)} points)`}`;
  const costs = Object.entries(change).map(([name, value]) => `${name} ${changeText(name, value)}`);
  return `With ${of === 'weights' ? 'weights' : 'an input'} of ${bits} bits ${loss}; ${costs.join(', ') || 'costs stay the same'}.`;
}
