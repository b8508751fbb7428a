import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantize } from '../lib/index.ts';
import { frontJsonSchema } from '../lib/pipeline/front-file.ts';
import { nearest } from '../lib/pipeline/nearest.ts';
import { sweep } from '../lib/pipeline/sweep.ts';
import { grouped, nextCell } from '../lib/pipeline/sweep-order.ts';
import { readSweep, sweepJsonSchema } from '../lib/pipeline/sweep-plan.ts';
import { csv, resultsJsonSchema } from '../lib/pipeline/sweep-row.ts';
import { sigmaquant } from './support/command.ts';
import { CLASSES, imageBytes, tinyModel, writeImages } from './support/network.ts';

let folder: string;
let sweeps = 0;
const newFolder = () => join(folder, `sweep-${sweeps++}`);
const PREPROCESSING = { scale: '1/255', mean: [0.4, 0.5, 0.6], std: 0.25 };

const model = (name: string, file = name) => ({
  name,
  model: `${file}.onnx`,
  calibration: 'calibration.npz',
  evaluate: 'test.npz',
  preprocessing: PREPROCESSING,
});
const PLAN = {
  models: [model('tiny'), model('gone'), model('other')],
  budgets: [{ targets: ['bits=5'] }, { name: 'a third', targets: ['size=33%'], maxDrop: 50 }],
  strategies: ['sensitivity', 'uniform'],
  options: { evaluations: 5 },
};

function writePlan(plan: object): string {
  const path = join(folder, `plan-${sweeps++}.json`);
  writeFileSync(path, JSON.stringify(plan));
  return path;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
  writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
  writeFileSync(
    join(folder, 'other.onnx'),
    tinyModel(({ name }) => ({ name: `${name}2` })),
  );
  writeImages(join(folder, 'calibration.npz'), imageBytes(24, 5), null);
  writeImages(
    join(folder, 'test.npz'),
    imageBytes(60, 3),
    Array.from({ length: 60 }, (_, i) => i % CLASSES),
  );
});
after(() => rmSync(folder, { recursive: true }));

describe('a sweep over a plan', () => {
  it('gives the same files with any number of workers, again and after an interruption', async () => {
    const plan = writePlan(PLAN);
    const onWarning = () => {};
    const one = await sweep({ plan, out: newFolder(), threads: 1, onWarning });
    const two = await sweep({ plan, out: newFolder(), threads: 2, onWarning });
    const again = await sweep({ plan, out: two.files.directory, threads: 2, onWarning });
    const controller = new AbortController();
    const out = newFolder();
    const onProgress = (_: string, done: number) => {
      if (done === 5) controller.abort(new Error('enough'));
    };
    const { signal } = controller;
    await assert.rejects(sweep({ plan, out, threads: 2, onWarning, onProgress, signal }), /enough/);
    // Four cells fail at once: one at least was made.
    const kept = readdirSync(join(out, 'cells'));
    assert.ok(kept.length >= 1 && kept.length < 8, `${kept.length} cells`);
    const once = new Date(0);
    for (const name of kept) utimesSync(join(out, 'cells', name), once, once);
    const resumed = await sweep({ plan, out, threads: 2, onWarning });
    for (const other of [two, again, resumed]) {
      assert.deepEqual(readFileSync(other.files.json), readFileSync(one.files.json));
      assert.deepEqual(readFileSync(other.files.csv), readFileSync(one.files.csv));
    }
    // None of those that were finished was written again.
    const times = kept.map((name) => statSync(join(out, 'cells', name)).mtimeMs);
    assert.deepEqual(
      times,
      kept.map(() => 0),
    );
    assert.equal(readdirSync(join(out, 'cells')).length, 8);
    assert.deepEqual(
      one.rows.map(({ model, budget, strategy, error }) => [model, budget, strategy, error?.code]),
      ['tiny', 'gone', 'other'].flatMap((name) =>
        ['bits=5', 'a third'].flatMap((budget) =>
          ['sensitivity', 'uniform'].map((strategy) => [
            name,
            budget,
            strategy,
            name === 'gone' ? 'INVALID_ARGUMENT' : undefined,
          ]),
        ),
      ),
    );
  });

  it('gives each cell what quantize gives', async () => {
    const { rows } = await sweep({ plan: writePlan(PLAN), out: newFolder(), onWarning: () => {} });
    const alone = await quantize({
      model: join(folder, 'tiny.onnx'),
      calibration: join(folder, 'calibration.npz'),
      evaluate: join(folder, 'test.npz'),
      preprocessing: { ...PREPROCESSING, scale: 1 / 255 },
      targets: ['size=33%'],
      maxDrop: 50,
      strategy: 'sensitivity',
      evaluations: 5,
    });
    const { outcome } = rows[2];
    assert.equal(outcome!.verdict, alone.verdict);
    assert.deepEqual(outcome!.accuracy, alone.accuracy);
    assert.deepEqual(outcome!.validation, alone.validation);
    assert.equal(outcome!.cost['weightBytes'], alone.weightBytes);
    assert.deepEqual(
      Object.values(outcome!.widths).map(({ weights }) => weights),
      alone.layers.map(({ weights }) => weights),
    );
  });

  it('measures again what changed, and nothing else', async () => {
    const plan = writePlan({ ...PLAN, models: [model('tiny'), model('changing')], strategies: ['uniform'] });
    const out = newFolder();
    writeFileSync(join(folder, 'changing.onnx'), tinyModel());
    await sweep({ plan, out });
    assert.equal(readdirSync(join(out, 'cells')).length, 2, 'the same content under two names is one cell');
    writeFileSync(
      join(folder, 'changing.onnx'),
      tinyModel(({ name }) => ({ name: `${name}3` })),
    );
    await sweep({ plan, out });
    assert.equal(readdirSync(join(out, 'cells')).length, 4);
  });

  it('names what is wrong in a plan, and the nearest right word', async () => {
    const wrong: [object, RegExp][] = [
      [{ ...PLAN, bugdets: [] }, /in the plan but received "bugdets" \(did you mean budgets\?\)/],
      [
        { ...PLAN, budgets: [{ maxdrop: 1 }] },
        /in budgets\.0 but received "maxdrop" \(did you mean maxDrop\?\)/,
      ],
      [{ ...PLAN, models: [{ ...model('a'), preprocessing: { sclae: 1 } }] }, /did you mean scale\?/],
      [{ ...PLAN, options: { zzzzzz: 1 } }, /in options but received "zzzzzz"\./],
      [{ ...PLAN, models: [model('a'), model('a', 'b')] }, /each name once for models but received "a"/],
      [{ ...PLAN, strategies: ['best'] }, /for strategy but received "best"/],
      [{ ...PLAN, budgets: [{ maxDrop: 1, minSqnr: 20 }] }, /one floor/],
      [{ models: [] }, /models/],
      [[], /wrong field/],
    ];
    for (const [plan, message] of wrong)
      await assert.rejects(readSweep(writePlan(plan)), { code: 'INVALID_ARGUMENT', message });
    await assert.rejects(readSweep(join(folder, 'no-plan.json')), /readable file for the plan/);
    writeFileSync(join(folder, 'half.json'), '{');
    await assert.rejects(readSweep(join(folder, 'half.json')), /Expected JSON for the plan/);
  });

  it('prints a table, and one document with --json', async () => {
    const argv = ['sweep', writePlan({ ...PLAN, models: PLAN.models.slice(0, 2) }), '--out', newFolder()];
    const table = await sigmaquant(...argv);
    assert.equal(table.code, 1);
    assert.match(table.out, /^model +device +budget +strategy +verdict/);
    assert.match(table.out, /tiny +\S+ +a third +uniform +\w/);
    assert.match(table.out, /gone +\S+ +bits=5 +uniform +failed: INVALID_ARGUMENT/);
    assert.match(table.error, /gone, \S+ bits=5, uniform: Expected a readable file for model/);
    const { rows } = JSON.parse((await sigmaquant(...argv, '--json')).out);
    assert.equal(rows.length, 8);
  });

  it('publishes the schemas of its files', () => {
    const schemas = { sweep: sweepJsonSchema(), results: resultsJsonSchema(), front: frontJsonSchema() };
    for (const [name, schema] of Object.entries(schemas)) {
      const path = new URL(`../docs/${name}.schema.json`, import.meta.url);
      assert.deepEqual(
        JSON.parse(readFileSync(path, 'utf8')),
        schema,
        `${name}: npx tsx scripts/sweep-schema.ts`,
      );
    }
  });
});

describe('parts of a sweep', () => {
  it('hand out cells so that two workers measure one network only when there is no other', async () => {
    const cells = await readSweep(writePlan({ ...PLAN, strategies: ['sensitivity', 'hessian'] }));
    assert.deepEqual(
      grouped(cells.toReversed()).map(({ model }) => model),
      [...Array(4).fill('other'), ...Array(4).fill('gone'), ...Array(4).fill('tiny')],
    );
    const left = grouped(cells);
    const first = nextCell(left, undefined, [])!;
    const second = nextCell(left, undefined, [first])!;
    assert.deepEqual([first.model, second.model], ['tiny', 'gone']);
    const more = [first, second, first, second].map((own) => nextCell(left, own, [first, second])!.model);
    assert.deepEqual(more, ['tiny', 'gone', 'tiny', 'gone']);
  });

  it('escape what a table cell must not do', () => {
    assert.equal(csv([['a,b', '=1+1', 'say "no"', null, 2]]), '"a,b",\'=1+1,"say ""no""",,2\n');
  });

  it('suggest near words alone', () => {
    assert.equal(nearest('bugdets', ['models', 'budgets']), 'budgets');
    assert.equal(nearest('zz', ['bits', 'models']), undefined);
  });
});
