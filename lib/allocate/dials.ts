import { refuse } from '../errors.ts';
import type { AllocatableLayer, LayerWidths, Problem } from './allocate.ts';

/**
 * One thing that a search may turn: the width of a layer's weights or of its input, or of those of several layers that
 * must agree.
 */
export interface Dial {
  of: 'weights' | 'activations';
  /** Positions of the layers that it sets. */
  layers: readonly number[];
  /** Widths offered by all of them, ascending. */
  bits: readonly number[];
}

/** Widths by position of the dial. */
export type Plan = readonly number[];

/** Positions of the dials that set a layer. */
export interface Setting {
  weights: number;
  activations: number;
}

/** Dials of the weights in the order of layers, then those of the inputs. Throws INVALID_ARGUMENT for ties without a common width. */
export function dialsOf({ layers, ties }: Pick<Problem, 'layers' | 'ties'>): Dial[] {
  return (['weights', 'activations'] as const).flatMap((of) => {
    const taken = new Set<number>();
    return layers.flatMap((layer, index): Dial[] => {
      if (taken.has(index)) return [];
      const tie = ties.find((own) => own.of === of && own.layers.includes(layer.name));
      const members = tie
        ? layers.flatMap(({ name }, position) => (tie.layers.includes(name) ? [position] : []))
        : [index];
      for (const member of members) taken.add(member);
      return [{ of, layers: members, bits: commonBits(layers, members, of) }];
    });
  });
}

function commonBits(
  layers: readonly AllocatableLayer[],
  members: readonly number[],
  of: Dial['of'],
): number[] {
  const offered = (position: number) =>
    of === 'weights' ? layers[position].bits : layers[position].activations;
  const common = offered(members[0]).filter((bits) =>
    members.every((position) => offered(position).includes(bits)),
  );
  if (common.length === 0)
    refuse(
      `a width that all offer for ${of === 'weights' ? '' : 'the input of '}layers that share one`,
      'widths',
      members
        .map((position) => `${layers[position].name}: ${offered(position).join(', ') || 'none'}`)
        .join('; '),
    );
  return common;
}

/** The narrowest of ascending widths that is at least as wide, else the widest. */
export function atLeast(bits: readonly number[], wanted: number): number {
  return bits.find((own) => own >= wanted) ?? bits.at(-1)!;
}

export function settingsOf(dials: readonly Dial[], layers: number): Setting[] {
  const find = (of: Dial['of'], layer: number) =>
    dials.findIndex((dial) => dial.of === of && dial.layers.includes(layer));
  return Array.from({ length: layers }, (_, layer) => ({
    weights: find('weights', layer),
    activations: find('activations', layer),
  }));
}

export function widthsAt({ weights, activations }: Setting, plan: Plan): LayerWidths {
  return { weights: plan[weights], activations: plan[activations] };
}
