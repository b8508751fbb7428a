import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layerCase, stepCases } from '../lib/bench/device-cases.ts';
import { LAYER_SHAPES } from '../lib/bench/device-shapes.ts';
import { SigmaQuantError } from '../lib/errors.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import {
  boardDevice,
  costedNetwork,
  deviceCost,
  parseShape,
  parseTargets,
  parseTimings,
} from '../lib/hardware/index.ts';
import { fitTerms } from '../lib/hardware/least-squares.ts';
import { deviceTargets } from '../lib/hardware/targets.ts';
import { deviceNames, importTimings, loadDevice } from '../lib/pipeline/devices.ts';
import { nodeHost } from '../lib/pipeline/node-host.ts';
import { referenceCosts } from '../lib/pipeline/resources.ts';
import { sigmaquant } from './support/command.ts';
import { near, shipped } from './support/devices.ts';
import { tinyModel } from './support/network.ts';

const graph = toChannelsLast(importGraph(tinyModel()).graph);
const network = costedNetwork(graph, layersOf(graph));
const at8 = new Map(network.layers.map(({ name }) => [name, { weights: 8, activations: 8 }]));

async function refused(run: () => Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(
    run,
    (error) =>
      error instanceof SigmaQuantError &&
      error.code === 'INVALID_ARGUMENT' &&
      message.test(error.message) &&
      /^Expected [^\n]*\.$/.test(error.message),
  );
}

describe('devices by name and path', () => {
  it('loads both, and says what there is', async () => {
    assert.deepEqual(deviceNames(), [...shipped.keys()].sort());
    const path = new URL('../lib/hardware/devices/int8-dot-45nm.json', import.meta.url).pathname;
    assert.deepEqual(await loadDevice('int8-dot-45nm'), await loadDevice(path));
    await refused(() => loadDevice('int8-dot'), /generic-memory, int8-dot-45nm, .* but received "int8-dot"/);
    await refused(() => loadDevice('./none.json'), /a readable file for device .*no such file/);
  });

  it('compares with the baseline of the device', async () => {
    const device = await loadDevice('shift-add-radix4-45nm');
    const texts = [
      'energy=-20%:int8',
      'area=90%:shift-add-serial-45nm',
      'latency=100%:shift-add-radix4-45nm',
    ];
    const references = await referenceCosts(texts, device, network, nodeHost);
    const own = deviceCost(device, network);
    const costs = (name: string) => deviceCost(shipped.get(name)!, network).cost(at8);
    const ceilings = parseTargets(texts, deviceTargets(own, network, references));
    near(ceilings[0].limit, 0.8 * costs('int8-dot-45nm')['energy']);
    near(ceilings[1].limit, 0.9 * costs('shift-add-serial-45nm')['area']);
    near(ceilings[2].limit, own.cost(at8)['latency']);
  });
});

describe('timings of a board', () => {
  const HEADER = 'shape,weights,activations,microseconds';
  const rows = [
    'conv 3x3/1x1 16->16 32x32,8,8,500',
    'conv 3x3/1x1 16->32 16x16,8,8,260',
    'conv 3x3/1x1 32->32 16x16,8,8,500',
    'linear 64->10,8,8,12',
    'linear 64->10,4,8,9',
  ];

  it('become a device whose measured layers cost what was measured', () => {
    const device = boardDevice(parseTimings([HEADER, ...rows].join('\r\n'), 'b.csv'), {
      name: 'board',
      title: 'a board',
      source: 'measured',
    });
    const costs = (shape: string, weights: number) => {
      const layer = { ...network.layers[0], shape, ...timed(shape) };
      const model = deviceCost(device, { ...network, layers: [layer], rest: [], steps: [] });
      return model.cost(new Map([[layer.name, { weights, activations: 8 }]]))['latency'] * 1000;
    };
    near(costs('conv 3x3/1x1 16->16 32x32', 8), 500);
    near(costs('linear 64->10', 4), 9);
    near(costs('linear 64->10', 3), 9); // rounds up to 4
    near(costs('linear 64->10', 5), 12); // and to 8
    // by the rule: 500 us for 2,359,296 MACs, 260 for 1,179,648: 2.03e-4 a MAC and 20 in all
    const between = costs('conv 3x3/1x1 16->48 16x16', 8);
    assert.ok(between > 350 && between < 400, `${between}`);
  });

  it('take float layers as measured, or 16 times what 8 x 8 bits take', () => {
    const board = { name: 'board', title: '', source: 'measured' };
    const device = boardDevice(parseTimings([HEADER, ...rows].join('\n'), 'b.csv'), board);
    const float = { kind: 'linear' as const, weights: null, activations: null, terms: { step: 70 } };
    const timedToo = { ...device, latency: { ...device.latency!, rules: [...device.latency!.rules, float] } };
    const shape = 'linear 64->10';
    const [layer, rest] = ['a', 'b'].map((name) => ({ ...network.layers[0], name, shape, ...timed(shape) }));
    const microseconds = (own: typeof device) =>
      1000 *
      deviceCost(own, { ...network, layers: [layer], rest: [rest], steps: [] }).cost(
        new Map([['a', { weights: 8, activations: 8 }]]),
      )['latency'];
    near(microseconds(device), 12 + 16 * 12);
    near(microseconds(timedToo), 12 + 70);
  });

  it('are refused by line', () => {
    const wrong: [string, RegExp][] = [
      ['', /in its first line/],
      ['shape,microseconds\nx,1', /shape,weights,activations,microseconds in its first line/],
      [HEADER, /at least one row of timings/],
      [`${HEADER}\n${rows[0]}\nconv 3x3 16->16,8,8,1`, /a layer such as .* in line 3 for b.csv/],
      [`${HEADER}\n# board\n\nlinear 64->10,9,8,1`, /a width from 2 to 8 in line 4/],
      [`${HEADER}\nlinear 64->10,8,8,-1`, /microseconds above 0 .* in line 2/],
      [`${HEADER}\nlinear 64->10,8,8,1e12`, /microseconds above 0 .* in line 2/],
      [`${HEADER}\nlinear 64->10,8,8`, /4 cells in line 2/],
      [`${HEADER}\n${rows[3]}\n${rows[3]}`, /each layer once in line 3 .*first in line 2/],
      [`${HEADER}\ngrouped/3 3x3/1x1 16->16 8x8,8,8,1`, /a layer such as/],
    ];
    for (const [text, message] of wrong) assert.throws(() => parseTimings(text, 'b.csv'), message, text);
    assert.throws(
      () =>
        boardDevice(parseTimings(`${HEADER}\n${rows[4]}`, 'b.csv'), { name: 'b', title: '', source: 's' }),
      /timings of linear layers at 8 x 8 bits/,
    );
  });

  function timed(shape: string) {
    const [timing] = parseTimings(`${HEADER}\n${shape},8,8,1`, 'x.csv');
    return { kind: timing.kind, features: timing.features };
  }
});

describe('a fit', () => {
  it('finds what made the values, and no negative term', () => {
    const points = [1, 2, 5, 9, 20].map((x) => ({ features: { one: 1, x, y: x * x }, value: 3 + 0.5 * x }));
    const terms = fitTerms(points, ['one', 'x', 'y']);
    near(terms.one!, 3, 1e-3);
    near(terms.x!, 0.5, 1e-3);
    const falling = [1, 2, 3].map((x) => ({ features: { one: 1, x }, value: 10 - x }));
    assert.deepEqual(Object.keys(fitTerms(falling, ['one', 'x'])), ['one']);
  });
});

describe('shapes of layers', () => {
  it('are read as they are written', () => {
    for (const layer of network.layers) {
      const geometry = parseShape(layer.shape);
      assert.ok(geometry, layer.shape);
      assert.equal(
        geometry.pixels * geometry.taps * geometry.channels * geometry.outChannels,
        layer.macs,
        layer.shape,
      );
    }
    for (const text of [
      '',
      'conv',
      'conv 3x3/1x1 16->16',
      'conv 3x3/1x1 16->16 8',
      'conv 0x3/1x1 1->1 8x8',
      'linear 0->3',
    ])
      assert.equal(parseShape(text), null, text);
  });

  it('make the cases that a processor is timed with', () => {
    for (const shape of LAYER_SHAPES) {
      const { graph: own, features } = layerCase(shape, 4);
      const [layer] = costedNetwork(own, layersOf(own)).layers;
      assert.equal(layer.shape, shape);
      assert.deepEqual(layer.features, features);
    }
    assert.deepEqual([...new Set(stepCases().map(({ kind }) => kind))].sort(), [
      'add',
      'average',
      'concat',
      'move',
      'pool',
    ]);
  });
});

describe('command devices', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-devices-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('lists, for people and for programs', async () => {
    const { code, out } = await sigmaquant('devices');
    assert.equal(code, 0);
    for (const name of shipped.keys()) assert.match(out, new RegExp(`^${name} `, 'm'));
    const json = JSON.parse((await sigmaquant('devices', 'list', '--json')).out);
    assert.deepEqual(
      json.map(({ name }: { name: string }) => name),
      deviceNames(),
    );
  });

  it('shows costs, memories and sources', async () => {
    const { out } = await sigmaquant('devices', 'show', 'shift-add-skip-45nm');
    for (const part of [
      /digits cycle\/MAC/,
      /LPDDR4/,
      /400 MHz/,
      /rtl: Our own design simd_zs/,
      /int8-simd-45nm/,
    ])
      assert.match(out, part);
    const { out: json } = await sigmaquant('devices', 'show', 'shift-add-skip-45nm', '--json');
    assert.deepEqual(JSON.parse(json), shipped.get('shift-add-skip-45nm'));
  });

  it('validates', async () => {
    const path = join(folder, 'mine.json');
    writeFileSync(path, JSON.stringify(shipped.get('int8-dot-45nm')));
    assert.match(
      (await sigmaquant('devices', 'validate', path)).out,
      /is a device: int8-dot-45nm, version 1/,
    );
    writeFileSync(path, JSON.stringify({ ...shipped.get('int8-dot-45nm'), version: 9 }));
    const { code, error } = await sigmaquant('devices', 'validate', path);
    assert.equal(code, 2);
    assert.match(error, /received version 9: a newer sigmaquant reads it\.\n$/);
  });

  it('refuses verbs, subjects and names that there are not', async () => {
    const cases: [string[], RegExp][] = [
      [
        ['devices', 'paint'],
        /Expected list, show, validate, import, measure for devices but received "paint"/,
      ],
      [['devices', 'show'], /the name or the file of a device/],
      [['devices', 'show', 'a', 'b'], /one verb and one subject/],
      [['devices', 'import', 'x.csv'], /the path of a new device file for out/],
      [['devices', 'import', 'none.csv', '--out', join(folder, 'x.json')], /a readable file for timings/],
      [['devices', 'measure', '--out', join(folder, 'x.json'), '--rounds', '0'], /from 1 to 1000 for rounds/],
      [['devices', 'measure', '--out', join(folder, 'x.json'), '--name', 'My PC'], /small letters/],
    ];
    for (const [argv, message] of cases) {
      const { code, error } = await sigmaquant(...argv);
      assert.equal(code, 2, error);
      assert.match(error, message);
    }
    assert.equal(existsSync(join(folder, 'x.json')), false);
  });

  it('imports a CSV file, and never over another file', async () => {
    const csv = join(folder, 'board.csv');
    const out = join(folder, 'board.json');
    writeFileSync(csv, 'shape,weights,activations,microseconds\nconv 3x3/1x1 16->16 32x32,8,8,500\n');
    assert.equal((await sigmaquant('devices', 'import', csv, '--out', out, '--name', 'my-board')).code, 0);
    assert.deepEqual(await loadDevice(out), await importTimings(csv, 'my-board'));
    const again = await sigmaquant('devices', 'import', csv, '--out', out);
    assert.match(again.error, /--force replaces it/);
  });

  it('measures this machine', async () => {
    const out = join(folder, 'me.json');
    const { code, error } = await sigmaquant('devices', 'measure', '--out', out, '--rounds', '1');
    assert.equal(code, 0, error);
    const device = await loadDevice(out);
    assert.deepEqual(
      device.latency!.rules.filter(({ kind }) => kind === 'conv').map(({ weights }) => weights),
      [2, 3, 4, 5, 6, 7, 8, null],
    );
    const ends = readFileSync(out, 'utf8').slice(-2);
    assert.equal(ends, '}\n');
    const slow = deviceCost(device, network).cost(at8)['latency'];
    assert.ok(slow > 0 && slow < 1000, `${slow} ms`);
    // More products take longer.
    const [layer] = network.layers;
    const larger = { ...layer, features: { ...layer.features, macs: 100 * layer.features.macs } };
    const cost = (own: typeof layer) =>
      deviceCost(device, { ...network, layers: [own] }).cost(new Map([[own.name, at8.get(own.name)!]]))[
        'latency'
      ];
    assert.ok(cost(larger) > cost(layer));
  });
});
