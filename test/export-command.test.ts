import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Format, formats } from '../lib/export/formats.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { importGraph } from '../lib/graph/index.ts';
import { exportModel, quantize } from '../lib/index.ts';
import { readModel } from '../lib/onnx/index.ts';
import { dequantizeWeights } from '../lib/quant/weights.ts';
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

  it('writes compact in the least opset that has its types, and says what onnxruntime will do', async () => {
    const { code, out, error } = await run('compact', 'compact.onnx');
    assert.equal(code, 0, error);
    assert.match(out, /^tiny: compact, opset 25, /);
    assert.match(
      out,
      /\nconv2 +Conv +2 +int2 +float +Conv +its input is float; int2 weights are dequantized/,
    );
    assert.match(out, /\nfc +Gemm +8 +int8 +float +Gemm /);
    assert.match(out, /\nonnxruntime 1\.30, CPU: loads the file; 5 layers, 5 float\n/);
    assert.match(out, /\ninstead: format ort quantizes activations\n/);
    const { graph } = importGraph(new Uint8Array(readFileSync(at('compact.onnx'))), {
      acceptQuantized: true,
      foldQuantized: true,
    });
    const { layers } = quantizationOf(new Uint8Array(readFileSync(join(allocation, 'model.onnx'))));
    const fc = graph.nodes.find(({ name }) => name === 'fc')!;
    const { q, scales } = layers.get('fc')!;
    assert.deepEqual(graph.constants.get(fc.inputs[1])!.data, dequantizeWeights(q, scales));
    const smaller = await run('compact', 'int4.onnx', '--opset', '21', '--json');
    const { onnxruntime, opset } = JSON.parse(smaller.out);
    assert.equal(opset, 21);
    assert.deepEqual(
      onnxruntime.layers.map((layer: { bits: number; weights: string }) => [layer.bits, layer.weights]),
      [
        [8, 'int8'],
        [2, 'int4'],
        [4, 'int4'],
        [5, 'int8'],
        [8, 'int8'],
      ],
    );
  });

  it('writes qonnx with the operator that it uses', async () => {
    const { code, out, error } = await run('qonnx', 'qonnx.onnx', '--json');
    assert.equal(code, 0, error);
    const { opset, onnxruntime, notes } = JSON.parse(out);
    assert.deepEqual([opset, onnxruntime.version, onnxruntime.loads], [13, '1.30', true]);
    assert.match(notes[0], /^\d of 7 values have a zero point other than 0 \(/);
    const { functions } = readModel(new Uint8Array(readFileSync(at('qonnx.onnx'))));
    assert.equal(functions[0].name, 'IntQuant');
  });

  it('writes a format of several files as a folder, all or none', async () => {
    const table = formats as Record<string, Format>;
    const files = () =>
      new Map([
        ['net.h', 'one'],
        ['net.c', 'two'],
      ] as const);
    table['sources'] = { kind: 'folder', description: '', files };
    const write = (out: string, options = {}) =>
      exportModel({ model: paths.float, allocation, format: 'sources', out: at(out), ...options });
    try {
      const { contents: _, ...summary } = await write('net');
      assert.deepEqual(
        summary.files.map(({ name, bytes }) => [name, bytes]),
        [
          ['net.h', 3],
          ['net.c', 3],
        ],
      );
      assert.deepEqual([summary.opset, summary.onnxruntime], [null, null]);
      assert.deepEqual(readdirSync(at('net')).sort(), ['net.c', 'net.h']);
      await assert.rejects(write('net'), { code: 'OUTPUT_EXISTS' });
      writeFileSync(join(at('net'), 'mine.txt'), '');
      await assert.rejects(write('net', { force: true }), /which has "mine\.txt"/);
      await assert.rejects(write('other', { opset: 21 }), /no opset for format sources/);
    } finally {
      delete table['sources'];
    }
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
