import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantizationOf } from '../lib/export/read-back.ts';
import { quantize } from '../lib/index.ts';
import { readModel } from '../lib/onnx/index.ts';
import { sigmaquant } from './support/command.ts';
import { COUNT, type Exported, exportedNetwork, SCALE } from './support/exported.ts';

/** Widths of the small network that `quantize` is told to take. */
const PINS = { conv1: 8, conv2: 2, conv3: 4, conv4: 5, fc: 8 };

describe('export on the command line', () => {
  let paths: Exported;
  let allocation: string;

  before(async () => {
    paths = await exportedNetwork();
    allocation = join(paths.folder, 'tiny.sigmaquant');
    await quantize({
      model: paths.float,
      calibration: paths.data,
      preprocessing: { scale: SCALE },
      pins: PINS,
      samples: COUNT,
      evaluations: 1,
      out: allocation,
    });
  });
  after(() => paths.remove());

  const at = (name: string) => join(paths.folder, name);
  const run = (format: string, out: string, ...argv: string[]) =>
    sigmaquant(
      ...['export', paths.float, '--allocation', allocation, '--format', format, '--out', at(out)],
      ...argv,
    );

  it('writes profile ort again, byte for byte as quantize did', async () => {
    const { code, out, error } = await run('ort', 'again.onnx');
    assert.equal(code, 0, error);
    assert.match(out, /^tiny: ort, opset 21, \d+\.\d+ kB, written to /);
    assert.deepEqual(readFileSync(at('again.onnx')), readFileSync(join(allocation, 'model.onnx')));
  });

  for (const opset of [13, 18, 22, 26])
    it(`writes the same integers in opset ${opset}`, async () => {
      const name = `opset-${opset}.onnx`;
      const { code, out, error } = await run('ort', name, '--opset', String(opset), '--json');
      assert.equal(code, 0, error);
      const document = JSON.parse(out);
      const bytes = new Uint8Array(readFileSync(at(name)));
      assert.deepEqual(document.files, [{ name: 'tiny.ort.onnx', bytes: bytes.length }]);
      assert.equal(document.opset, opset);
      assert.equal(Number(readModel(bytes).opsetImport[0].version), opset);
      const original = new Uint8Array(readFileSync(join(allocation, 'model.onnx')));
      assert.deepEqual(quantizationOf(bytes), quantizationOf(original));
    });

  it('overwrites nothing without --force, and leaves nothing half-written', async () => {
    writeFileSync(at('taken.onnx'), 'mine');
    const refused = await run('ort', 'taken.onnx', '--json');
    assert.equal(refused.code, 2);
    assert.equal(JSON.parse(refused.out).error.code, 'OUTPUT_EXISTS');
    assert.equal(readFileSync(at('taken.onnx'), 'utf8'), 'mine');
    assert.equal((await run('ort', 'taken.onnx', '--force')).code, 0);
    assert.notEqual(readFileSync(at('taken.onnx'), 'utf8'), 'mine');
    const lost = await run('ort', join('no', 'such', 'folder.onnx'));
    assert.match(lost.error, /a writable path for out .*no such file/);
    const left = readdirSync(paths.folder).filter((name) => /\.onnx\.[0-9a-f]+$/.test(name));
    assert.deepEqual(left, []);
  });

  it('refuses what it cannot make, in one sentence, before it writes', async () => {
    const sentence = async (...argv: string[]) => {
      const { code, error } = await sigmaquant('export', ...argv);
      assert.equal(code, 2, error);
      return error;
    };
    const source = [paths.float, '--allocation', allocation];
    assert.match(await sentence(...source), /a name for --format but received none/);
    assert.match(await sentence(paths.float, '--format', 'ort'), /a path for --allocation/);
    assert.match(await sentence(...source, '--format', 'tflite'), /one of ort.* for format .*"tflite"/);
    assert.match(await sentence(...source, '--format', 'ort', '--opset', '27'), /from 13 to 26 for opset/);
    const other = [paths.qdq, '--allocation', allocation, '--format', 'ort', '--out', at('never.onnx')];
    assert.match(await sentence(...other), /a float model but received one that is already quantized/);
    assert.ok(!existsSync(at('never.onnx')));
  });
});
