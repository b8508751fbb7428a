import type { AllocatableLayer, Ceiling, CostModel, Widths } from '../allocate/allocate.ts';
import { defaultStrategy, planStrategy, strategies } from '../allocate/index.ts';
import type { LayerProfile } from '../analysis/analysis.ts';
import { refuse } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import { floatBytes, memoryCost, memoryTargets, parseTargets } from '../hardware/index.ts';
import type { Recovery } from '../recovery/recovery.ts';
import type { Choices } from './choices.ts';
import { DEFAULTS } from './options.ts';

const FLOAT_BITS = 32;

/** What allocation knows of costs and strategies, joined with what the options ask for. */

/**
 * Cost of widths for the layers that have them; `rest` are layers that stay in float and are paid for too, at 4 bytes
 * and 32 bits a number. Their share stands with the first layer, so that shares still sum to the whole.
 */
export function costOf(layers: readonly Layer[], rest: readonly Layer[] = []): CostModel {
  const model = memoryCost(layers);
  if (rest.length === 0) return model;
  const weights = (list: readonly Layer[]) => list.reduce((sum, layer) => sum + layer.weights.length, 0);
  const total = weights(layers) + weights(rest);
  const added: Record<string, number> = {
    weightBytes: floatBytes(rest),
    averageBits: (FLOAT_BITS * weights(rest)) / total,
    bops: rest.reduce((sum, { macs }) => sum + macs * FLOAT_BITS * FLOAT_BITS, 0),
  };
  const factor = (resource: string) => (resource === 'averageBits' ? weights(layers) / total : 1);
  return {
    cost: (widths) =>
      Object.fromEntries(
        Object.entries(model.cost(widths)).map(([resource, value]) => [
          resource,
          value * factor(resource) + (added[resource] ?? 0),
        ]),
      ),
    parts: model.parts,
    layerCost: (layer, widths, resource) =>
      model.layerCost(layer, widths, resource) * factor(resource) +
      (layer === layers[0].name ? (added[resource] ?? 0) : 0),
  };
}

export function floatBytesOf(layers: readonly Layer[]): number {
  return floatBytes(layers);
}

export function parseCeilings(targets: readonly string[] | undefined, layers: readonly Layer[]): Ceiling[] {
  return parseTargets(targets ?? [], memoryTargets(layers));
}

/** The resource that `minimize` means; throws INVALID_ARGUMENT for one that is not costed. */
export function goalOf(minimize: string | undefined, cost: CostModel, any: Widths): string {
  const goal = minimize === undefined || minimize === 'size' ? 'weightBytes' : minimize;
  const known = Object.keys(cost.cost(any));
  if (!known.includes(goal)) refuse(`one of size, ${known.join(', ')}`, 'minimize', minimize);
  return goal;
}

/** Throws INVALID_ARGUMENT for a strategy that is not there. */
export function strategyOf(name: string | undefined, fallback = defaultStrategy): string {
  const strategy = name ?? fallback;
  if (!Object.hasOwn(strategies, strategy))
    refuse(`one of ${Object.keys(strategies).join(', ')}`, 'strategy', strategy);
  return strategy;
}

export function planStrategyOf(name: string | undefined): string {
  return strategyOf(name, planStrategy);
}

const RECOVERIES: readonly Recovery['name'][] = ['none', 'gptq'];

/** Throws INVALID_ARGUMENT for a recovery that is not there. */
export function recoveryOf(name: string | undefined): Recovery['name'] {
  const recovery = RECOVERIES.find((known) => known === (name ?? DEFAULTS.recovery));
  return recovery ?? refuse(`one of ${RECOVERIES.join(', ')}`, 'recovery', name);
}

/** Facts and choices of each layer in one. */
export function problemLayers(profiles: readonly LayerProfile[], { layers }: Choices): AllocatableLayer[] {
  return profiles.map((profile, index) => ({
    name: profile.name,
    parameters: profile.parameters,
    macs: profile.macs,
    sigma: profile.sigma,
    rawSigma: profile.rawSigma,
    bits: layers[index].bits,
    activations: layers[index].activations,
    weightDivergence: profile.weightDivergence,
    outputDivergence: profile.outputDivergence,
    inputDivergence: profile.inputDivergence,
    curvatureLoss: profile.curvatureLoss,
  }));
}
