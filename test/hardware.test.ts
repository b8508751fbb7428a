import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SigmaQuantError } from '../lib/errors.ts';
import {
  floatBytes,
  memoryCost,
  memoryTargets,
  parseTargets,
  referencesOf,
  type TargetContext,
} from '../lib/hardware/index.ts';

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
  const context = memoryTargets(layers);
  it('reads amounts and units', () => {
    const limits = (...texts: string[]) =>
      parseTargets(texts, context).map(({ resource, limit }) => [resource, limit]);
    assert.deepEqual(limits('size=25%', 'bits=2.6'), [
      ['weightBytes', 60],
      ['averageBits', 2.6],
    ]);
    assert.deepEqual(limits('size=120kB'), [['weightBytes', 120_000]]);
    assert.deepEqual(limits('size=1.2MB'), [['weightBytes', 1_200_000]]);
    assert.deepEqual(limits('size=900'), [['weightBytes', 900]]);
    assert.deepEqual(limits('size= 900 B'), [['weightBytes', 900]]);
    assert.deepEqual(limits('bops=1.2G'), [['bops', 1.2e9]]);
    assert.equal(parseTargets(['size=10.5%'], context)[0].text, 'size=10.5%');
    assert.deepEqual(parseTargets([], context), []);
  });

  it('refuses nonsense, naming what it knows', () => {
    const refused = (text: string, message: RegExp) =>
      assert.throws(
        () => parseTargets([text], context),
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
    refused('bits=33', /bits=2.6/);
    refused('energy=40uJ', /a target on size, bits, bops \(the device has no figures of energy\)/);
    assert.throws(() => parseTargets(['size=5%', 'size=6%'], context), /one target per resource/);
  });

  const onDevice: TargetContext = {
    resources: ['weightBytes', 'activationBytes', 'totalBytes', 'energy', 'latency', 'area', 'peakArea'],
    float: { weightBytes: 1000, activationBytes: 400, totalBytes: 1400 },
    references: new Map([
      ['int8', { weightBytes: 300, energy: 50, latency: 4, area: 2 }],
      ['shift-add-serial-45nm', { weightBytes: 300, energy: 40, latency: 8, area: 1 }],
    ]),
  };
  const limitOf = (text: string) => parseTargets([text], onDevice)[0].limit;

  it('reads every unit of a device', () => {
    const amounts: [string, number][] = [
      ['activation=64kB', 64_000],
      ['activation=25%', 100],
      ['memory=256kB', 256_000],
      ['memory=50%', 700],
      ['energy=40uJ', 40],
      ['energy=1.5 mJ', 1500],
      ['energy=20nJ', 0.02],
      ['latency=12ms', 12],
      ['latency=250us', 0.25],
      ['latency=1s', 1000],
      ['area=0.8mm2', 0.8],
      ['area=5000um2', 0.005],
      ['peak-area=2mm2', 2],
    ];
    for (const [text, limit] of amounts)
      assert.ok(Math.abs(limitOf(text) - limit) <= 1e-12 * limit, `${text} is ${limitOf(text)}`);
  });

  it('compares with float, with int8 and with another device', () => {
    assert.equal(limitOf('size=-75%'), 250);
    assert.equal(limitOf('energy=-20%:int8'), 40);
    assert.equal(limitOf('energy=80%:int8'), 40);
    assert.equal(limitOf('latency=+50%:int8'), 6);
    assert.equal(limitOf('energy=-50%:shift-add-serial-45nm'), 20);
    assert.equal(limitOf('size=-10%:int8'), 270);
    assert.deepEqual(referencesOf(['energy=-20%:int8', 'size=25%', 'latency=90%:int8', 'area=50%:other']), [
      'int8',
      'other',
    ]);
  });

  it('refuses what cannot be meant', () => {
    const refused: [string, RegExp][] = [
      ['energy=40', /energy=40uJ or energy=-20%:int8/],
      ['energy=25%', /energy=40uJ or energy=-20%:int8/],
      ['energy=-100%:int8', /energy=-20%:int8/],
      ['energy=0%:int8', /energy=-20%:int8/],
      ['energy=20000%:int8', /energy=-20%:int8/],
      ['energy=-20uJ', /energy=40uJ/],
      ['energy=20uJ:int8', /energy=40uJ/],
      ['energy=-20%:nobody', /a comparison with int8 or shift-add-serial-45nm/],
      ['latency=12', /latency=12ms/],
      ['latency=12MS', /latency=12ms/],
      ['area=3mm', /area=0.8mm2/],
      ['bops=1G', /the device has no figures of bops/],
      ['peak-area=-20%:int8', /peak-area=0.8mm2/],
    ];
    for (const [text, message] of refused)
      assert.throws(
        () => parseTargets([text], onDevice),
        (error) =>
          error instanceof SigmaQuantError &&
          error.code === 'INVALID_ARGUMENT' &&
          message.test(error.message),
        text,
      );
  });
});
