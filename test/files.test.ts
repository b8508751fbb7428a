import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandOf } from '../lib/pipeline/command.ts';
import { modelName, readBytes, refuseExisting, writeDirectory } from '../lib/pipeline/files.ts';

describe('output folder', () => {
  let folder: string;
  const names = ['a.txt', 'b.bin'];
  const content = { 'a.txt': 'one', 'b.bin': Uint8Array.of(1, 2) };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is written whole, with the folders above it', async () => {
    const out = join(folder, 'deep', 'out');
    await writeDirectory(out, content, { force: false });
    assert.deepEqual(readdirSync(join(folder, 'deep')), ['out']);
    assert.deepEqual(readdirSync(out).sort(), names);
    assert.equal(readFileSync(join(out, 'a.txt'), 'utf8'), 'one');
  });

  it('is refused where it exists, and replaced by force', async () => {
    const out = join(folder, 'out');
    await writeDirectory(out, content, { force: false });
    await assert.rejects(refuseExisting(out, false, names), { code: 'OUTPUT_EXISTS', message: /--force/ });
    await assert.rejects(writeDirectory(out, content, { force: false }), { code: 'OUTPUT_EXISTS' });
    await writeDirectory(out, { 'a.txt': 'two', 'b.bin': '' }, { force: true });
    assert.equal(readFileSync(join(out, 'a.txt'), 'utf8'), 'two');
    assert.deepEqual(readdirSync(folder), ['out']);
  });

  it("never replaces somebody else's files", async () => {
    const out = join(folder, 'out');
    mkdirSync(out);
    writeFileSync(join(out, 'thesis.tex'), 'precious');
    await assert.rejects(refuseExisting(out, true, names), { code: 'OUTPUT_EXISTS', message: /thesis\.tex/ });
    await assert.rejects(writeDirectory(out, content, { force: true }), { code: 'OUTPUT_EXISTS' });
    assert.deepEqual(readdirSync(folder), ['out']);
    assert.equal(readFileSync(join(out, 'thesis.tex'), 'utf8'), 'precious');
  });

  it('leaves nothing behind after an abort', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    controller.abort(reason);
    const write = writeDirectory(join(folder, 'out'), content, { force: false, signal: controller.signal });
    await assert.rejects(write, (error) => error === reason);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('says why a path cannot be used', async () => {
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(writeDirectory(join(folder, 'file', 'out'), content, { force: false }), {
      code: 'INVALID_ARGUMENT',
      message: /not a folder|file/,
    });
    await assert.rejects(readBytes(join(folder, 'none.onnx'), 'model'), {
      code: 'INVALID_ARGUMENT',
      message: /^Expected a readable file for model but received ".*none\.onnx": no such file\.$/,
    });
    await assert.rejects(readBytes(folder, 'model'), { code: 'INVALID_ARGUMENT', message: /it is a folder/ });
  });

  it('takes its name from the model', () => {
    assert.equal(modelName('/models/resnet20.onnx'), 'resnet20');
    assert.equal(modelName('x.ONNX'), 'x');
  });
});

describe('command that makes a result again', () => {
  it('has every option that changes artefacts, quoted for a shell', () => {
    const command = commandOf({
      model: 'my model.onnx',
      calibration: 'c.npz',
      evaluate: 'e.npz',
      preprocessing: { scale: 1 / 255, mean: [0.5, 0.25, 0.125], crop: [224, 224] },
      targets: ['size=10.5%'],
      maxDrop: 0.7,
      pins: { "it's": 4 },
      freeEnds: true,
      threads: 2,
      out: 'somewhere',
    });
    assert.equal(
      command,
      "sigmaquant quantize 'my model.onnx' --calibration c.npz --evaluate e.npz --crop 224x224 --scale 1/255" +
        " --mean 0.5,0.25,0.125 --target size=10.5% --max-drop 0.7 --free-ends --pin 'it'\\''s=4'",
    );
  });
});
