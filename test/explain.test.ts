import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { AllocationFile } from '../lib/export/allocation.ts';
import { type QuantizeOptions, type QuantizeResult, quantize } from '../lib/index.ts';
import { changeText } from '../lib/report/amounts.ts';
import { explanation, type OfferedWidth } from '../lib/report/explain.ts';
import { readSqnt } from '../lib/sqnt/index.ts';
import { sigmaquant } from './support/command.ts';
import { near } from './support/devices.ts';
import { recomputed } from './support/recomputed.ts';
import { TINTED, writeTintedNetwork } from './support/tinted.ts';

const DEVICE = 'shift-add-radix4-45nm';

describe('explain', () => {
  let folder: string;
  let out: string;
  let base: QuantizeOptions;
  let result: QuantizeResult;
  let allocation: AllocationFile;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    const [model, data] = ['tiny.onnx', 'images.npz'].map((name) => join(folder, name));
    out = join(folder, 'out');
    writeTintedNetwork(model, data, 96);
    base = {
      model,
      calibration: data,
      preprocessing: TINTED,
      device: DEVICE,
      activationBits: [4, 8],
      bits: [2, 3, 4, 6, 8],
      pins: { conv3: 6 },
    };
    result = await quantize({ ...base, targets: ['size=1500B'], out });
    allocation = result.artefacts.allocation;
  });
  after(() => rmSync(folder, { recursive: true }));

  const of = (layer: string) => explanation(allocation, layer)!;
  const neighbours = (layer: string) => of(layer).widths.filter(({ chosen }) => !chosen);

  it('says what the network would cost with that one width changed: costs of files made so', async () => {
    const { widths } = of('conv4');
    const other = widths.find(({ of: what, bits, chosen }) => what === 'weights' && bits >= 4 && !chosen)!;
    const input = widths.find(({ of: what, chosen }) => what === 'activations' && !chosen)!;
    const own = Object.fromEntries(result.layers.map(({ name, weights }) => [name, weights]));
    const changed = await exported({ ...own, conv4: other.bits });
    const before_ = recomputed(readSqnt(result.artefacts.sqnt!, { crc32 }), DEVICE);
    for (const [name, value] of Object.entries(changed))
      close(other.change[name] ?? 0, value - before_[name as keyof typeof before_]);
    assert.equal(input.change['weightBytes'], undefined);
    assert.equal(Math.sign(input.change['bops']), Math.sign(input.bits - row('conv4').activations));
  });

  /** Costs of the packed file at these widths, inputs as the search left them. */
  async function exported(pins: Record<string, number>) {
    const activations = new Map(result.layers.map(({ name, activations: bits }) => [name, bits]));
    const { artefacts } = await quantize({ ...base, pins, evaluations: 1 });
    const packed = readSqnt(artefacts.sqnt!, { crc32 });
    const first = readSqnt(result.artefacts.sqnt!, { crc32 });
    assert.ok([...activations.values()].includes(8));
    return recomputed({ ...packed, activations: first.activations }, DEVICE);
  }

  const row = (layer: string) => allocation.layers.find(({ name }) => name === layer)!;
  const close = (actual: number, expected: number) =>
    Math.abs(expected) < 1e-12 ? assert.ok(Math.abs(actual) < 1e-9) : near(actual, expected, 1e-6);

  it('rises in cost and falls in loss with the width', () => {
    for (const { name, weights } of allocation.layers)
      for (const width of neighbours(name)) {
        if (width.of !== 'weights') continue;
        const wider = width.bits > weights ? 1 : -1;
        assert.equal(Math.sign(width.change['weightBytes']), wider, `${name} ${width.bits}`);
        if (width.points !== null && width.divergence !== chosenOf(name).divergence)
          assert.equal(Math.sign(width.points), -fallsOf(name, width), `${name} ${width.bits}`);
      }
    assert.equal(chosenOf('conv2').points, chosenOf('conv2').points === null ? null : 0);
  });

  const chosenOf = (layer: string) =>
    of(layer).widths.find(({ of: what, chosen }) => what === 'weights' && chosen)!;
  const fallsOf = (layer: string, { divergence }: OfferedWidth) =>
    Math.sign(chosenOf(layer).divergence! - divergence!);

  it('says the width, why, the rank and what the neighbours would do, in figures of the file', () => {
    const { sentences, widths } = of('conv2');
    const { weights, activations, weightBytes } = row('conv2');
    const total = allocation.cost['weightBytes'];
    const [has, reason, rank, ...others] = sentences;
    assert.match(has, new RegExp(`^conv2 has weights of ${weights} bits and an input of ${activations}: `));
    assert.ok(has.includes(`${((100 * weightBytes) / total).toFixed(1)} %`), has);
    assert.match(reason, /It got this width in phase|No step that was kept moved it/);
    const phase = /phase (\S+) \(from (\d) bits; (.+)\)\.$/.exec(reason);
    if (phase)
      assert.ok(
        allocation.trace.some(
          (step) =>
            step.kept &&
            step.phase === phase[1] &&
            step.reason === phase[3] &&
            step.moves.some(
              ({ layer, from, to }) => layer === 'conv2' && from === +phase[2] && to === weights,
            ),
        ),
        reason,
      );
    assert.match(
      rank,
      /^Of (\d+) layers that could be narrower, (\d+) would lose more per byte saved than it\.$/,
    );
    const [, count, before_] = /^Of (\d+).*narrower, (\d+)/.exec(rank)!.map(Number);
    assert.equal(before_, pricesAbove('conv2'));
    assert.ok(before_ < count && count <= allocation.layers.length);
    assert.ok(others.length >= 2);
    for (const sentence of others) {
      const [, what, bits] = /^With (weights|an input) of (\d) bits /.exec(sentence)!;
      const width = widths.find(
        (own) => own.bits === +bits && own.of === (what === 'weights' ? 'weights' : 'activations'),
      )!;
      for (const [name, value] of Object.entries(width.change))
        assert.ok(sentence.includes(`${name} ${changeText(name, value)}`), sentence);
    }
  });

  /** How many layers lose more divergence per byte that one width less would save. */
  function pricesAbove(layer: string): number {
    const price = (name: string) => {
      const { offered, weights } = row(name);
      const list = offered.filter(({ of: what }) => what === 'weights');
      const at = list.findIndex(({ bits }) => bits === weights);
      if (at < 1) return Number.NEGATIVE_INFINITY;
      return (list[at - 1].divergence! - list[at].divergence!) / -list[at - 1].change['weightBytes'];
    };
    return allocation.layers.filter(({ name }) => price(name) > price(layer)).length;
  }

  it('says of a pinned layer that it was offered nothing else', () => {
    const { sentences } = of('conv3');
    assert.ok(sentences.includes('It was offered no other width than 6 bits.'), sentences.join('\n'));
    assert.deepEqual(
      of('conv3')
        .widths.filter(({ of: what }) => what === 'weights')
        .map(({ bits, chosen }) => [bits, chosen]),
      [[6, true]],
    );
  });

  it('prints sentences and a table, or one document', async () => {
    const text = await sigmaquant('explain', out, 'conv2');
    assert.equal(text.code, 0, text.error);
    for (const sentence of of('conv2').sentences) assert.ok(text.out.includes(sentence));
    assert.match(text.out, /^\d bits \*/m);
    assert.match(text.out, /points: expected, relative to the chosen width/);
    const json = await sigmaquant('explain', join(out, 'allocation.json'), 'conv2', '--json');
    assert.deepEqual(JSON.parse(json.out), JSON.parse(JSON.stringify(of('conv2'))));
  });

  it('names the layers near one that is not there', async () => {
    const near_ = await sigmaquant('explain', out, 'CONV', '--json');
    assert.equal(near_.code, 2);
    assert.match(JSON.parse(near_.out).error.message, /"CONV"; there are conv1, conv2, conv3, conv4\.$/);
    const none = await sigmaquant('explain', out, 'zzz');
    assert.match(
      none.error,
      /a layer of tiny but received "zzz"; there are conv1, conv2, conv3, conv4, fc\./,
    );
    const folderOnly = await sigmaquant('explain', folder, 'conv1');
    assert.equal(folderOnly.code, 2);
    assert.match(folderOnly.error, /^sigmaquant: Expected .*\.\n$/);
  });
});
