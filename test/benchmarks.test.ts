import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPairs } from '../benchmarks/pairs.ts';
import { markdownTable, median, numberColumn } from '../benchmarks/results.ts';

const testbed = fileURLToPath(new URL('../../shared/testbed/', import.meta.url));

describe('the harness', () => {
  it('lists six pairs of its own, with files that are there', function () {
    const pairs = loadPairs(undefined, undefined);
    assert.deepEqual(
      pairs.map(({ name }) => name),
      ['resnet20', 'resnet8', 'dscnn-kws', 'mobilenetv1-025-vww', 'squeezenet11', 'mobilenetv2'],
    );
    assert.deepEqual(loadPairs(undefined, '^mobile').length, 2);
    assert.throws(() => loadPairs(undefined, 'nothing'), /Expected a pair whose name matches/);
    if (!existsSync(testbed)) {
      console.log(`      skipped: no test bed at ${testbed}`);
      this.skip();
    }
    for (const pair of pairs) {
      for (const path of [pair.model, pair.calibration, pair.evaluate]) assert.ok(existsSync(path), path);
    }
  });

  it('takes other lists, by file or folder, with paths relative to the list and to where the command was typed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-pairs-'));
    const typed = process.env['INIT_CWD'];
    try {
      const pair = {
        name: 'one',
        model: 'm.onnx',
        calibration: 'c',
        evaluate: '../e',
        preprocessing: { scale: '1/2' },
      };
      writeFileSync(join(folder, 'pairs.json'), JSON.stringify([pair]));
      const expected = {
        ...pair,
        model: join(folder, 'm.onnx'),
        calibration: join(folder, 'c'),
        evaluate: join(folder, '../e'),
        preprocessing: { scale: 0.5 },
      };
      process.env['INIT_CWD'] = join(folder, '..');
      for (const path of [folder, join(folder, 'pairs.json'), folder.slice(folder.lastIndexOf('/') + 1)]) {
        assert.deepEqual(loadPairs(path, undefined), [expected]);
      }
      writeFileSync(join(folder, 'pairs.json'), JSON.stringify([{ ...pair, model: 7 }]));
      assert.throws(() => loadPairs(folder, undefined), /Expected a text for model/);
    } finally {
      if (typed === undefined) delete process.env['INIT_CWD'];
      else process.env['INIT_CWD'] = typed;
      rmSync(folder, { recursive: true });
    }
  });

  it('makes tables', () => {
    const rows = [
      { name: 'a', size: 1.25 },
      { name: 'b', size: 10 },
    ];
    const table = markdownTable(rows, [
      { title: 'name', text: ({ name }) => name },
      numberColumn('size', 1, ({ size }) => size),
    ]);
    assert.equal(table, '| name | size |\n|---|--:|\n| a | 1.3 |\n| b | 10.0 |');
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
  });
});
