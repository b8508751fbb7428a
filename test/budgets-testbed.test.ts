import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { openDataset } from '../lib/data/index.ts';
import { type QuantizeOptions, type QuantizeResult, quantize } from '../lib/index.ts';
import { readSqnt } from '../lib/sqnt/index.ts';
import { near } from './support/devices.ts';
import { type Recomputed, recomputed } from './support/recomputed.ts';

const TESTBED = new URL('../../shared/testbed/', import.meta.url);
const DEVICE = 'shift-add-radix4-45nm';
/** Of each labelled set: half of them validate. */
const LABELLED = 400;

interface Case {
  name: string;
  data: string;
  preprocessing: NonNullable<QuantizeOptions['preprocessing']>;
  targets: string[];
  limits: Partial<Recomputed>;
  maxDrop: number;
}

const CASES: Case[] = [
  {
    name: 'resnet8-cifar10',
    data: 'cifar10',
    preprocessing: {},
    targets: ['size=36kB', 'activation=33kB', 'energy=-30%:int8', 'latency=0.015ms'],
    limits: { weightBytes: 36_000, activationBytes: 33_000, latency: 0.015 },
    maxDrop: 3,
  },
  {
    name: 'dscnn-kws',
    data: 'kws',
    preprocessing: { scale: 0.58470288, mean: 83 * 0.58470288 },
    targets: ['size=16kB', 'activation=12kB', 'energy=-15%:int8', 'latency=0.014ms'],
    limits: { weightBytes: 16_000, activationBytes: 12_000, latency: 0.014 },
    maxDrop: 4,
  },
];

describe('budgets of real networks', () => {
  before(function () {
    if (existsSync(TESTBED)) return;
    console.log('      skipped: no test bed beside the repository (../shared/testbed)');
    this.skip();
  });

  const at = (path: string) => fileURLToPath(new URL(path, TESTBED));

  /** The first of the labelled samples: a test has no time for all of them. */
  async function labelled({ data, preprocessing }: Case): Promise<NonNullable<QuantizeOptions['evaluate']>> {
    const all = await openDataset(at(`data/${data}-test.npz`), { preprocessing });
    const { name, shape } = all;
    return {
      name,
      shape,
      labelled: true,
      size: LABELLED,
      fingerprint: () => all.fingerprint(),
      batches: ({ select, ...options }) =>
        all.batches({ ...options, select: (index) => index < LABELLED && (select?.(index) ?? true) }),
    };
  }

  for (const own of CASES)
    it(`hold four ceilings and a floor on ${own.name}`, async function () {
      this.timeout(600_000);
      const { name, data, preprocessing, targets, limits, maxDrop } = own;
      const base: QuantizeOptions = {
        model: at(`models/${name}.onnx`),
        calibration: at(`data/${data}-calibration.npz`),
        evaluate: await labelled(own),
        preprocessing,
        device: DEVICE,
        activationBits: [4, 8],
        samples: 64,
      };
      const result = await quantize({ ...base, targets, maxDrop });
      const int8 = await quantize({
        ...base,
        device: 'int8-dot-45nm',
        bits: [8],
        activationBits: 8,
        evaluations: 1,
      });
      const costs = costsOf(result, DEVICE);
      console.log(`      ${name}: ${JSON.stringify(costs)}, drop ${result.validation.drop?.toFixed(2)}`);
      assert.equal(result.verdict, 'met', JSON.stringify(result.feasible.map(({ ask }) => ask)));
      assert.ok(result.validation.drop! <= maxDrop);
      for (const [resource, limit] of Object.entries(limits))
        assert.ok(costs[resource as keyof Recomputed] <= limit, `${resource} above ${limit}`);
      const share = 1 + Number.parseFloat(/energy=(-\d+)/.exec(targets.join())![1]) / 100;
      const energy = costsOf(int8, 'int8-dot-45nm').energy;
      assert.ok(costs.energy <= share * energy, `${costs.energy} uJ above ${share} of ${energy} uJ`);
    });

  /** By the packed file alone, and what allocation.json says besides. */
  function costsOf({ artefacts }: QuantizeResult, device: string): Recomputed {
    const costs = recomputed(readSqnt(artefacts.sqnt!, { crc32 }), device);
    for (const [name, value] of Object.entries(costs)) near(artefacts.allocation.cost[name], value);
    return costs;
  }
});
