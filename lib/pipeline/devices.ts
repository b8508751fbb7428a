import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SigmaQuantError } from '../errors.ts';
import { boardDevice, type Device, parseDevice, parseTimings } from '../hardware/index.ts';
import { readBytes } from './files.ts';

/** The same relative path from `lib` and from `dist`. */
const FOLDER = new URL('../hardware/devices/', import.meta.url);

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
