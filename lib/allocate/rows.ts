import type { Ceiling, LayerWidths, Problem } from './allocate.ts';
import type { Dial, Plan, Setting } from './dials.ts';
import { widthsAt } from './dials.ts';
import { COST_TOLERANCE } from './knapsack.ts';

/** Shares of every layer in one part of a resource. */
export interface Part {
  share(layer: number, widths: LayerWidths): number;
  /** Sum over layers where each takes what costs most. */
  most: number;
}

/** A part of a resource with a limit that some plan would pass. */
export interface Row extends Part {
  limit: number;
}

/** All parts of a resource, every share looked up once. */
export function partsOf(
  { layers, cost }: Pick<Problem, 'layers' | 'cost'>,
  settings: readonly Setting[],
  dials: readonly Dial[],
  resource: string,
): Part[] {
  return Array.from({ length: cost.parts(resource) }, (_, part) => {
    let most = 0;
    const shares = settings.map(({ weights, activations }, layer) => {
      const table = new Map<number, number>();
      for (const w of dials[weights].bits)
        for (const a of dials[activations].bits)
          table.set(
            key(w, a),
            cost.layerCost(layers[layer].name, { weights: w, activations: a }, resource, part),
          );
      most += Math.max(...table.values());
      return table;
    });
    return {
      most,
      share: (layer, { weights, activations }) => shares[layer].get(key(weights, activations))!,
    };
  });
}

const key = (weights: number, activations: number) => weights * 64 + activations;

/** The parts that a ceiling limits, but for those that no plan passes. */
export function rowsOf(ceilings: readonly Ceiling[], parts: (resource: string) => readonly Part[]): Row[] {
  return ceilings.flatMap(({ resource, limit }) =>
    parts(resource)
      .filter(({ most }) => most > limit * (1 + COST_TOLERANCE))
      .map((part) => ({ ...part, limit })),
  );
}

export function sumOf({ share }: Part, settings: readonly Setting[], plan: Plan): number {
  return settings.reduce((sum, setting, layer) => sum + share(layer, widthsAt(setting, plan)), 0);
}

/** What a part changes by when one dial of a plan is set to other bits. */
export function changeOf(
  { share }: Part,
  settings: readonly Setting[],
  { layers, of }: Dial,
  plan: Plan,
  bits: number,
): number {
  let change = 0;
  for (const layer of layers) {
    const widths = widthsAt(settings[layer], plan);
    change += share(layer, { ...widths, [of]: bits }) - share(layer, widths);
  }
  return change;
}
