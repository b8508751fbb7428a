import assert from 'node:assert/strict';
import type { LayerWidths, Widths } from '../lib/allocate/allocate.ts';
import type { Graph } from '../lib/graph/graph.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import {
  type CostedNetwork,
  costedNetwork,
  type Device,
  deviceCost,
  digitsOf,
  gaussianDigits,
  type NetworkLayer,
  parseDevice,
} from '../lib/hardware/index.ts';
import { near, shipped } from './support/devices.ts';
import { tinyModel } from './support/network.ts';

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
