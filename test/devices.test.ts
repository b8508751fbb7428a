import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { LayerWidths, Widths } from '../lib/allocate/allocate.ts';
import { SigmaQuantError } from '../lib/errors.ts';
import type { Graph, Node, Tensor } from '../lib/graph/graph.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import { clipOfLeastError, digitsOfCounts, gaussianCounts } from '../lib/hardware/digits.ts';
import { featuresOf, linear } from '../lib/hardware/features.ts';
import {
  type CostedNetwork,
  costedNetwork,
  type Device,
  deviceCost,
  deviceJsonSchema,
  digitsOf,
  gaussianDigits,
  type NetworkLayer,
  parseDevice,
  roundedPair,
  serializeDevice,
} from '../lib/hardware/index.ts';
import { tinyModel } from './support/network.ts';

const folder = new URL('../lib/hardware/devices/', import.meta.url);
const shipped = new Map(
  readdirSync(folder).map((file) => {
    const device = parseDevice(readFileSync(new URL(file, folder), 'utf8'), file);
    return [device.name, device];
  }),
);
const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${actual} is not ${expected}`);

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

/** Round figures: 4 pixels x 2 channels x 1, 1 MHz, N cycles and 100 fJ plus 10 fJ per bit, 1 mm2 in all. */
function plainDevice(change: Partial<Device> = {}): Device {
  const source = 'made';
  const figures = (
    activations: number,
    weights: number[],
    operators: Device['pairs'][number]['operators'],
  ) => ({
    operators,
    weights,
    activations: [activations],
    cycles: { unit: 'cycle/MAC', source, terms: { bits: 1 } },
    energy: { unit: 'fJ/MAC', source, terms: { one: 100, bits: 10 } },
    area: { value: 125_000, unit: 'um2', source },
  });
  return parseDevice(
    JSON.stringify({
      version: 1,
      name: 'plain',
      title: 'Round figures',
      baseline: null,
      sources: { made: 'made up' },
      notes: [],
      packing: { rowBits: 1, source },
      array: {
        pixels: 4,
        channels: 2,
        depth: 1,
        sharedControl: null,
        clock: { value: 1, unit: 'MHz', source },
        source,
      },
      pairs: [figures(8, [4, 8], ['conv', 'linear']), figures(8, [8], ['depthwise'])],
      memories: [
        memory('buffer', 'on-chip', 64, null, 8),
        memory('global', 'on-chip', 1000, null, 80),
        memory('dram', 'off-chip', null, 1000, 800),
      ],
      latency: null,
      ...change,
    }),
    'plain.json',
  );
  function memory(
    name: string,
    place: string,
    capacity: number | null,
    bandwidth: number | null,
    energy: number,
  ) {
    return {
      name,
      place,
      capacity: capacity && { value: capacity, unit: 'byte', source },
      bandwidth: bandwidth && { value: bandwidth, unit: 'byte/s', source },
      energy: { value: energy, unit: 'pJ/byte', source },
    };
  }
}

/** A layer of round numbers. */
function plainLayer(some: Partial<NetworkLayer> & Pick<NetworkLayer, 'name'>): NetworkLayer {
  const layer = {
    operator: 'conv' as const,
    kind: 'conv' as const,
    shape: '',
    features: { step: 1, macs: 0, inputs: 0, patches: 0, outputs: 0, weights: 0 },
    weights: { length: 4 * 10 },
    bias: { length: 4 },
    outChannels: 4,
    groupChannels: 4,
    depth: 10,
    pixels: 8,
    inputs: 60,
    outputs: 32,
    digits: gaussianDigits,
    ...some,
  };
  return { ...layer, macs: layer.pixels * layer.weights.length };
}

const networkOf = (...layers: NetworkLayer[]): CostedNetwork => ({
  layers,
  rest: [],
  activations: [{ step: layers[0].name, fixedBytes: 0, elements: new Map([[layers[0].name, [100]]]) }],
  floatActivationBytes: 400,
  steps: [],
});
const widths8 = { weights: 8, activations: 8 };
const uniform = ({ layers }: CostedNetwork, widths: LayerWidths): Widths =>
  new Map(layers.map(({ name }) => [name, widths]));

describe('device cost by hand', () => {
  it('of a convolution', () => {
    const network = networkOf(plainLayer({ name: 'c' }));
    const cost = deviceCost(plainDevice(), network);
    const [line] = cost.breakdown(uniform(network, widths8));
    // 320 MACs on 8 elements, all of them at work, 8 cycles each
    assert.equal(line.utilisation, 1);
    assert.equal(line.cyclesPerMac, 8);
    assert.equal(line.weightBytes, 40 + 4 * 8);
    near(line.energy!.compute, 320 * 180e-15 * 1e6);
    // per MAC: 8 bits shared by 4 pixels, 8 bits by 2 channels, 64 bits over a depth of 10; 1 pJ per bit
    near(line.energy!.onChip, 320 * (8 / 4 + 8 / 2 + 64 / 10) * 1e-12 * 1e6);
    // 72 bytes of weights at 800 pJ; the 60 bytes of input stay in the buffer
    near(line.energy!.offChip, 72 * 800e-12 * 1e6);
    // 320 * 8 / 8 cycles at 1 MHz are 0.32 ms, 72 bytes at 1000 bytes a second 72 ms
    near(line.latency!.total, 72);
    assert.equal(line.latency!.bound, 'memory');
    const total = cost.cost(uniform(network, widths8));
    near(total['energy'], line.energy!.compute + line.energy!.onChip + line.energy!.offChip);
    near(total['latency'], 72);
    // 8 elements of 0.125 mm2, 8 cycles where one is the standard
    near(total['area'], 8);
    near(total['peakArea'], 8);
    assert.equal(total['activationBytes'], 100);
    assert.equal(total['totalBytes'], 172);
  });

  it('of a convolution that fills the array badly', () => {
    // 5 pixels take two passes of 4, 3 channels two of 2
    const layer = plainLayer({
      name: 'c',
      pixels: 5,
      outChannels: 3,
      groupChannels: 3,
      weights: { length: 30 },
    });
    const device = plainDevice({ memories: [] });
    const network = networkOf(layer);
    const [line] = deviceCost(device, network).breakdown(uniform(network, { weights: 4, activations: 8 }));
    near(line.utilisation!, (5 / 8) * (3 / 4));
    near(line.latency!.total, ((150 * 4) / (8 * line.utilisation!) / 1e6) * 1e3);
    assert.equal(line.latency!.bound, 'compute');
    near(line.energy!.compute, 150 * 140e-15 * 1e6);
    assert.equal(line.energy!.onChip, 0);
  });

  it('of a depthwise convolution: no channel shares an input, and 4 bits round up', () => {
    const layer = plainLayer({
      name: 'd',
      operator: 'depthwise',
      kind: 'depthwise',
      weights: { length: 4 * 9 },
      depth: 9,
      groupChannels: 1,
      inputs: 70,
    });
    const network = networkOf(layer);
    const [line] = deviceCost(plainDevice(), network).breakdown(
      uniform(network, { weights: 4, activations: 4 }),
    );
    assert.deepEqual(line.pair, { weights: 8, activations: 8, rounded: true });
    assert.equal(line.utilisation, 1 / 2);
    const { macs } = layer;
    assert.equal(macs, 8 * 36);
    near(line.energy!.compute, macs * 180e-15 * 1e6);
    // the input of 70 bytes does not fit 64: written to and read from the next memory, 80 pJ a byte
    near(line.energy!.onChip, (macs * (8 / 4 + 8 / 1 + 64 / 9) * 1e-12 + 2 * 70 * 80e-12) * 1e6);
    near(line.energy!.offChip, (36 + 32) * 800e-12 * 1e6);
  });

  it('of an input that no on-chip memory holds', () => {
    const network = networkOf(plainLayer({ name: 'c', inputs: 2000 }));
    const [line] = deviceCost(plainDevice(), network).breakdown(uniform(network, widths8));
    assert.equal(line.offChipBytes, 72 + 2 * 2000);
    near(line.latency!.total, 4072);
  });

  it('of elements that share their control: all are paid where few have work', () => {
    const device = plainDevice({ array: { ...plainDevice().array!, sharedControl: 'pixels' } });
    const network = networkOf(
      plainLayer({ name: 'l', operator: 'linear', pixels: 1, weights: { length: 40 } }),
    );
    const [line] = deviceCost(device, network).breakdown(uniform(network, widths8));
    near(line.energy!.compute, 40 * 4 * 180e-15 * 1e6);
    near(line.utilisation!, 1 / 4);
  });

  it('of layers that stay in float: 16 integer products each, and 4 bytes', () => {
    const rest = plainLayer({ name: 'f' });
    const network = { ...networkOf(plainLayer({ name: 'c' })), rest: [rest] };
    const without = deviceCost(plainDevice(), { ...network, rest: [] });
    const widths = uniform(network, widths8);
    const added = (resource: string) =>
      deviceCost(plainDevice(), network).cost(widths)[resource] - without.cost(widths)[resource];
    assert.equal(added('weightBytes'), 4 * 44);
    assert.equal(added('bops'), rest.macs * 1024);
    // compute 16 fold; operands of 4 bytes, the input of 240 bytes in the global buffer
    const onChip = 4 * (320 * (2 + 4 + 6.4) * 1e-12 + 2 * 240 * 80e-12);
    near(added('energy'), (16 * 320 * 180e-15 + onChip + 176 * 800e-12) * 1e6, 1e-9);
  });

  it('pads the rows of weights', () => {
    const device = plainDevice({ packing: { rowBits: 32, source: 'made' } });
    const network = networkOf(plainLayer({ name: 'c' }));
    // 10 weights of 4 bits are 40 bits, padded to 64: 4 rows of 8 bytes
    assert.equal(
      deviceCost(device, network).cost(uniform(network, { weights: 4, activations: 8 }))['weightBytes'],
      32 + 32,
    );
  });

  it('takes cycles from the integers themselves', () => {
    const device = shipped.get('shift-add-skip-45nm')!;
    const sparse = digitsOf(Int8Array.of(0, 0, 0, 64), 8);
    const dense = digitsOf(Int8Array.of(127, 127, 127, -127), 8);
    const cyclesOf = (digits: () => ReturnType<typeof digitsOf>) => {
      const network = networkOf(plainLayer({ name: 'c', digits }));
      return deviceCost(device, network).breakdown(uniform(network, widths8))[0].cyclesPerMac;
    };
    assert.equal(
      cyclesOf(() => sparse),
      1,
    );
    assert.equal(
      cyclesOf(() => dense),
      7,
    );
  });

  it('has only the resources that the device has figures for', () => {
    const network = networkOf(plainLayer({ name: 'c' }));
    const names = (device: Device) => deviceCost(device, network).resources.map(({ name }) => name);
    assert.deepEqual(names(shipped.get('generic-memory')!), [
      'weightBytes',
      'averageBits',
      'bops',
      'activationBytes',
      'totalBytes',
    ]);
    assert.deepEqual(names(plainDevice()).slice(5), ['energy', 'latency', 'area', 'peakArea']);
  });
});

describe('whole accelerator', () => {
  // Section 6 of the study: energy against INT8 at 8 bits, weights at the least squared error, 14 x 14 outputs.
  const expected: [string, string, number, number][] = [
    ['int8-dot-45nm', 'int8-dot-45nm', 4, -0.19],
    ['shift-add-radix4-45nm', 'int8-dot-45nm', 4, -0.37],
    ['shift-add-radix4-45nm', 'int8-dot-45nm', 8, 0.02],
    ['shift-add-serial-45nm', 'int8-dot-45nm', 4, -0.45],
    ['int8-mac-gated-45nm', 'int8-mac-45nm', 4, -0.29],
    ['shift-add-skip-45nm', 'int8-simd-45nm', 4, -0.29],
  ];
  for (const [name, baseline, bits, change] of expected)
    it(`${name} at ${bits} bits is at ${Math.round(100 * change)} % of ${baseline} at 8`, () => {
      const layer = plainLayer({
        name: 'c',
        pixels: 196,
        outChannels: 64,
        groupChannels: 64,
        depth: 576,
        weights: { length: 64 * 576 },
        inputs: 64 * 196,
      });
      const network = networkOf(layer);
      const energy = (device: string, weights: number) =>
        deviceCost(shipped.get(device)!, network).cost(uniform(network, { weights, activations: 8 }))[
          'energy'
        ];
      const actual = energy(name, bits) / energy(baseline, 8) - 1;
      assert.ok(Math.abs(actual - change) < 0.05, `${(100 * actual).toFixed(1)} %`);
    });
});

describe('cost of a whole network', () => {
  const { graph } = importGraph(tinyModel());
  const forms: [string, Graph][] = [
    ['onnx', graph],
    ['channels-last', toChannelsLast(graph)],
  ];
  for (const [form, own] of forms)
    for (const device of shipped.values())
      it(`is the largest of its parts, each the sum of its layers: ${device.name}, ${form}`, () => {
        const network = costedNetwork(own, layersOf(own));
        const cost = deviceCost(device, network);
        const widths = new Map(
          network.layers.map(({ name }, i) => [name, { weights: 2 + (i % 7), activations: i % 2 ? 8 : 4 }]),
        );
        const whole = cost.cost(widths);
        assert.deepEqual(
          Object.keys(whole),
          cost.resources.map(({ name }) => name),
        );
        for (const { name: resource, parts } of cost.resources) {
          assert.equal(cost.parts(resource), parts);
          const sums = Array.from({ length: parts }, (_, part) =>
            [...widths].reduce((sum, [layer, own]) => sum + cost.layerCost(layer, own, resource, part), 0),
          );
          assert.ok(
            sums.every((sum) => sum > 0 || resource === 'peakArea'),
            resource,
          );
          near(Math.max(...sums), whole[resource], 1e-12);
        }
      });

  it('is the same from either form', () => {
    const [onnx, last] = forms.map(([, own]) => {
      const network = costedNetwork(own, layersOf(own));
      return deviceCost(shipped.get('int8-dot-45nm')!, network).cost(uniform(network, widths8));
    });
    assert.deepEqual(onnx, last);
  });
});

const F32 = (shape: number[]): Tensor => ({
  dtype: 'float32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

/** x [4x4x2] -> a (conv, 8 channels) -> b (1x1, 8) -> Add with a's output -> pool to 2x2 -> flatten -> fc. */
function residual(): Graph {
  const conv = (name: string, input: string): Node => ({
    name,
    op: 'Conv',
    inputs: [input, `${name}.w`],
    outputs: [`${name}.y`],
    attributes: {
      strides: [1, 1],
      dilations: [1, 1],
      pads: [0, 0, 0, 0],
      group: 1,
      clamp: [0, Number.POSITIVE_INFINITY],
    },
  });
  const node = (name: string, op: string, inputs: string[], attributes: Node['attributes'] = {}): Node => ({
    name,
    op,
    inputs,
    outputs: [`${name}.y`],
    attributes,
  });
  const value = (shape: (number | string)[]) => ({ dtype: 'float32' as const, shape });
  return {
    name: 'residual',
    opset: 13,
    inputs: [{ name: 'x', ...value(['n', 4, 4, 2]) }],
    outputs: [{ name: 'fc.y', ...value(['n', 5]) }],
    nodes: [
      conv('a', 'x'),
      conv('b', 'a.y'),
      node('add', 'Add', ['a.y', 'b.y'], { clamp: [0, Number.POSITIVE_INFINITY] }),
      node('pool', 'MaxPool', ['add.y'], {
        kernel_shape: [2, 2],
        strides: [2, 2],
        dilations: [1, 1],
        pads: [0, 0, 0, 0],
        ceil_mode: 0,
      }),
      node('flat', 'Flatten', ['pool.y'], { axis: 1 }),
      node('fc', 'Linear', ['flat.y', 'fc.w'], {}),
    ],
    constants: new Map([
      ['a.w', F32([8, 1, 1, 2])],
      ['b.w', F32([8, 1, 1, 8])],
      ['fc.w', F32([5, 32])],
    ]),
    types: new Map([
      ['x', value(['n', 4, 4, 2])],
      ['a.y', value(['n', 4, 4, 8])],
      ['b.y', value(['n', 4, 4, 8])],
      ['add.y', value(['n', 4, 4, 8])],
      ['pool.y', value(['n', 2, 2, 8])],
      ['flat.y', value(['n', 32])],
      ['fc.y', value(['n', 5])],
    ]),
    rawSigma: new Map(),
    layout: 'channels-last',
  };
}

describe('peak of activations', () => {
  const graph = residual();
  const network = costedNetwork(graph, layersOf(graph));
  const cost = deviceCost(shipped.get('generic-memory')!, network);
  const peak = (a: number, b: number, fc: number) =>
    cost.cost(
      new Map([
        ['a', { weights: 8, activations: a }],
        ['b', { weights: 8, activations: b }],
        ['fc', { weights: 8, activations: fc }],
      ]),
    )['activationBytes'];

  it('is the largest cut of the schedule', () => {
    // while b runs: a.y (128 at b's width) and b.y (128, no layer reads it, 8 bits);
    // the Add writes over one of them; while the pool runs: add.y 128 and pool.y 32 at fc's width
    assert.equal(peak(8, 8, 8), 256);
    assert.equal(peak(8, 4, 8), 64 + 128);
    assert.equal(peak(8, 2, 8), 32 + 128);
  });

  it('counts views once, and outputs in float', () => {
    // while fc runs: pool.y, of which flat.y is a view, and 5 floats
    const last = network.activations.find(({ step }) => step === 'fc');
    if (last) assert.deepEqual([last.fixedBytes, [...last.elements]], [20, [['fc', [32]]]]);
    assert.equal(network.floatActivationBytes, 4 * 256);
  });

  it('takes the widest of several readers', () => {
    const twice = residual();
    const [, b] = twice.nodes;
    const other: Node = { ...b, name: 'c', outputs: ['c.y'] };
    const branched: Graph = {
      ...twice,
      nodes: [twice.nodes[0], b, other, ...twice.nodes.slice(2)],
      outputs: [...twice.outputs, { name: 'c.y', dtype: 'float32', shape: ['n', 4, 4, 8] }],
      types: new Map([...twice.types, ['c.y', { dtype: 'float32' as const, shape: ['n', 4, 4, 8] }]]),
    };
    const own = costedNetwork(branched, layersOf(branched));
    const model = deviceCost(shipped.get('generic-memory')!, own);
    const at = (first: number, second: number) =>
      model.cost(
        new Map(
          own.layers.map(({ name }) => [
            name,
            { weights: 8, activations: name === 'b' ? first : name === 'c' ? second : 8 },
          ]),
        ),
      )['activationBytes'];
    // while c runs: a.y at the wider of b and c, b.y 128, c.y 512 as a float output
    assert.equal(at(8, 4), 128 + 128 + 512);
    assert.equal(at(4, 8), 128 + 128 + 512);
    assert.equal(at(4, 4), 64 + 128 + 512);
  });
});
