import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { readSqnt } from '../lib/sqnt/index.ts';
import { sigmaquant } from './support/command.ts';
import { shipped } from './support/devices.ts';
import { type Recomputed, recomputed } from './support/recomputed.ts';
import { TINTED, writeTintedNetwork } from './support/tinted.ts';

describe('targets on the command line', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    writeTintedNetwork(at('tiny.onnx'), at('images.npz'), 48);
  });
  after(() => rmSync(folder, { recursive: true }));

  const command = (...flags: string[]) => [
    'quantize',
    at('tiny.onnx'),
    ...['--calibration', at('images.npz'), '--scale', String(TINTED.scale), '--mean', String(TINTED.mean)],
    ...['--out', at('out'), '--evaluations', '6', '--no-cache', '--force', '--json'],
    ...flags,
  ];
  const run = async (...flags: string[]) => {
    const { code, out } = await sigmaquant(...command(...flags));
    const result = JSON.parse(out);
    return { code, result, error: result.error?.message as string | undefined };
  };
  const costs = (device: string): Recomputed =>
    recomputed(readSqnt(readFileSync(at('out/model.sqnt')), { crc32 }), device);
  type Row = { name: string; weights: number; activations: number };
  const widths = (result: { layers: Row[] }, of: 'weights' | 'activations' = 'weights') =>
    Object.fromEntries(result.layers.map((layer) => [layer.name, layer[of]]));

  it('may be relative to INT8 of the same organisation, and to another device', async () => {
    for (const device of ['int8-dot-45nm', 'shift-add-radix4-45nm', 'shift-add-serial-45nm']) {
      await run('--device', 'int8-dot-45nm', '--bits', '8', '--free-ends');
      const int8 = costs('int8-dot-45nm').energy;
      const { code, result } = await run('--device', device, '--target', 'energy=-20%:int8', '--free-ends');
      assert.equal(code, 0, result.error?.message);
      const { energy } = JSON.parse(readFileSync(at('out/allocation.json'), 'utf8')).cost;
      assert.ok(energy <= 0.8 * int8, `${device}: ${energy} uJ of ${int8}`);
    }
    const other = await run('--device', 'int8-mac-45nm', '--target', 'energy=90%:int8-simd-45nm');
    assert.equal(other.code, 0);
  });

  const refused: [string, string[], RegExp][] = [
    ['an unknown device', ['--device', 'tpu'], /generic-memory, int8-dot-45nm.*path of a JSON file.*"tpu"/],
    ['a missing file', ['--device', './none.json'], /device.*none\.json/],
    ['an unknown reference', ['--device', 'int8-dot-45nm', '--target', 'energy=-20%:tpu'], /"tpu"/],
    [
      'energy without a device',
      ['--target', 'energy=1uJ'],
      /the device has no figures of energy.*"energy=1uJ"/,
    ],
    ['latency without a device', ['--target', 'latency=50%:int8'], /no figures of latency/],
    ['a resource that is none', ['--target', 'speed=2'], /a target on size, bits, bops.*"speed=2"/],
    ['a target twice', ['--target', 'size=10%', '--target', 'size=1kB'], /one target per resource/],
    [
      'a goal that is none',
      ['--minimize', 'speed', '--max-drop', '1'],
      /size or one of weightBytes.*"speed"/,
    ],
    ['a goal without figures', ['--minimize', 'energy', '--max-drop', '1'], /one of weightBytes.*"energy"/],
    ['a pin of nobody', ['--pin', 'conv9=4'], /layer's name.*"conv9".*inspect lists them/],
    ['a pattern of nobody', ['--pin', '/^x/=4'], /pattern/],
    ['a pin beyond all widths', ['--pin', 'conv2=9'], /2 to 8 for the width of layer conv2.*9/],
    [
      'pins against each other',
      ['--pin', 'conv2=4', '--pin', '/2$/=6'],
      /one width for the pins of layer conv2/,
    ],
    ['a pin against a ban', ['--pin', 'conv2=4', '--ban', 'conv2=4'], /pin to 4 with bans on 4/],
    ['a ban on everything', ['--ban', '/./=2-8'], /a width that is not banned for layer/],
    [
      'pins of a group apart',
      ['--group', 'conv2,conv4', '--pin', 'conv2=3', '--pin', 'conv4=5'],
      /a width that all offer.*conv2: 3; conv4: 5/,
    ],
    ['a group of strangers', ['--group', 'conv2,conv9'], /layers' names.*"conv9"/],
    ['an input width of 9', ['--activation-bits', '9'], /2 to 8 for activation-bits/],
  ];
  for (const [title, flags, sentence] of refused)
    it(`refuse ${title}`, async () => {
      const { code, error } = await run(...flags);
      assert.equal(code, 2);
      assert.match(error!, sentence);
      assert.match(error!, /^Expected .*\.$/s);
    });

  it('pin by name and pattern, ban, group and search inputs, by flags and by a config file alike', async () => {
    const flags = ['--bits', '3,4,6', '--pin', '/^conv[34]$/=4', '--pin', 'fc=6', '--ban', 'conv2=3,4'];
    const { code, result } = await run(...flags, '--activation-bits', '4,8', '--target', 'bits=6');
    assert.equal(code, 0);
    assert.deepEqual(widths(result), { conv1: 8, conv2: 6, conv3: 4, conv4: 4, fc: 6 });
    assert.ok(Object.values(widths(result, 'activations')).every((bits) => bits === 4 || bits === 8));
    const config = {
      bits: [3, 4, 6],
      pin: { '/^conv[34]$/': 4, fc: 6 },
      ban: { conv2: [3, 4] },
      activationBits: [4, 8],
      target: ['bits=6'],
    };
    writeFileSync(at('config.json'), JSON.stringify(config));
    const configured = await run('--config', at('config.json'));
    assert.deepEqual(configured.result.layers, result.layers);
  });

  it('give layers of a group one width', async () => {
    // conv1 and conv2 meet in the addition.
    const add = await run('--group', 'add', '--free-ends', '--target', 'bits=4');
    assert.equal(widths(add.result)['conv1'], widths(add.result)['conv2']);
    const named = await run('--group', 'conv3,conv4', '--target', 'bits=4');
    assert.equal(widths(named.result)['conv3'], widths(named.result)['conv4']);
  });

  it('minimize what is asked for above the floor', async () => {
    const spent = async (goal: string) => {
      const flags = ['--device', 'shift-add-radix4-45nm', '--free-ends', '--activation-bits', '4,8'];
      const { code } = await run(...flags, '--max-drop', '5', '--minimize', goal, '--evaluations', '20');
      assert.equal(code, 0);
      return costs('shift-add-radix4-45nm');
    };
    const [size, energy] = [await spent('size'), await spent('energy')];
    assert.ok(energy.energy <= size.energy, `${energy.energy} and ${size.energy} uJ`);
    assert.ok(size.weightBytes <= energy.weightBytes);
  });

  it('say which widths a device lacks, and cost what it computes with', async () => {
    const device = structuredClone(shipped.get('int8-dot-45nm')!) as {
      name: string;
      pairs: { weights: number[] }[];
    };
    device.name = 'even-widths';
    for (const pair of device.pairs) pair.weights = [4, 8];
    writeFileSync(at('even.json'), JSON.stringify(device));
    const pins = (bits: number) => ['--device', at('even.json'), '--pin', `conv2=${bits}`, '--bits', '8'];
    const three = await run(...pins(3));
    assert.equal(three.code, 0, three.error);
    const told = three.result.warnings.find((text: string) => text.includes('even-widths'));
    assert.match(
      told,
      /lacks widths of one layer .*: conv2 3 x 8 as 4 x 8; costs are those of the wider ones\.$/,
    );
    for (const file of ['report.md', 'report.html'])
      assert.ok(readFileSync(at(`out/${file}`), 'utf8').includes('conv2 3 x 8 as 4 x 8'), file);
    const four = await run(...pins(4));
    assert.equal(three.result.weightBytes, four.result.weightBytes);
    assert.deepEqual(four.result.warnings, []);
  });
});
