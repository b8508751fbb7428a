import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type QuantizeOptions, type QuantizeResult, quantize } from '../lib/index.ts';
import { readModel, TensorProto_DataType } from '../lib/onnx/index.ts';
import { readSqnt } from '../lib/sqnt/index.ts';
import { sigmaquant } from './support/command.ts';
import { near } from './support/devices.ts';
import { recomputed } from './support/recomputed.ts';
import { TINTED, writeTintedNetwork } from './support/tinted.ts';

const DEVICE = 'shift-add-radix4-45nm';
const SAMPLES = 96;
const CEILINGS = { weightBytes: 1400, activationBytes: 800, energy: 0.2, latency: 0.00045 };
const FOUR = ['size=1400B', 'activation=800B', 'energy=0.2uJ', 'latency=0.00045ms'];
const EXITS = { met: 0, 'resource-only': 3, 'accuracy-only': 4, impossible: 5 };

describe('budgets', () => {
  let folder: string;
  let base: QuantizeOptions;
  let argv: string[];

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    const [model, data] = ['tiny.onnx', 'images.npz'].map((name) => join(folder, name));
    writeTintedNetwork(model, data, SAMPLES);
    base = {
      model,
      calibration: data,
      preprocessing: TINTED,
      device: DEVICE,
      activationBits: [4, 8],
      freeEnds: true,
    };
    argv = ['quantize', model, '--calibration', data, '--scale', '1/128', '--mean', '1', '--device', DEVICE];
    argv.push('--activation-bits', '4,8', '--free-ends', '--no-cache', '--force', '--json');
    argv.push('--out', join(folder, 'out'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const packed = ({ artefacts }: QuantizeResult) => readSqnt(artefacts.sqnt!, { crc32 });

  it('keep four ceilings and a floor at once, as the exported files alone say', async () => {
    const result = await quantize({ ...base, targets: FOUR, maxDrop: 3 });
    assert.equal(result.verdict, 'met');
    assert.ok(result.validation.drop! <= 3, `${result.validation.drop}`);
    const costs = recomputed(packed(result), DEVICE);
    for (const [name, limit] of Object.entries(CEILINGS) as [keyof typeof CEILINGS, number][]) {
      assert.ok(costs[name] <= limit, `${name}: ${costs[name]} above ${limit}`);
      near(result.artefacts.allocation.cost[name], costs[name]);
    }
    // Narrower inputs, or activations would take 1,024 bytes.
    assert.ok(result.layers.some(({ activations }) => activations === 4));
  });

  it('cost the same by the integers of the ONNX file', async () => {
    const result = await quantize({ ...base, targets: FOUR, evaluations: 1 });
    const { layers } = packed(result);
    const bitsOf = ({ metadataProps }: { metadataProps: { key: string; value: string }[] }) =>
      metadataProps.find(({ key }) => key === 'sigmaquant.bits')?.value;
    const weights = readModel(result.artefacts.model).graph!.initializer.filter(
      (own) => own.dataType === TensorProto_DataType.INT8 && bitsOf(own) !== undefined,
    );
    const sorted = (bits: unknown, q: Int8Array) => `${bits}: ${q.toSorted()}`;
    assert.deepEqual(
      weights.map((own) => sorted(bitsOf(own), new Int8Array(own.rawData.slice().buffer))),
      [...layers.values()].map(({ bits, q }) => sorted(bits, q)),
    );
  });

  it('are recomputed alike on every kind of network that is costed here, whatever the widths', async () => {
    for (const [bits, activationBits] of [
      [2, 4],
      [3, 8],
      [6, [4, 8]],
      [8, 8],
    ] as const) {
      const result = await quantize({ ...base, bits: [bits], activationBits, evaluations: 1 });
      for (const [name, value] of Object.entries(recomputed(packed(result), DEVICE)))
        near(result.artefacts.allocation.cost[name], value);
    }
  });

  /** Impossible in one resource each, in all, and beside ceilings that can be kept. */
  const impossible: [string, string[], string[]][] = [
    ['weight bytes', ['--target', 'size=1%'], ['weightBytes']],
    ['average width', ['--target', 'bits=1'], ['averageBits']],
    ['bit operations', ['--target', 'bops=1k'], ['bops']],
    ['the peak of activations', ['--target', 'activation=100B'], ['activationBytes']],
    ['all memory', ['--target', 'memory=0.5kB'], ['totalBytes']],
    ['energy', ['--target', 'energy=-95%:int8'], ['energy']],
    ['latency', ['--target', 'latency=1ns'], ['latency']],
    ['area', ['--target', 'area=0.01mm2'], ['area']],
    ['peak area', ['--target', 'peak-area=1um2'], ['peakArea']],
    ['one of several', ['--target', 'size=40%', '--target', 'activation=9B'], ['activationBytes']],
  ];
  const floors = [
    ['--max-drop', '2.5'],
    ['--max-drop', '0'],
    ['--min-sqnr', '90'],
  ];

  impossible.forEach(([title, targets, missed], row) => {
    // Without a floor, and each with another one.
    for (const floor of [[], floors[row % floors.length]])
      it(`name what can be reached where a ceiling on ${title} cannot, ${floor.join(' ') || 'without a floor'}`, () =>
        answersImpossible([...targets, ...floor], missed));
  });

  it('name what can be reached where the floor cannot be held', async () => {
    await answersImpossible(['--min-sqnr', '90'], []);
    await answersImpossible(['--target', 'size=20%', '--min-sqnr', '36'], ['weightBytes']);
    await answersImpossible(['--target', 'size=20%', '--min-sqnr', '45'], []);
    await answersImpossible(['--target', 'size=900B', '--min-accuracy', '99.5'], ['weightBytes']);
    await answersImpossible(
      ['--target', 'size=900B', '--target', 'energy=-60%:int8', '--max-drop', '0.5'],
      ['weightBytes'],
    );
  });

  /** Runs, checks the exit code, then asks for the minimum and for every suggestion: each must be met. */
  async function answersImpossible(asked: string[], missed: string[]): Promise<void> {
    const { code, out } = await sigmaquant(...argv, ...asked);
    const result = JSON.parse(out);
    assert.notEqual(result.verdict, 'met', asked.join(' '));
    assert.equal(code, EXITS[result.verdict as keyof typeof EXITS], asked.join(' '));
    assert.ok(result.binding.length > 0);
    assert.ok(result.feasible.length >= 1 && result.feasible.length <= 3, asked.join(' '));
    for (const { ask } of result.feasible) await isMet(ask.flatMap((flag: string) => flag.split(' ')));
    const kept = asked.filter((_, i) => !isTarget(asked, i));
    const least = missed.map((name) => targetOf(name, result.reachable.cost[name]));
    // Ceilings that cannot be kept have a minimum of their own; one that the floor asks for holds it as well.
    const floor = result.verdict === 'resource-only' ? kept : [];
    if (least.length > 0) await isMet([...least.flatMap((text) => ['--target', text]), ...floor]);
  }

  const isTarget = (list: string[], i: number) => list[i] === '--target' || list[i - 1] === '--target';

  async function isMet(asked: string[]): Promise<void> {
    const { code, out, error } = await sigmaquant(...argv, ...asked);
    assert.equal(code, 0, `${asked.join(' ')}: ${error || JSON.parse(out).verdict}`);
    assert.equal(JSON.parse(out).verdict, 'met');
  }
});

/** Resources by the names of targets, with a unit where 1 is not the resource's own. */
const TARGETS: Record<string, string> = {
  weightBytes: 'size',
  averageBits: 'bits',
  bops: 'bops',
  activationBytes: 'activation',
  totalBytes: 'memory',
  energy: 'energy',
  latency: 'latency',
  area: 'area',
  peakArea: 'peak-area',
};
const UNITS: Record<string, string> = { energy: 'uJ', latency: 'ms', area: 'mm2', 'peak-area': 'mm2' };

/** As a person would copy it from the report: the number in full. */
function targetOf(resource: string, value: number): string {
  return `${TARGETS[resource]}=${value.toFixed(17).replace(/\.?0+$/, '')}${UNITS[TARGETS[resource]] ?? ''}`;
}
