import assert from 'node:assert/strict';
import { bytes, count, duration, plural, signed, significant, whole } from '../lib/report/numbers.ts';
import { columns, markdownTable, textTable } from '../lib/report/table.ts';

describe('report numbers', () => {
  it('counts a kB as 1,000 bytes', () => {
    assert.equal(bytes(0), '0 B');
    assert.equal(bytes(999), '999 B');
    assert.equal(bytes(1000), '1.00 kB');
    assert.equal(bytes(113_400), '113.4 kB');
    assert.equal(bytes(3_490_000), '3.49 MB');
    assert.equal(bytes(999_999), '1.00 MB');
  });

  it('groups, shortens and signs', () => {
    assert.equal(whole(1234567), '1,234,567');
    assert.equal(count(40_551_000), '40.6 M');
    assert.equal(significant(0.041234), '0.0412');
    assert.equal(significant(0), '0');
    assert.equal(significant(12.5, 3), '12.5');
    assert.equal(signed(0.236), '+0.24');
    assert.equal(signed(-0.001), '0.00');
    assert.equal(signed(-1.5), '-1.50');
    assert.equal(plural(1, 'layer'), '1 layer');
    assert.equal(plural(1200, 'layer'), '1,200 layers');
    assert.equal(duration(200), '3 min 20 s');
    assert.equal(duration(1.25), '1.3 s');
    assert.equal(duration(7265), '2 h 1 min');
  });
});

describe('tables', () => {
  const table = {
    columns: columns('layer', '>bits'),
    rows: [
      ['conv1', '8'],
      ['layer1.0.conv2', '12'],
    ],
  };

  it('aligns numbers to the right and words to the left', () => {
    assert.deepEqual(textTable(table).split('\n'), [
      'layer           bits',
      '--------------  ----',
      'conv1              8',
      'layer1.0.conv2    12',
    ]);
  });

  it('is valid Markdown, with bars escaped', () => {
    assert.deepEqual(markdownTable({ ...table, rows: [['a|b', '8']] }).split('\n'), [
      '| layer | bits |',
      '| ----- | ---: |',
      '| a\\|b  |    8 |',
    ]);
  });
});
