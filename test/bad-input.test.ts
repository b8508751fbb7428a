import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantize } from '../lib/index.ts';
import type { FileModel, FileTensor } from '../lib/onnx/index.ts';
import { sigmaquant } from './support/command.ts';
import { imageBytes, npy, SAMPLE, tinyModel, writeArrays, writeImages } from './support/network.ts';

const COUNT = 6;
const VALUES = SAMPLE.reduce((a, b) => a * b);

/** The model with one initializer changed. */
function withTensor(name: string, change: (tensor: FileTensor) => FileTensor) {
  return (model: FileModel) => ({
    initializers: model.initializers.map((tensor) => (tensor.name === name ? change(tensor) : tensor)),
  });
}

describe('bad input', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    writeFileSync(path('tiny.onnx'), tinyModel());
    writeImages(path('data.npz'), imageBytes(COUNT, 1), [0, 1, 2, 3, 0, 1]);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** One sentence, that code, exit 2, and not a file more than before. */
  async function refused(argv: string[], code: string, sentence: RegExp): Promise<void> {
    const before = readdirSync(folder).sort();
    const { code: exit, out, error } = await sigmaquant(...argv, '--json');
    const document = JSON.parse(out);
    assert.equal(document.error?.code, code, out + error);
    assert.match(document.error.message, sentence);
    assert.match(error, /^sigmaquant: [^\n]+\.\n$/);
    assert.equal(exit, 2);
    assert.deepEqual(readdirSync(folder).sort(), before);
  }

  /** `quantize` of a model (bytes, or a change of the tiny one) with good data. */
  async function model(change: Uint8Array | Parameters<typeof tinyModel>[0], code: string, sentence: RegExp) {
    writeFileSync(path('bad.onnx'), typeof change === 'function' ? tinyModel(change) : change!);
    await refused(command('bad.onnx', 'data.npz'), code, sentence);
  }

  function command(network: string, data: string, ...more: string[]): string[] {
    return ['quantize', path(network), '--calibration', path(data), '--out', path('out'), ...more];
  }

  describe('models', () => {
    it('that are missing, empty, garbage or cut off', async () => {
      await refused(
        command('none.onnx', 'data.npz'),
        'INVALID_ARGUMENT',
        /readable file for model .* no such file/,
      );
      await model(new Uint8Array(0), 'MALFORMED_MODEL', /empty/);
      await model(new TextEncoder().encode('not a model at all'), 'MALFORMED_MODEL', /^Expected/);
      const whole = tinyModel();
      for (const share of [0.2, 0.6, 0.99])
        await model(whole.slice(0, Math.floor(whole.length * share)), 'MALFORMED_MODEL', /^Expected/);
    });

    it('with cycles, missing inputs or doubled names', async () => {
      await model(
        ({ nodes }) => ({
          nodes: nodes.map((n) => (n.name === 'conv2' ? { ...n, inputs: ['e', ...n.inputs.slice(1)] } : n)),
        }),
        'MALFORMED_MODEL',
        /cycl|order|before/i,
      );
      await model(
        ({ nodes }) => ({
          nodes: nodes.map((n) => (n.name === 'conv2' ? { ...n, inputs: ['q', ...n.inputs.slice(1)] } : n)),
        }),
        'MALFORMED_MODEL',
        /"?q"?/,
      );
      await model(
        ({ nodes }) => ({ nodes: nodes.map((n) => (n.name === 'conv4' ? { ...n, outputs: ['a'] } : n)) }),
        'MALFORMED_MODEL',
        /"?a"?/,
      );
    });

    it('whose tensors have the wrong type, size or values', async () => {
      const data = (change: (x: Float32Array) => void) =>
        withTensor('conv2.w', (tensor) => {
          const copy = Float32Array.from(tensor.tensor.data as Float32Array);
          change(copy);
          return { ...tensor, tensor: { ...tensor.tensor, data: copy } };
        });
      await model(
        data((x) => x.fill(Number.NaN, 3, 4)),
        'MALFORMED_MODEL',
        /conv2\.w.*(NaN|finite)|(NaN|finite).*conv2\.w/,
      );
      await model(
        data((x) => x.fill(Number.POSITIVE_INFINITY, 0, 1)),
        'MALFORMED_MODEL',
        /conv2\.w/,
      );
      const shape = (...sides: number[]) =>
        withTensor('conv2.w', (tensor) => ({ ...tensor, tensor: { ...tensor.tensor, shape: sides } }));
      await model(shape(8, 8, 3, 4), 'MALFORMED_MODEL', /conv2\.w/);
      await model(shape(2 ** 40, 8, 3, 3), 'MALFORMED_MODEL', /conv2\.w/);
      await model(
        withTensor('conv2.w', (tensor) => ({
          ...tensor,
          tensor: { ...tensor.tensor, dtype: 'int32', data: new Int32Array(8 * 72) },
        })),
        'MALFORMED_MODEL',
        /conv2/,
      );
    });

    it('without anything to quantize', async () => {
      await model(
        () => ({
          initializers: [],
          outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch', ...SAMPLE] }],
          nodes: [{ name: 'relu', op: 'Relu', inputs: ['image'], outputs: ['logits'], attributes: {} }],
        }),
        'UNSUPPORTED_MODEL',
        /at least one Conv, Gemm or MatMul .* none/,
      );
    });

    it('with operators that nobody knows, which inspect still shows', async () => {
      const change = ({ nodes }: FileModel) => ({
        nodes: nodes.map((n) =>
          n.op === 'MaxPool' ? { ...n, name: 'strange', op: 'Frobnicate', attributes: {} } : n,
        ),
      });
      await model(change, 'UNSUPPORTED_OPERATOR', /Frobnicate.*strange/);
      const { code, out } = await sigmaquant('inspect', path('bad.onnx'), '--json');
      assert.equal(code, 0);
      const seen = JSON.parse(out);
      assert.deepEqual(seen.unsupported, [{ name: 'strange', op: 'Frobnicate' }]);
      const names = seen.layers.map(({ name }: { name: string }) => name);
      assert.deepEqual(names.slice(0, 4), ['conv1', 'conv2', 'conv3', 'conv4']);
    });

    it('whose input has open sides, unless they are given', async () => {
      const open = () => ({
        inputs: [{ name: 'image', dtype: 'float32', shape: ['batch', 3, 'height', 'width'] }],
      });
      await model(open, 'UNSUPPORTED_MODEL', /image.*--input-shape|--input-shape.*image/);
      const { code } = await sigmaquant(
        'plan',
        path('bad.onnx'),
        '--input-shape',
        'image=1x3x8x8',
        '--target',
        'bits=5',
      );
      assert.equal(code, 0);
      await refused(
        ['plan', path('bad.onnx'), '--input-shape', 'picture=1x3x8x8'],
        'INVALID_ARGUMENT',
        /picture|image/,
      );
    });

    it('that are quantized already', async () => {
      const { artefacts } = await quantize({
        model: path('tiny.onnx'),
        calibration: path('data.npz'),
        targets: ['bits=6'],
        evaluations: 2,
      });
      await model(artefacts.model, 'UNSUPPORTED_MODEL', /quantized/);
    });
  });

  describe('data', () => {
    const data = (name: string, code: string, sentence: RegExp, ...more: string[]) =>
      refused(command('tiny.onnx', name, ...more), code, sentence);
    const labelled = (name: string, sentence: RegExp, code = 'DATA_MISMATCH') =>
      data('data.npz', code, sentence, '--evaluate', path(name));

    it('that is missing, empty or no data at all', async () => {
      await data('none.npz', 'DATA_UNREADABLE', /none\.npz/);
      writeFileSync(path('junk.npz'), 'junk');
      await data('junk.npz', 'DATA_UNREADABLE', /junk\.npz/);
      mkdirSync(path('empty'), { recursive: true });
      await data('empty', 'DATA_UNREADABLE', /empty/);
      await refused(
        ['quantize', path('tiny.onnx'), '--out', path('out')],
        'INVALID_ARGUMENT',
        /--calibration/,
      );
    });

    it('of the wrong shape, type or range', async () => {
      writeArrays(path('shape.npz'), { x: npy(new Uint8Array(COUNT * VALUES), [COUNT, 3, 4, 16]) });
      await data('shape.npz', 'DATA_MISMATCH', /\[3, 8, 8\].*\[3, 4, 16\]/);
      const nan = new Float32Array(COUNT * VALUES);
      nan[7] = Number.NaN;
      writeArrays(path('nan.npz'), { x: npy(nan, [COUNT, ...SAMPLE]) });
      await data('nan.npz', 'DATA_MISMATCH', /finite.*NaN/);
      writeArrays(path('bytes.npz'), { x: npy(new Uint8Array(5), [5]) });
      await data('bytes.npz', 'DATA_MISMATCH', /bytes\.npz/);
    });

    it('whose labels are none, too few, fractional or out of range', async () => {
      const images = imageBytes(COUNT, 2);
      writeImages(path('range.npz'), images, [0, 1, 2, 3, 4, 4]);
      await labelled('range.npz', /labels from 0 to 3 but received 4/);
      writeImages(path('few.npz'), images, [0, 1]);
      await labelled('few.npz', /few\.npz/);
      writeArrays(path('half.npz'), {
        x: npy(images, [COUNT, ...SAMPLE]),
        y: npy(Float64Array.of(0, 1, 0.5, 0, 1, 0), [COUNT]),
      });
      await labelled('half.npz', /0\.5/);
      writeImages(path('negative.npz'), images, [0, -1, 0, 0, 0, 0]);
      await labelled('negative.npz', /-1/);
    });

    it('folders of images with too many that cannot be read', async function () {
      const sharp = await import('sharp').catch(() => null);
      if (!sharp) return this.skip();
      mkdirSync(path('images/a'), { recursive: true });
      mkdirSync(path('images/b'), { recursive: true });
      const create = { width: 8, height: 8, channels: 3 as const, background: '#804020' };
      for (const name of ['a/0.png', 'b/1.png', 'b/2.png'])
        await sharp
          .default({ create })
          .png()
          .toFile(path(`images/${name}`));
      writeFileSync(path('images/b/broken.png'), 'no image');
      await data('images', 'DATA_UNREADABLE', /broken\.png/);
    });
  });

  describe('targets', () => {
    const target = (sentence: RegExp, ...more: string[]) =>
      refused(command('tiny.onnx', 'data.npz', ...more), 'INVALID_ARGUMENT', sentence);

    it('that are unknown, nonsense or contradict each other', async () => {
      await target(/target.*"sise=10%"/, '--target', 'sise=10%');
      await target(/target.*"size=-3"/, '--target', 'size=-3');
      await target(/one target per resource/, '--target', 'size=10%', '--target', 'size=1kB');
      await target(/one floor/, '--max-drop', '1', '--min-accuracy', '90');
      await target(/0 to 100 percentage points for max-drop/, '--max-drop', '-1');
      await target(/from 2 to 8 for bits/, '--bits', '1,4');
      await target(/from 2 to 8 for activation-bits/, '--activation-bits', '9');
      await target(/for strategy but received "best"/, '--strategy', 'best');
      await target(/"conv7"/, '--pin', 'conv7=4');
      await target(/from 13 to 26 for opset/, '--opset', '9');
    });

    it('that cannot be reached have exit codes of their own', async () => {
      const verdict = async (...more: string[]) => {
        const out = path('verdict');
        const { code, out: text } = await sigmaquant(
          ...[
            'quantize',
            path('tiny.onnx'),
            '--calibration',
            path('data.npz'),
            '--out',
            out,
            '--force',
            '--json',
          ],
          ...['--evaluations', '4', ...more],
        );
        return [code, JSON.parse(text).verdict];
      };
      assert.deepEqual(await verdict('--target', 'bits=6'), [0, 'met']);
      assert.deepEqual(await verdict('--target', 'bits=1', '--max-drop', '100'), [4, 'accuracy-only']);
      assert.deepEqual(await verdict('--target', 'bits=1'), [5, 'impossible']);
      rmSync(path('verdict'), { recursive: true });
    });

    it('outputs that exist', async () => {
      mkdirSync(path('taken'), { recursive: true });
      const argv = ['quantize', path('tiny.onnx'), '--calibration', path('data.npz'), '--out', path('taken')];
      await refused(argv, 'OUTPUT_EXISTS', /--force/);
    });
  });
});
