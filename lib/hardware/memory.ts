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

/** One resource: the largest of its parts, each a sum over layers. */
export interface Resource {
  /** As in `Cost`. */
  name: string;
  /** '' for a plain number. */
  unit: string;
  /** For people. */
  title: string;
  parts: number;
  /** Of one layer in one part; what belongs to no layer stands with the first. */
  share(layer: string, widths: LayerWidths, part: number): number;
}

/** Bytes and bits of a float32 number. */
export const FLOAT_BYTES = 4;
export const FLOAT_BITS = 32;

/**
 * The resources that need no device; `rest` are layers that stay in float and are paid for at 4 bytes and 32 bits a
 * number, which stands with the first layer:
 * - `weightBytes`: packed weights, and 4 bytes of scale and 4 bytes of bias per output channel
 * - `averageBits`: mean width over all weights of the given layers
 * - `bops`: multiply-accumulates times weight bits times activation bits, per sample
 *
 * `bytes` says how a device packs the weights of a layer; without gaps where it is left out.
 */
export function memoryResources(
  layers: readonly CostedLayer[],
  rest: readonly CostedLayer[] = [],
  bytes: (layer: CostedLayer, widths: LayerWidths) => number = denseBytes,
): Resource[] {
  const find = finder(layers);
  const count = (list: readonly CostedLayer[]) => list.reduce((sum, { weights }) => sum + weights.length, 0);
  const total = count(layers) + count(rest);
  const first = (name: string) => name === layers[0].name;
  const float = {
    bytes: floatBytes(rest),
    bits: (FLOAT_BITS * count(rest)) / total,
    bops: rest.reduce((sum, { macs }) => sum + macs * FLOAT_BITS * FLOAT_BITS, 0),
  };
  return [
    {
      name: 'weightBytes',
      unit: 'B',
      title: 'weights, scales and biases',
      parts: 1,
      share: (name, widths) => bytes(find(name), widths) + (first(name) ? float.bytes : 0),
    },
    {
      name: 'averageBits',
      unit: '',
      title: 'mean width of weights',
      parts: 1,
      share: (name, widths) =>
        (find(name).weights.length * widths.weights) / total + (first(name) ? float.bits : 0),
    },
    {
      name: 'bops',
      unit: '',
      title: 'bit operations',
      parts: 1,
      share: (name, widths) =>
        find(name).macs * widths.weights * widths.activations + (first(name) ? float.bops : 0),
    },
  ];
}

/** As memoryResources, as a cost model. */
export function memoryCost(layers: readonly CostedLayer[], rest: readonly CostedLayer[] = []): CostModel {
  return costModel(memoryResources(layers, rest));
}

/** Resources as allocation wants them. */
export function costModel(resources: readonly Resource[]): CostModel {
  const byName = new Map(resources.map((resource) => [resource.name, resource]));
  const find = (name: string) =>
    byName.get(name) ?? refuse(`one of ${[...byName.keys()].join(', ')}`, 'resource', name);
  return {
    cost: (widths) =>
      Object.fromEntries(resources.map((resource) => [resource.name, largestPart(resource, widths)])) as Cost,
    parts: (name) => find(name).parts,
    layerCost: (layer, widths, name, part = 0) => find(name).share(layer, widths, part),
  };
}

function largestPart({ parts, share }: Resource, widths: Widths): number {
  let largest = 0;
  for (let part = 0; part < parts; part++) {
    let sum = 0;
    for (const [layer, own] of widths) sum += share(layer, own, part);
    largest = Math.max(largest, sum);
  }
  return largest;
}

/** A layer by name. Throws INVALID_ARGUMENT for one that is not there. */
export function finder<T extends { name: string }>(layers: readonly T[]): (name: string) => T {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  return (name) => byName.get(name) ?? refuse('the name of a layer', 'layer', name);
}

function denseBytes({ weights, outChannels }: CostedLayer, { weights: bits }: LayerWidths): number {
  return weightBytes(weights.length, outChannels, bits);
}

/** 4 bytes per weight and per bias, as they stand after folding. */
export function floatBytes(layers: readonly CostedLayer[]): number {
  return layers.reduce(
    (sum, { weights, bias }) => sum + FLOAT_BYTES * (weights.length + (bias?.length ?? 0)),
    0,
  );
}
