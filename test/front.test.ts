import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FrontierPoint } from '../lib/allocate/index.ts';
import { parseAllocation } from '../lib/export/allocation.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { quantize } from '../lib/index.ts';
import { type FrontOptions, front } from '../lib/pipeline/front.ts';
import { frontSchema } from '../lib/pipeline/front-file.ts';
import { parsePick, pickPoint } from '../lib/pipeline/front-pick.ts';
import { sigmaquant } from './support/command.ts';
import { CLASSES, imageBytes, tinyModel, writeImages } from './support/network.ts';

describe('a front', () => {
  let folder: string;
  let base: FrontOptions;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
    writeImages(join(folder, 'calibration.npz'), imageBytes(24, 5), null);
    const labels = Array.from({ length: 200 }, (_, i) => i % CLASSES);
    writeImages(join(folder, 'test.npz'), imageBytes(200, 3), labels);
    base = {
      model: join(folder, 'tiny.onnx'),
      calibration: join(folder, 'calibration.npz'),
      evaluate: join(folder, 'test.npz'),
      preprocessing: { scale: 1 / 255, mean: [0.4, 0.5, 0.6], std: 0.25 },
      points: 6,
      freeEnds: true,
    };
  });
  after(() => rmSync(folder, { recursive: true }));

  it('is monotone, and shows what it dominates', async () => {
    // Agreement with the float network: the labels of noise say nothing.
    writeImages(join(folder, 'more.npz'), imageBytes(300, 5), null);
    const agreement = { ...base, calibration: join(folder, 'more.npz'), evaluate: undefined };
    for (const resource of ['size', 'bops']) {
      const { front: file, picked } = await front({ ...agreement, resource });
      assert.equal(picked, null);
      const cost = ({ cost: costs }: (typeof file.points)[number]) => costs[file.resource];
      const chain = file.points.filter(({ onFront }) => onFront);
      assert.ok(chain.length >= 2 && file.points.length >= 6, `${chain.length} of ${file.points.length}`);
      for (const [i, point] of chain.slice(1).entries()) {
        assert.ok(cost(point) > cost(chain[i]));
        assert.ok(point.drop < chain[i].drop);
      }
      for (const tried of file.points.filter(({ onFront }) => !onFront))
        assert.ok(chain.some((point) => cost(point) <= cost(tried) && point.drop <= tried.drop));
    }
  });

  it('measures no profile again that quantize has measured, and the same front from any cache', async () => {
    const cache = join(folder, 'shared.cache');
    const { points: _, ...options } = base;
    await quantize({ ...options, targets: ['bits=4'], cache });
    const warm = await front({ ...base, cache });
    const cold = await front(base);
    assert.equal(warm.cached.profile, 24);
    assert.deepEqual(warm.front, cold.front);
  });

  it('writes a picked point as quantize does, judged after it was chosen', async () => {
    for (const pick of ['knee', 'budget=1.5kB', 'drop=100']) {
      const out = join(folder, `picked ${pick}`);
      const { front: file, picked } = await front({ ...base, pick, out });
      const names = ['front.csv', 'front.json', 'model.onnx', 'model.sqnt', 'report.html', 'report.md'];
      names.unshift('allocation.csv', 'allocation.json');
      assert.deepEqual(readdirSync(out).sort(), names);
      assert.deepEqual(frontSchema.parse(JSON.parse(readFileSync(join(out, 'front.json'), 'utf8'))), file);
      assert.equal(readFileSync(join(out, 'front.csv'), 'utf8').split('\n').length, file.points.length + 2);
      const point = file.points[file.picked!];
      assert.ok(point.onFront);
      const allocation = parseAllocation(readFileSync(join(out, 'allocation.json'), 'utf8'));
      assert.equal(allocation.verdict, 'met');
      assert.equal(allocation.validation!.drop, point.drop);
      assert.equal(allocation.accuracy!.samples, 100);
      assert.deepEqual(picked!.accuracy, allocation.accuracy);
      const { layers } = quantizationOf(new Uint8Array(readFileSync(join(out, 'model.onnx'))));
      for (const [name, { bits }] of layers) assert.equal(bits, point.widths[name].weights);
      const cheapest = file.points.find(({ onFront }) => onFront)!;
      if (pick === 'drop=100') assert.deepEqual(point, cheapest);
      if (pick === 'budget=1.5kB') assert.ok(point.cost['weightBytes'] <= 1500);
      const report = readFileSync(join(out, 'report.md'), 'utf8');
      assert.match(report, /sigmaquant sweep .*--resource size --points 6 --pick /);
    }
  });

  it('says what is nearest where no point is within reach, and writes nothing', async () => {
    const out = join(folder, 'unreachable');
    await assert.rejects(front({ ...base, pick: 'budget=1B', out }), {
      code: 'TARGET_UNREACHABLE',
      message: /weightBytes of at most 1 for pick but the nearest has \d+/,
    });
    assert.ok(!existsSync(out));
    for (const pick of ['best', 'drop=-1', 'budget='])
      await assert.rejects(front({ ...base, pick }), { code: 'INVALID_ARGUMENT', message: /knee, budget=/ });
    await assert.rejects(front({ ...base, resource: 'joy' }), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(front({ ...base, points: 1 }), /a whole number from 2 to 200 for points/);
  });

  it('is a table at the command line, where floors and queues have no place', async () => {
    const argv = ['sweep', base.model as string, '--calibration', base.calibration as string, '--no-cache'];
    const out = join(folder, 'by-command');
    const { code, out: text } = await sigmaquant(...argv, '--points', '4', '--pick', 'knee', '--out', out);
    assert.equal(code, 0);
    assert.match(text, /weightBytes +bits +agreement +drop/);
    assert.match(text, /^picked +[\d.]+ k?B/m);
    for (const flag of [
      ['--max-drop', '1'],
      ['--strategy', 'sigma'],
      ['--queue', 'redis://x'],
    ]) {
      const refused = await sigmaquant(...argv, ...flag);
      assert.equal(refused.code, 2);
      assert.match(refused.error, new RegExp(`no such flag with a model .* received "${flag[0]}"`));
    }
    const plan = await sigmaquant('sweep', 'plan.json', '--pick', 'knee');
    assert.match(plan.error, /flags of the run alone .* received "--pick"/);
  });

  it('bends where the knee is', () => {
    const point = (bytes: number, drop: number): FrontierPoint => ({
      widths: new Map(),
      cost: { weightBytes: bytes },
      measurement: { drop, accuracy: 90 - drop, divergence: 0 },
      onFront: true,
      budget: bytes,
    });
    const points = [point(100, 50), point(200, 5), point(400, 3), point(800, 0)];
    assert.equal(pickPoint(points, 'weightBytes', parsePick('knee'), 0), points[1]);
    assert.equal(pickPoint(points, 'weightBytes', parsePick('drop=3'), 0), points[2]);
    assert.equal(pickPoint(points, 'weightBytes', parsePick('budget=500B'), 500), points[2]);
    assert.equal(pickPoint(points.slice(0, 1), 'weightBytes', parsePick('knee'), 0), points[0]);
  });
});
