import type { AllocatableLayer, Ceiling, Cost } from '../allocate/allocate.ts';
import { defaultStrategy, planStrategy, strategies } from '../allocate/index.ts';
import type { LayerProfile } from '../analysis/analysis.ts';
import { refuse } from '../errors.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import {
  type CostedNetwork,
  costedNetwork,
  type Device,
  type DeviceCost,
  type DigitSource,
  deviceCost,
  deviceTargets,
  digitsOf,
  floatBytes,
  parseTargets,
  referencesOf,
  type WeightDigits,
} from '../hardware/index.ts';
import type { Recovery } from '../recovery/recovery.ts';
import type { Choices } from './choices.ts';
import type { Host } from './host.ts';
import { DEFAULTS, type SearchOptions } from './options.ts';

/** What allocation knows of costs and strategies, joined with what the options ask for. */

/** Loads devices that are named. */
type LoadDevice = Pick<Host, 'loadDevice'>;
/** What targets are compared with by default. */
const INT8 = 'int8';

/** A network's costs on a device, and what targets are read against. */
export interface Costs {
  device: Device;
  model: DeviceCost;
  /** Throws INVALID_ARGUMENT, see parseTargets. */
  ceilings(targets: readonly string[] | undefined): Promise<Ceiling[]>;
  /** The same network on another device. */
  on(device: Device): DeviceCost;
}

/** `digits`: of the integers that layers have at a width; null where they are not known yet. */
export function costsOn(
  device: Device,
  graph: Graph,
  layers: readonly Layer[],
  rest: readonly Layer[],
  digits: DigitSource,
  host: LoadDevice,
): Costs {
  const network = costedNetwork(graph, layers, rest, digits);
  const model = deviceCost(device, network);
  return {
    device,
    model,
    on: (other) => deviceCost(other, network),
    ceilings: async (targets = []) => {
      const references = await referenceCosts(targets, device, network, host);
      return parseTargets(targets, deviceTargets(model, network, references));
    },
  };
}

/** The device that the options name, loaded; bytes and bit operations alone where they name none. */
export async function deviceOf(device: SearchOptions['device'], host: LoadDevice): Promise<Device> {
  return typeof device === 'object' ? device : host.loadDevice(device ?? DEFAULTS.device);
}

/**
 * What relative targets are compared with: costs of all layers at 8 x 8 bits on the baseline of `device` (`int8`; on
 * itself where it has none) and on each device that a target names.
 */
export async function referenceCosts(
  targets: readonly string[],
  device: Device,
  network: CostedNetwork,
  host: LoadDevice,
): Promise<Map<string, Cost>> {
  const widths = new Map(network.layers.map(({ name }) => [name, { weights: 8, activations: 8 }]));
  const costs = new Map<string, Cost>();
  for (const name of referencesOf(targets)) {
    const baseline = device.baseline === null ? device : await host.loadDevice(device.baseline);
    const other = name === INT8 ? baseline : name === device.name ? device : await host.loadDevice(name);
    costs.set(name, deviceCost(other, network).cost(widths));
  }
  return costs;
}

/** Digits of all integers that a recovery can make of the layers, made now so that costs need not wait. */
export async function digitsFrom(
  recovery: Pick<Recovery, 'quantize'>,
  { layers }: Choices,
  signal?: AbortSignal,
): Promise<DigitSource> {
  const known = new Map<string, WeightDigits>();
  for (const { name, bits } of layers)
    for (const width of bits) {
      const { q } = await recovery.quantize(name, width, signal);
      known.set(`${width} ${name}`, digitsOf(q, width));
    }
  return ({ name }, bits) => known.get(`${bits} ${name}`) ?? null;
}

export function floatBytesOf(layers: readonly Layer[]): number {
  return floatBytes(layers);
}

/** Resources by the names that targets have for them. */
const GOALS: Readonly<Record<string, string>> = {
  size: 'weightBytes',
  activation: 'activationBytes',
  memory: 'totalBytes',
  'peak-area': 'peakArea',
};

/** The resource that `minimize` means; throws INVALID_ARGUMENT for one that the device has no figures for. */
export function goalOf(minimize: string | undefined, { resources }: DeviceCost): string {
  const goal = GOALS[minimize ?? 'size'] ?? minimize!;
  const known = resources.map(({ name }) => name);
  if (!known.includes(goal)) refuse(`size or one of ${known.join(', ')}`, 'minimize', minimize);
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
