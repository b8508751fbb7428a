import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { SigmaQuantError } from '../lib/errors.ts';
import { clipOfLeastError, digitsOfCounts, gaussianCounts } from '../lib/hardware/digits.ts';
import { featuresOf, linear } from '../lib/hardware/features.ts';
import {
  type Device,
  deviceJsonSchema,
  digitsOf,
  gaussianDigits,
  parseDevice,
  roundedPair,
  serializeDevice,
} from '../lib/hardware/index.ts';
import { folder, near, shipped } from './support/devices.ts';

describe('device files', () => {
  it('are shipped whole, each under its own name, baselines among them', () => {
    assert.deepEqual(
      [...shipped.keys()].sort(),
      readdirSync(folder)
        .map((file) => file.replace(/\.json$/, ''))
        .sort(),
    );
    for (const { baseline } of shipped.values()) if (baseline !== null) assert.ok(shipped.has(baseline));
    assert.equal(shipped.size, 8);
  });

  it('are described by the published schema', () => {
    const published = readFileSync(new URL('../docs/device.schema.json', import.meta.url), 'utf8');
    assert.equal(
      published,
      `${JSON.stringify(deviceJsonSchema(), null, 2)}\n`,
      'npx tsx scripts/device-schema.ts writes it again',
    );
  });

  it('survive being written', () => {
    for (const device of shipped.values())
      assert.deepEqual(parseDevice(serializeDevice(device), device.name), device);
  });

  const broken: [string, (device: Device) => unknown, RegExp][] = [
    [
      'a newer version',
      (d) => ({ ...d, version: 2 }),
      /version 1 in "x.json" but received version 2: a newer/,
    ],
    ['an unknown unit', (d) => setIn(d, 'array.clock.unit', 'Mhz'), /array\.clock\.unit/],
    ['a negative cost', (d) => setIn(d, 'pairs.0.energy.terms.one', -3), /pairs\.0\.energy\.terms\.one/],
    ['an absurd cost', (d) => setIn(d, 'pairs.0.area.value', 1e12), /pairs\.0\.area.*at most 10000 mm2/],
    [
      'an absurd energy',
      (d) => setIn(setIn(d, 'pairs.0.energy.unit', 'nJ/MAC'), 'pairs.0.energy.terms.one', 5000),
      /pairs\.0\.energy\.terms: at most 0\.000001 J\/MAC is believed/,
    ],
    [
      'absurd cycles',
      (d) => setIn(d, 'pairs.0.cycles.terms.one', 1e6),
      /at most 1024 cycle\/MAC is believed/,
    ],
    ['an absurd clock', (d) => setIn(d, 'array.clock.value', 1e9), /array\.clock.*at most 1000000000000 Hz/],
    ['a number that is none', (d) => setIn(d, 'array.pixels', '16'), /array\.pixels/],
    ['a missing pair', (d) => setIn(d, 'pairs.0.weights', [2, 3]), /pairs: the pair 8x8 of conv is missing/],
    [
      'a pair given twice',
      (d) => setIn(d, 'pairs.1.activations', [8]),
      /pairs\.1: conv 2x8 is there already/,
    ],
    ['a width that is not offered', (d) => setIn(d, 'pairs.0.weights', [8, 16]), /pairs\.0\.weights\.1/],
    ['a source that is not there', (d) => setIn(d, 'array.source', 'hearsay'), /array\.source.*"hearsay"/],
    ['a field too many', (d) => ({ ...d, colour: 'red' }), /colour/],
    ['no costs at all', (d) => setIn(d, 'pairs.0.energy.terms', {}), /pairs\.0\.energy\.terms: at least one/],
    ['an array without pairs', (d) => ({ ...d, pairs: [] }), /pairs: an array needs pairs/],
  ];
  for (const [what, change, message] of broken)
    it(`are refused with ${what}`, () => {
      const text = JSON.stringify(change(structuredClone(shipped.get('int8-mac-45nm')!)));
      assert.throws(
        () => parseDevice(text, 'x.json'),
        (error) =>
          error instanceof SigmaQuantError &&
          error.code === 'INVALID_ARGUMENT' &&
          error.message.includes('"x.json"') &&
          message.test(error.message) &&
          !error.message.includes('\n'),
      );
    });

  it('are refused where they are no JSON', () => {
    assert.throws(() => parseDevice('{', 'x.json'), /Expected JSON for device "x.json"/);
    assert.throws(() => parseDevice('null', 'x.json'), /a device of version 1 in "x.json"/);
  });
});

/** Sets `a.0.b` of a plain object. */
function setIn(device: Device, path: string, value: unknown): Device {
  const keys = path.split('.');
  let place = device as unknown as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) place = place[key] as Record<string, unknown>;
  place[keys.at(-1)!] = value;
  return device;
}

describe('digits', () => {
  it('counts those of real integers', () => {
    // magnitudes 0, 1, 3, 8: set bits 0, 1, 2, 1; two's complement 0000, 0001, 1101, 1000
    const digits = digitsOf(Int8Array.of(0, 1, -3, -8), 4);
    assert.deepEqual(digits, {
      bits: 4,
      nonZero: 3 / 4,
      digits: (1 + 1 + 2 + 1) / 4,
      setBits: (0 + 1 + 3 + 1) / 4,
      // 00000000, 00000001, 11111101, 11111000
      extendedBits: (0 + 1 + 7 + 5) / 4,
      // shares of ones per bit: 2/4, 0, 1/4, 2/4 and 2/4 four times
      toggles: 0.5 + 0 + 0.375 + 0.5 + 4 * 0.5,
    });
  });

  it('refuses integers that the width does not hold', () => {
    assert.throws(() => digitsOf(Int8Array.of(8), 4), /integers from -8 to 7/);
    assert.throws(() => digitsOf(new Int8Array(0), 4), /at least one integer/);
  });

  it('assumes Gaussian weights at the scale of least error where none are known', () => {
    // Zeros and mean cycles of such weights, as measured: section 5 of the study of the designs.
    const zeros = { 2: 0.45, 3: 0.26, 4: 0.14, 5: 0.08, 6: 0.04, 7: 0.02, 8: 0.01 };
    const cycles = { 2: 1, 3: 1.11, 4: 1.28, 5: 1.56, 6: 1.9, 7: 2.28, 8: 2.7 };
    for (const bits of [2, 3, 4, 5, 6, 7, 8] as const) {
      const { nonZero, digits } = gaussianDigits(bits);
      assert.ok(Math.abs(1 - nonZero - zeros[bits]) < 0.015, `${bits}: ${1 - nonZero}`);
      near(digits, cycles[bits], 0.02);
    }
  });
});

/** Measured energies, fJ per MAC, 2..8-bit weights with 8-bit activations, clipped at the least squared error. */
const MEASURED: Record<string, { energies: number[]; most: number }> = {
  'int8-mac-45nm': { energies: [1298.6, 1487.8, 1608, 1668.7, 1586.5, 1673.7, 1718.2], most: 0.065 },
  'int8-simd-45nm': { energies: [1691, 1790.7, 1955, 2042.9, 2020.5, 2113.1, 2164.9], most: 0.076 },
  'int8-dot-45nm': { energies: [1073.5, 1366.2, 1421.5, 1507.1, 1535.9, 1642.5, 1602.9], most: 0.043 },
  'int8-mac-gated-45nm': { energies: [891.4, 1105.6, 1264.1, 1331.5, 1272.9, 1358.4, 1429.1], most: 0.102 },
  'shift-add-serial-45nm': { energies: [552.2, 706, 829.3, 1002.8, 1100.5, 1286.2, 1413.5], most: 0.025 },
  'shift-add-radix4-45nm': { energies: [519.6, 962.8, 998.7, 1285.8, 1292.2, 1605, 1636.4], most: 0.057 },
  // A lane drew 240 weights: its own digits differ from those expected by up to 10 %.
  'shift-add-skip-45nm': { energies: [1150.4, 1145.3, 1582.7, 1934.7, 1797.2, 2225.4, 2589.6], most: 0.15 },
};

describe('energy per MAC', () => {
  for (const [name, { energies, most }] of Object.entries(MEASURED))
    it(`of ${name} is what was measured, within ${100 * most} %`, () => {
      const { pair } = roundedPair(shipped.get(name)!, 'conv', { weights: 8, activations: 8 });
      energies.forEach((energy, i) => {
        const bits = i + 2;
        const digits = digitsOfCounts(gaussianCounts(bits, clipOfLeastError(bits)), bits);
        near(linear(pair!.energy!.terms, featuresOf(digits)), energy, most);
      });
    });
});
