import assert from 'node:assert/strict';
import type { Layer } from '../lib/graph/graph.ts';
import { memoryCost } from '../lib/hardware/index.ts';

const layer = (name: string, weights: number, outChannels: number): Layer => ({
  name,
  op: 'Conv',
  node: { name, op: 'Conv', inputs: [], outputs: [], attributes: {} },
  input: 'x',
  output: 'y',
  weights: new Float32Array(weights),
  bias: new Float32Array(outChannels),
  outChannels,
  taps: 1,
  channels: weights / outChannels,
  groups: 1,
  parameters: weights,
  macs: 10 * weights,
});

describe('cost with layers that stay in float', () => {
  const quantized = [layer('a', 100, 10), layer('b', 60, 4)];
  const widths = new Map(quantized.map(({ name }, i) => [name, { weights: 2 + i, activations: 8 }]));
  const cost = memoryCost(quantized, [layer('c', 40, 2)]);

  it('pays for them at 4 bytes and 32 bits a number', () => {
    const { weightBytes, averageBits, bops } = cost.cost(widths);
    assert.equal(weightBytes, 25 + 80 + Math.ceil(180 / 8) + 32 + 4 * 42);
    assert.ok(Math.abs(averageBits - (100 * 2 + 60 * 3 + 40 * 32) / 200) < 1e-12);
    assert.equal(bops, 1000 * 2 * 8 + 600 * 3 * 8 + 400 * 32 * 32);
  });

  it('has shares that sum to the whole', () => {
    for (const [resource, whole] of Object.entries(cost.cost(widths))) {
      const sum = [...widths].reduce(
        (total, [name, width]) => total + cost.layerCost(name, width, resource),
        0,
      );
      assert.ok(Math.abs(sum - whole) < 1e-9 * whole, resource);
    }
  });
});
