import type { LayerWidths, Widths } from '../allocate/allocate.ts';
import type { LayerProfile } from '../analysis/analysis.ts';
import type { AllocationFile } from '../export/allocation.ts';
import type { Layer } from '../graph/graph.ts';
import type { Choices, LayerChoice } from './choices.ts';
import type { Costs } from './resources.ts';

type LayerRow = AllocationFile['layers'][number];

/** What a layer's rows are made from. */
export interface Decided {
  layers: readonly Layer[];
  profiles: readonly LayerProfile[];
  choices: Choices;
  costs: Costs;
  widths: Widths;
}

/** The layers of allocation.json: what each got, and what its other widths would lose and cost. */
export function layerRows({ layers, profiles, choices, costs, widths }: Decided): LayerRow[] {
  const present = costs.model.cost(widths);
  const stored = new Map(costs.model.breakdown(widths).map((row) => [row.layer, row.weightBytes]));
  const changeTo = (layer: string, own: LayerWidths) => {
    const changed = costs.model.cost(new Map(widths).set(layer, own));
    const changes = Object.keys(present).map((name) => [name, changed[name] - present[name]] as const);
    return Object.fromEntries(changes.filter(([, change]) => change !== 0));
  };
  return layers.map(({ name, op, parameters, macs, weights, outChannels }, index) => {
    const own = widths.get(name)!;
    const profile = profiles[index];
    return {
      name,
      op,
      parameters,
      weightCount: weights.length,
      outChannels,
      macs,
      sigma: profile.sigma,
      rawSigma: profile.rawSigma,
      weights: own.weights,
      activations: own.activations,
      weightBytes: stored.get(name)!,
      offered: offeredRows(choices.layers[index], profile, own, (other) => changeTo(name, other)),
    };
  });
}

function offeredRows(
  { bits, activations }: LayerChoice,
  { outputDivergence, weightDivergence, inputDivergence, curvatureLoss }: LayerProfile,
  own: LayerWidths,
  changeTo: (widths: LayerWidths) => Record<string, number>,
): LayerRow['offered'] {
  const weights = bits.map((width) => ({
    of: 'weights' as const,
    bits: width,
    divergence: (outputDivergence ?? weightDivergence)[width] ?? null,
    weightDivergence: weightDivergence[width] ?? null,
    curvature: curvatureLoss?.[width] ?? null,
    change: changeTo({ ...own, weights: width }),
  }));
  const inputs = activations.map((width) => ({
    of: 'activations' as const,
    bits: width,
    divergence: inputDivergence?.[width] ?? null,
    weightDivergence: null,
    curvature: null,
    change: changeTo({ ...own, activations: width }),
  }));
  return activations.length > 1 ? [...weights, ...inputs] : weights;
}
