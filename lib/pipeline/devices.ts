import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cost } from '../allocate/allocate.ts';
import { SigmaQuantError } from '../errors.ts';
import {
  boardDevice,
  type CostedNetwork,
  type Device,
  deviceCost,
  parseDevice,
  parseTimings,
  referencesOf,
} from '../hardware/index.ts';
import { readBytes } from './files.ts';

/** The same relative path from `lib` and from `dist`. */
const FOLDER = new URL('../hardware/devices/', import.meta.url);
/** What targets are compared with by default. */
const INT8 = 'int8';

/** Names of the devices that come with the package, in order. */
export function deviceNames(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => basename(file, '.json'))
    .sort();
}

/** A device by its name, or a file by its path. Throws INVALID_ARGUMENT naming file and field. */
export async function loadDevice(nameOrPath: string): Promise<Device> {
  const names = deviceNames();
  if (names.includes(nameOrPath)) {
    const path = fileURLToPath(new URL(`${nameOrPath}.json`, FOLDER));
    return readDevice(path);
  }
  if (!/[/\\]|\.json$/i.test(nameOrPath))
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected ${names.join(', ')} or the path of a JSON file for device but received ${JSON.stringify(nameOrPath)}.`,
    );
  return readDevice(nameOrPath);
}

async function readDevice(path: string): Promise<Device> {
  return parseDevice(new TextDecoder().decode(await readBytes(path, 'device')), path);
}

/**
 * What relative targets are compared with: costs of all layers at 8 x 8 bits on the baseline of `device` (`int8`; on
 * itself where it has none) and on each device that a target names.
 */
export async function referenceCosts(
  targets: readonly string[],
  device: Device,
  network: CostedNetwork,
): Promise<Map<string, Cost>> {
  const widths = new Map(network.layers.map(({ name }) => [name, { weights: 8, activations: 8 }]));
  const costs = new Map<string, Cost>();
  for (const name of referencesOf(targets)) {
    const baseline = device.baseline === null ? device : await loadDevice(device.baseline);
    const other = name === INT8 ? baseline : name === device.name ? device : await loadDevice(name);
    costs.set(name, deviceCost(other, network).cost(widths));
  }
  return costs;
}

/** A device from a board's own timings, see parseTimings. */
export async function importTimings(path: string, name: string): Promise<Device> {
  const text = new TextDecoder().decode(await readBytes(path, 'timings'));
  const file = basename(path);
  return boardDevice(parseTimings(text, file), {
    name,
    title: `Timings of ${file}`,
    source: `Timings of the file ${file}.`,
  });
}
