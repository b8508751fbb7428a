import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SigmaQuantError } from '../lib/errors.ts';
import { floatBytes, memoryCost, parseTargets } from '../lib/hardware/index.ts';

const layers = [
  { name: 'first', weights: { length: 27 }, bias: { length: 3 }, outChannels: 3, macs: 1000 },
  { name: 'last', weights: { length: 30 }, bias: null, outChannels: 10, macs: 30 },
];
const widths = (first: number, last: number, activations = 8) =>
  new Map([
    ['first', { weights: first, activations }],
    ['last', { weights: last, activations }],
  ]);

describe('memory cost', () => {
  const cost = memoryCost(layers);

  it('counts packed bytes, scales and biases', () => {
    // ceil(27 * 3 / 8) + 8 * 3 and ceil(30 * 8 / 8) + 8 * 10
    assert.equal(cost.cost(widths(3, 8))['weightBytes'], 11 + 24 + 30 + 80);
    assert.equal(cost.cost(widths(3, 8))['averageBits'], (27 * 3 + 30 * 8) / 57);
    assert.equal(cost.cost(widths(3, 8, 4))['bops'], 1000 * 3 * 4 + 30 * 8 * 4);
    assert.equal(floatBytes(layers), 4 * (27 + 3 + 30));
  });

  it('is the sum of its layers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), fc.integer({ min: 2, max: 8 }), (first, last) => {
        const plan = widths(first, last);
        for (const [resource, total] of Object.entries(cost.cost(plan))) {
          const sum = [...plan].reduce((part, [name, own]) => part + cost.layerCost(name, own, resource), 0);
          assert.ok(Math.abs(sum - total) <= 1e-12 * total);
        }
      }),
      { seed: 1 },
    );
  });

  it('refuses what it does not know', () => {
    assert.throws(() => cost.layerCost('middle', { weights: 8, activations: 8 }, 'bops'), SigmaQuantError);
    assert.throws(() => cost.layerCost('first', { weights: 8, activations: 8 }, 'beauty'), /weightBytes/);
  });
});

describe('targets', () => {
  it('reads amounts and units', () => {
    const limits = (...texts: string[]) =>
      parseTargets(texts, layers).map(({ resource, limit }) => [resource, limit]);
    assert.deepEqual(limits('size=25%', 'bits=2.6'), [
      ['weightBytes', 60],
      ['averageBits', 2.6],
    ]);
    assert.deepEqual(limits('size=120kB'), [['weightBytes', 120_000]]);
    assert.deepEqual(limits('size=1.2MB'), [['weightBytes', 1_200_000]]);
    assert.deepEqual(limits('size=900'), [['weightBytes', 900]]);
    assert.deepEqual(limits('size= 900 B'), [['weightBytes', 900]]);
    assert.deepEqual(limits('bops=1.2G'), [['bops', 1.2e9]]);
    assert.equal(parseTargets(['size=10.5%'], layers)[0].text, 'size=10.5%');
    assert.deepEqual(parseTargets([], layers), []);
  });

  it('refuses nonsense, naming what it knows', () => {
    const refused = (text: string, message: RegExp) =>
      assert.throws(
        () => parseTargets([text], layers),
        (error) =>
          error instanceof SigmaQuantError &&
          error.code === 'INVALID_ARGUMENT' &&
          message.test(error.message),
        text,
      );
    for (const text of ['beauty=3', 'size', '', '=3', 'toString=1', 'Size=3'])
      refused(text, text === 'size' ? /size=25%/ : /a target on size, bits, bops/);
    for (const text of [
      'size=',
      'size=-5kB',
      'size=0',
      'size=12mB',
      'size=1e3kB',
      'size=12 apples',
      'size=NaN',
      'size=5%%',
    ])
      refused(text, /Expected size=25%, size=120kB or size=1.2MB for target but received/);
    for (const text of ['bits=25%', 'bits=2k', 'bits=two', 'bits='])
      refused(text, /Expected bits=2.6 for target/);
    refused('bops=5%', /bops=1.2G/);
    assert.throws(() => parseTargets(['size=5%', 'size=6%'], layers), /one target per resource/);
  });
});
