import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { parseDevice } from '../../lib/hardware/index.ts';

export const folder = new URL('../../lib/hardware/devices/', import.meta.url);

/** The devices that come with the package, by name. */
export const shipped = new Map(
  readdirSync(folder).map((file) => {
    const device = parseDevice(readFileSync(new URL(file, folder), 'utf8'), file);
    return [device.name, device];
  }),
);
export const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${actual} is not ${expected}`);
