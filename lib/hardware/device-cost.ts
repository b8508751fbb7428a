import type { CostModel, LayerWidths, Widths } from '../allocate/allocate.ts';
import { acceleratorCost, floatCost, type LayerCost, storedBytes } from './accelerator.ts';
import { partBytes } from './activations.ts';
import type { Device } from './device.ts';
import { floatSeconds, layerSeconds, stepSeconds } from './latency.ts';
import { costModel, finder, memoryResources, type Resource } from './memory.ts';
import type { CostedNetwork, NetworkLayer } from './network.ts';
import { roundedPair } from './pairs.ts';

/** One line of a breakdown: what a layer costs at its widths, for one sample. */
export interface LayerBreakdown {
  layer: string;
  operator: NetworkLayer['operator'];
  macs: number;
  widths: LayerWidths;
  /** What the device computes with, and whether that is wider than was asked for. */
  pair: LayerWidths & { rounded: boolean };
  weightBytes: number;
  /** Null where the device has no array: mean cycles per MAC and share of the elements with work. */
  cyclesPerMac: number | null;
  utilisation: number | null;
  /** uJ */
  energy: { compute: number; onChip: number; offChip: number } | null;
  /** ms, and what it is bound by. */
  latency: { total: number; bound: 'compute' | 'memory' | 'program' } | null;
  offChipBytes: number | null;
}

/** The costs of one network on one device. */
export interface DeviceCost extends CostModel {
  readonly device: string;
  /** Those that the device has figures for, in the order of reports. */
  readonly resources: readonly Pick<Resource, 'name' | 'unit' | 'title' | 'parts'>[];
  breakdown(widths: Widths): LayerBreakdown[];
}

const MICROJOULES = 1e6;
const MILLISECONDS = 1e3;

/**
 * Resources of a network on a device, per sample:
 *
 * - weightBytes, averageBits, bops: as memoryResources, weights packed as the device packs them
 * - activationBytes: the peak of the schedule; one part per step
 * - totalBytes: both
 * - energy (uJ): compute, on-chip and off-chip traffic; see acceleratorCost
 * - latency (ms): sum over layers of the longer of compute and off-chip traffic; or measured steps
 * - area (mm2): of the processing elements that keep up, on average over the network's MACs, with an array of as many
 *   single-cycle elements
 * - peakArea (mm2): the same for the layer that needs most: a device still to be built that must keep up in each
 *
 * What a device has no figures for is not among its resources.
 */
export function deviceCost(device: Device, network: CostedNetwork): DeviceCost {
  const { layers, rest } = network;
  const find = finder(layers);
  const costOf = remembered((name, widths) => acceleratorCost(device, find(name), widths));
  const timeOf = remembered((name, widths) => layerSeconds(device.latency!, find(name), widths));
  const bytesOf = (
    layer: { name: string; weights: { length: number }; outChannels: number },
    bits: LayerWidths,
  ) => {
    const pair = roundedPair(device, find(layer.name).operator, bits);
    return storedBytes(device, find(layer.name), pair.weights);
  };
  const memory = memoryResources(layers, rest, bytesOf);
  const [weights, averageBits, bops] = memory;
  const activations = activationResource(network);
  const resources = [
    weights,
    averageBits,
    bops,
    activations,
    {
      ...activations,
      name: 'totalBytes',
      title: 'weights and peak of activations',
      share: (name: string, widths: LayerWidths, part: number) =>
        weights.share(name, widths, 0) + activations.share(name, widths, part),
    },
    ...acceleratorResources(device, network, (name, widths) => costOf(name, widths)!),
    ...(device.latency ? [programLatency(device, network, timeOf)] : []),
  ].filter(({ parts }) => parts > 0);
  return {
    ...costModel(resources),
    device: device.name,
    resources: resources.map(({ name, unit, title, parts }) => ({ name, unit, title, parts })),
    breakdown: (widths) =>
      [...widths].map(([name, own]) => {
        const layer = find(name);
        const { rounded, ...pair } = roundedPair(device, layer.operator, own);
        const cost = costOf(name, own);
        return {
          layer: name,
          operator: layer.operator,
          macs: layer.macs,
          widths: own,
          pair: { weights: pair.weights, activations: pair.activations, rounded },
          weightBytes: storedBytes(device, layer, pair.weights),
          cyclesPerMac: cost?.cyclesPerMac ?? null,
          utilisation: cost?.utilisation ?? null,
          energy: cost && {
            compute: cost.energy.compute * MICROJOULES,
            onChip: cost.energy.onChip * MICROJOULES,
            offChip: cost.energy.offChip * MICROJOULES,
          },
          latency: device.latency
            ? { total: timeOf(name, own) * MILLISECONDS, bound: 'program' }
            : cost && boundOf(cost),
          offChipBytes: cost?.offChipBytes ?? null,
        };
      }),
  };
}

function boundOf({ latency: { compute, memory } }: LayerCost): LayerBreakdown['latency'] {
  return {
    total: Math.max(compute, memory) * MILLISECONDS,
    bound: compute >= memory ? 'compute' : 'memory',
  };
}

function activationResource({ layers, activations }: CostedNetwork): Resource {
  return {
    name: 'activationBytes',
    unit: 'B',
    title: 'peak of activations',
    parts: activations.length,
    share: (name, widths, part) =>
      partBytes(activations[part], name, widths) +
      (name === layers[0].name ? activations[part].fixedBytes : 0),
  };
}

/** Energy, latency and area of a device with an array, as far as it has figures. */
function acceleratorResources(
  device: Device,
  { layers, rest }: CostedNetwork,
  costOf: (name: string, widths: LayerWidths) => LayerCost,
): Resource[] {
  if (!device.array) return [];
  const first = (name: string) => name === layers[0].name;
  const restCosts = rest.map((layer) => floatCost(device, layer)!);
  const energyOf = ({ energy: { compute, onChip, offChip } }: LayerCost) => compute + onChip + offChip;
  const secondsOf = ({ latency: { compute, memory } }: LayerCost) => Math.max(compute, memory);
  const sum = (costs: readonly LayerCost[], of: (cost: LayerCost) => number) =>
    costs.reduce((total, cost) => total + of(cost), 0);
  const macs = layers.reduce((total, layer) => total + layer.macs, 0);
  const has = (figure: 'energy' | 'cycles' | 'area') =>
    device.pairs.every((pair) => pair[figure] !== undefined);
  const resource = (
    name: string,
    unit: string,
    title: string,
    of: (cost: LayerCost) => number,
    base: number,
  ): Resource => ({
    name,
    unit,
    title,
    parts: 1,
    share: (layer, widths) => of(costOf(layer, widths)) + (first(layer) ? base : 0),
  });
  const energy = (cost: LayerCost) => energyOf(cost) * MICROJOULES;
  const time = (cost: LayerCost) => secondsOf(cost) * MILLISECONDS;
  return [
    ...(has('energy')
      ? [resource('energy', 'uJ', 'energy of one inference', energy, sum(restCosts, energy))]
      : []),
    ...(has('cycles') && !device.latency
      ? [resource('latency', 'ms', 'time of one inference', time, sum(restCosts, time))]
      : []),
    ...(has('area') && has('cycles')
      ? [
          resource(
            'area',
            'mm2',
            'processing elements at equal throughput on average',
            ({ area, macs: own }) => (area * own) / macs,
            0,
          ),
          {
            name: 'peakArea',
            unit: 'mm2',
            title: 'processing elements at equal throughput in every layer',
            parts: layers.length,
            share: (name: string, widths: LayerWidths, part: number) =>
              name === layers[part].name ? costOf(name, widths).area : 0,
          },
        ]
      : []),
  ];
}

/** Latency of a processor that runs a program: measured layers, and the steps between them with the first. */
function programLatency(
  device: Device,
  { layers, rest, steps }: CostedNetwork,
  timeOf: (name: string, widths: LayerWidths) => number,
): Resource {
  const latency = device.latency!;
  const base =
    steps.reduce((sum, step) => sum + stepSeconds(latency, step), 0) +
    rest.reduce((sum, layer) => sum + floatSeconds(latency, layer), 0);
  return {
    name: 'latency',
    unit: 'ms',
    title: 'time of one inference',
    parts: 1,
    share: (name, widths) => (timeOf(name, widths) + (name === layers[0].name ? base : 0)) * MILLISECONDS,
  };
}

/** Per layer and widths, computed once: searches ask again and again. */
function remembered<T>(
  of: (name: string, widths: LayerWidths) => T,
): (name: string, widths: LayerWidths) => T {
  const known = new Map<string, Map<number, T>>();
  return (name, widths) => {
    let own = known.get(name);
    if (!own) known.set(name, (own = new Map()));
    const key = widths.weights * 64 + widths.activations;
    let found = own.get(key);
    if (found === undefined) own.set(key, (found = of(name, widths)));
    return found;
  };
}
