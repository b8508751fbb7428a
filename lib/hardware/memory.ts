import type { Cost, CostModel, LayerWidths, Widths } from '../allocate/allocate.ts';
import { refuse } from '../errors.ts';
import { weightBytes } from '../quant/packing.ts';

/** What memory and arithmetic of a layer depend on, beside its widths. */
export interface CostedLayer {
  name: string;
  weights: { readonly length: number };
  bias: { readonly length: number } | null;
  outChannels: number;
  /** Per sample. */
  macs: number;
}

/** Bytes of a float32 number. */
const FLOAT_BYTES = 4;

/**
 * The resources that need no device:
 * - `weightBytes`: packed weights, and 4 bytes of scale and 4 bytes of bias per output channel
 * - `averageBits`: mean width over all weights of the given layers
 * - `bops`: multiply-accumulates times weight bits times activation bits, per sample
 */
export function memoryCost(layers: readonly CostedLayer[]): CostModel {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const parameters = layers.reduce((sum, { weights }) => sum + weights.length, 0);

  function layerCost(name: string, widths: LayerWidths, resource: string): number {
    const layer = byName.get(name) ?? refuse('the name of a layer', 'layer', name);
    const part = parts[resource] ?? refuse(`one of ${Object.keys(parts).join(', ')}`, 'resource', resource);
    return part(layer, widths);
  }

  const parts: Readonly<Record<string, (layer: CostedLayer, widths: LayerWidths) => number>> = {
    weightBytes: ({ weights, outChannels }, { weights: bits }) =>
      weightBytes(weights.length, outChannels, bits),
    averageBits: ({ weights }, { weights: bits }) => (weights.length * bits) / parameters,
    bops: ({ macs }, { weights: bits, activations }) => macs * bits * activations,
  };

  function cost(widths: Widths): Cost {
    const total = (resource: string) =>
      [...widths].reduce((sum, [name, layer]) => sum + layerCost(name, layer, resource), 0);
    return Object.fromEntries(Object.keys(parts).map((resource) => [resource, total(resource)]));
  }

  return { cost, parts: () => 1, layerCost };
}

/** 4 bytes per weight and per bias, as they stand after folding. */
export function floatBytes(layers: readonly CostedLayer[]): number {
  return layers.reduce(
    (sum, { weights, bias }) => sum + FLOAT_BYTES * (weights.length + (bias?.length ?? 0)),
    0,
  );
}
