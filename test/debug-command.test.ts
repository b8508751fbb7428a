import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { damaged } from '../benchmarks/damages.ts';
import { debug } from '../lib/index.ts';
import { debugSvg } from '../lib/report/debug-svg.ts';
import { floatModel } from './models/foreign.ts';
import { interruptible, sigmaquant } from './support/command.ts';
import { type Exported, exportedNetwork } from './support/exported.ts';
import { npy, tinyModel, writeArrays } from './support/network.ts';

let paths: Exported;
before(async () => {
  paths = await exportedNetwork();
});
after(() => paths.remove());

describe('debug on the command line', () => {
  const run = (...argv: string[]) =>
    sigmaquant('debug', paths.float, paths.qdq, '--data', paths.data, ...argv);

  it('prints tables and the verdict', async () => {
    const { code, out, error } = await run();
    assert.equal(code, 0, error);
    assert.match(out, /^model against tiny, 24 samples\n/);
    assert.match(out, /\nconv2 +Conv +4\/8 +\d+\.\d /);
    assert.match(out, /\nfc +Linear +8\/float /);
    assert.match(out, /\nlogits +\d+\.\d /);
    assert.match(out, /\nNo layer breaks: /);
    const bad = join(paths.folder, 'bad.onnx');
    writeFileSync(bad, damaged(paths.bytes, 'conv3', 'weight scale x4')!);
    const broken = await sigmaquant('debug', paths.float, bad, '--data', paths.data, '--samples', '5');
    assert.match(broken.out, /\nconv3 .*<- breaks\n/);
    assert.match(
      broken.out,
      /\nFirst to break: conv3 \(Conv\), -\d+\.\d dB on its own inputs where its widths/,
    );
  });

  it('prints one document with --json', async () => {
    const document = JSON.parse((await run('--json', '--samples', '7')).out);
    assert.equal(document.samples, 7);
    assert.equal(document.firstBreak, null);
    assert.equal(document.layers.length, 8);
    assert.deepEqual(Object.keys(document.rule), ['layer', 'saturation', 'channel']);
  });

  it('draws a chart, which it replaces only by --force', async () => {
    const svg = join(paths.folder, 'chart.svg');
    assert.equal((await run('--svg', svg)).code, 0);
    const text = readFileSync(svg, 'utf8');
    assert.match(text, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox/);
    for (const name of ['image', 'conv1', 'conv2', 'conv3', 'conv4', 'fc'])
      assert.ok(text.includes(`>${name}</text>`), name);
    assert.match(text, /prefers-color-scheme: dark/);
    assert.ok(!/NaN|undefined|Infinity/.test(text));
    const again = await run('--svg', svg, '--json');
    assert.equal(again.code, 2);
    assert.equal(JSON.parse(again.out).error.code, 'OUTPUT_EXISTS');
    assert.equal((await run('--svg', svg, '--force')).code, 0);
  });

  it('escapes names in the chart', async () => {
    const result = await debug({ float: paths.float, quantized: paths.qdq, data: paths.data, samples: 2 });
    const layers = result.layers.map((layer) => ({ ...layer, name: '<a&b>' }));
    const text = debugSvg({ ...result, layers });
    assert.ok(text.includes('&lt;a&amp;b&gt;') && !text.includes('<a&b>'));
  });

  it('takes the preprocessing that the file names, and notes another float model', async () => {
    const flags = await run('--json', '--scale', '1/128');
    assert.deepEqual(JSON.parse(flags.out).layers, JSON.parse((await run('--json')).out).layers);
    const other = join(paths.folder, 'other.onnx');
    writeFileSync(
      other,
      tinyModel(() => ({ name: 'another' })),
    );
    const { out } = await sigmaquant('debug', other, paths.qdq, '--data', paths.data);
    assert.match(out, /\nnote: model says that it was made from another file than other\.\n/);
  });

  it('reads a config file, paths from its folder', async () => {
    const config = join(paths.folder, 'debug.json');
    writeFileSync(config, JSON.stringify({ data: 'images.npz', samples: 3 }));
    const { out } = await sigmaquant('debug', paths.float, paths.qdq, '--config', config, '--json');
    assert.equal(JSON.parse(out).samples, 3);
  });

  it('is heard when interrupted', async () => {
    const controller = new AbortController();
    controller.abort(new DOMException('The work was interrupted.', 'AbortError'));
    const argv = ['debug', paths.float, paths.qdq, '--data', paths.data];
    assert.equal((await interruptible(controller.signal, ...argv)).code, 130);
  });
});

describe('debug refuses', () => {
  /** One sentence on stderr, an error in the document, exit code 2. */
  async function refused(argv: string[], code: string, sentence: RegExp): Promise<void> {
    const { code: exit, out, error } = await sigmaquant('debug', ...argv, '--json');
    assert.equal(exit, 2, error);
    assert.match(error, /^sigmaquant: [^\n]+\.\n$/);
    assert.match(error, sentence);
    assert.equal(JSON.parse(out).error.code, code);
  }
  const write = (name: string, bytes: Uint8Array) => {
    const path = join(paths.folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const data = () => ['--data', paths.data];

  it('missing arguments', async () => {
    await refused([paths.float], 'INVALID_ARGUMENT', /quantized/);
    await refused([paths.float, paths.qdq], 'INVALID_ARGUMENT', /a path for --data but received none/);
    await refused(
      [paths.float, paths.qdq, 'third', ...data()],
      'INVALID_ARGUMENT',
      /two models but received more arguments/,
    );
    await refused(
      [paths.float, paths.qdq, ...data(), '--samples', '0'],
      'INVALID_ARGUMENT',
      /above 0 for samples/,
    );
  });

  it('a float network as the quantized one, and the other way round', async () => {
    await refused([paths.float, paths.float, ...data()], 'UNSUPPORTED_MODEL', /received a float one/);
    await refused(
      [paths.qdq, paths.qdq, ...data()],
      'UNSUPPORTED_MODEL',
      /a float model .*already quantized/,
    );
    await refused(
      [paths.sqnt, paths.qdq, ...data()],
      'MALFORMED_MODEL',
      /ONNX file .* received a packed one/,
    );
  });

  it('files that are not there, cut off or changed', async () => {
    await refused([paths.float, join(paths.folder, 'none'), ...data()], 'INVALID_ARGUMENT', /no such file/);
    const sqnt = readFileSync(paths.sqnt);
    for (const [i, whole] of [paths.bytes, sqnt].entries())
      for (const share of [0, 0.3, 0.7, 0.99]) {
        const path = write(`cut${i}`, whole.subarray(0, Math.floor(share * whole.length)));
        await refused([paths.float, path, ...data()], 'MALFORMED_MODEL', /Expected/);
      }
    const changed = new Uint8Array(sqnt);
    changed[changed.length >> 1] ^= 1;
    await refused([paths.float, write('changed.sqnt', changed), ...data()], 'MALFORMED_MODEL', /checksum/);
  });

  it('two files that are no pair', async () => {
    const other = write('foreign.onnx', floatModel());
    await refused(
      [other, paths.qdq, ...data()],
      'INVALID_ARGUMENT',
      /input "image" \(float32 \[batch, 3, 6, 6\]\) in both/,
    );
    const named = tinyModel(({ inputs, nodes }) => ({
      inputs: [{ ...inputs[0], name: 'picture' }],
      nodes: nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map((name) => (name === 'image' ? 'picture' : name)),
      })),
    }));
    await refused(
      [write('named.onnx', named), paths.sqnt, ...data()],
      'INVALID_ARGUMENT',
      /input "picture" .* but the quantized one has "image"/,
    );
    const renamed = tinyModel(({ nodes, outputs, initializers }) => {
      const other = (name: string) =>
        name === 'image' || initializers.some((constant) => constant.name === name) ? name : `other_${name}`;
      return {
        outputs: outputs.map((output) => ({ ...output, name: other(output.name) })),
        nodes: nodes.map((node) => ({
          ...node,
          name: other(node.name),
          inputs: node.inputs.map(other),
          outputs: node.outputs.map(other),
        })),
      };
    });
    await refused(
      [write('renamed.onnx', renamed), paths.qdq, ...data()],
      'INVALID_ARGUMENT',
      /two files of one network but no layer of the quantized one \(conv1, conv2, conv3, \.\.\.\)/,
    );
  });

  it('data of a wrong shape or kind', async () => {
    const path = join(paths.folder, 'wrong.npz');
    writeArrays(path, { x: npy(new Uint8Array(4 * 3 * 8 * 7), [4, 3, 8, 7]) });
    await refused(
      [paths.float, paths.qdq, '--data', path],
      'DATA_MISMATCH',
      /samples of shape \[3, 8, 8\] for input image but received \[3, 8, 7\]/,
    );
    await refused([paths.float, paths.qdq, '--data', paths.float], 'DATA_UNREADABLE', /\.npz, \.npy/);
  });

  it('operators that compute with integers themselves', async () => {
    const node = {
      name: 'q',
      op: 'QLinearConv',
      inputs: Array(8).fill('image'),
      outputs: ['y'],
      attributes: {},
    };
    const path = write(
      'qlinear.onnx',
      tinyModel(({ nodes }) => ({ nodes: [...nodes, node] })),
    );
    await refused(
      [paths.float, path, ...data()],
      'UNSUPPORTED_MODEL',
      /float operators between QuantizeLinear/,
    );
  });
});
