import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layerWidth, list, number, shape } from '../lib/cli/flags.ts';
import { createTerminal, progressLine } from '../lib/cli/terminal.ts';
import { interruptible, sigmaquant } from './support/command.ts';
import { imageBytes, tinyModel, writeImages } from './support/network.ts';

/** One sentence on stderr; with --json the same in one document on stdout, and nothing else. */
async function refused(argv: string[], code: string, sentence: RegExp, exit = 2): Promise<void> {
  const plain = await sigmaquant(...argv);
  assert.equal(plain.code, exit, plain.error);
  assert.equal(plain.out, '');
  assert.match(plain.error, sentence);
  assert.match(plain.error, /^sigmaquant: [^\n]+\.\n$/);
  const json = await sigmaquant(...argv.slice(0, 1), '--json', ...argv.slice(1));
  assert.equal(json.code, exit);
  const document = JSON.parse(json.out);
  assert.deepEqual(Object.keys(document), ['error']);
  assert.equal(document.error.code, code);
  assert.match(document.error.message, sentence);
}

describe('command line', () => {
  it('prints its version and help on stdout', async () => {
    assert.deepEqual(await sigmaquant('--version'), { code: 0, out: '1.2.3\n', error: '' });
    const help = await sigmaquant('quantize', '--help');
    assert.equal(help.code, 0);
    assert.match(help.out, /--max-drop <POINTS>/);
    assert.match((await sigmaquant('--help')).out, /Exit codes: 0 targets met/);
  });

  it('names the nearest right flag or command', async () => {
    await refused(
      ['quantize', 'm.onnx', '--tarjet', 'size=10%'],
      'INVALID_ARGUMENT',
      /--tarjet \(did you mean --target\?\)/,
    );
    await refused(['quantise', 'm.onnx'], 'INVALID_ARGUMENT', /quantise \(did you mean quantize\?\)/);
    await refused(
      ['plan', 'm.onnx', '--zzzzzz'],
      'INVALID_ARGUMENT',
      /a known option but received --zzzzzz\./,
    );
  });

  it('refuses missing and superfluous arguments', async () => {
    await refused(['quantize'], 'INVALID_ARGUMENT', /model/);
    await refused(['inspect', 'a.onnx', 'b.onnx'], 'INVALID_ARGUMENT', /one model/);
    await refused(['plan', 'm.onnx', '--bits'], 'INVALID_ARGUMENT', /Expected a value for .*--bits/);
    assert.match((await sigmaquant()).error, /^sigmaquant: Expected a command/);
  });

  it('refuses values that are no numbers', async () => {
    await refused(
      ['plan', 'm.onnx', '--seed', '1.5'],
      'INVALID_ARGUMENT',
      /a whole number for seed but received "1\.5"/,
    );
    await refused(
      ['plan', 'm.onnx', '--bits', '2,x'],
      'INVALID_ARGUMENT',
      /a whole number for bits but received "x"/,
    );
    await refused(['plan', 'm.onnx', '--input-shape', 'x=1,3'], 'INVALID_ARGUMENT', /NAME=1x3x224x224/);
    await refused(['plan', 'm.onnx', '--backend', 'gpu'], 'INVALID_ARGUMENT', /native, wasm, reference/);
  });

  it('reads a config file, whose unknown names it refuses', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    try {
      const path = join(folder, 'config.json');
      writeFileSync(path, JSON.stringify({ sed: 1 }));
      await refused(
        ['plan', 'm.onnx', '--config', path],
        'INVALID_ARGUMENT',
        /names of plan's options .* received "sed"/,
      );
      writeFileSync(path, JSON.stringify({ seed: 'x' }));
      await refused(['plan', 'm.onnx', '--config', path], 'INVALID_ARGUMENT', /a whole number for seed/);
      writeFileSync(path, '{');
      await refused(
        ['plan', 'm.onnx', '--config', path],
        'INVALID_ARGUMENT',
        /readable JSON file for config/,
      );
      await refused(
        ['plan', 'm.onnx', '--config', join(folder, 'none')],
        'INVALID_ARGUMENT',
        /readable JSON file/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('interrupts', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
  });
  after(() => rmSync(folder, { recursive: true }));

  it('exit with 130 and write nothing', async () => {
    writeImages(join(folder, 'few.npz'), imageBytes(8, 1), null);
    const controller = new AbortController();
    controller.abort(new DOMException('The work was interrupted.', 'AbortError'));
    const argv = ['quantize', join(folder, 'tiny.onnx'), '--calibration', join(folder, 'few.npz')];
    const { code, out, error } = await interruptible(
      controller.signal,
      ...argv,
      '--out',
      join(folder, 'out'),
      '--json',
    );
    assert.equal(code, 130);
    assert.equal(JSON.parse(out).error.code, 'INTERRUPTED');
    assert.equal(error, 'sigmaquant: Interrupted; nothing was written.\n');
    assert.deepEqual(readdirSync(folder).sort(), ['few.npz', 'tiny.onnx']);
  });

  it('are heard by the program itself', async function () {
    if (process.platform === 'win32') return this.skip();
    writeImages(join(folder, 'many.npz'), imageBytes(60_000, 1), null);
    const script = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url));
    const argv = ['quantize', join(folder, 'tiny.onnx'), '--calibration', join(folder, 'many.npz')];
    const options = ['--samples', '60000', '--out', join(folder, 'out'), '--json'];
    const child = spawn(process.execPath, ['--import', 'tsx', script, ...argv, ...options]);
    let out = '';
    child.stdout.on('data', (piece) => void (out += piece));
    const timer = setTimeout(() => child.kill('SIGINT'), 2000);
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    assert.equal(code, 130);
    assert.equal(JSON.parse(out).error.code, 'INTERRUPTED');
    assert.deepEqual(readdirSync(folder).sort(), ['few.npz', 'many.npz', 'tiny.onnx']);
  });
});

describe('flags', () => {
  it('parses lists, ranges, shapes and pins', () => {
    assert.deepEqual(list('bits')('2,4,8'), [2, 4, 8]);
    assert.deepEqual(list('bits')('2-4,8'), [2, 3, 4, 8]);
    assert.deepEqual(shape('input=1x3x224x224'), ['input', [1, 3, 224, 224]]);
    assert.deepEqual(layerWidth('layer1.0=conv=4'), ['layer1.0=conv', 4]);
    assert.equal(number('max-drop')('0.7'), 0.7);
    assert.throws(() => shape('input=1x0'), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => list('bits')('4-2'), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => number('max-drop')(''), { code: 'INVALID_ARGUMENT' });
  });
});

describe('progress', () => {
  it('estimates what is left, once that is steady', () => {
    assert.equal(progressLine('calibrate', 45, 100, 1000), 'calibrate 45 %');
    assert.equal(progressLine('calibrate', 25, 100, 10_000), 'calibrate 25 %, about 30 s left');
    assert.equal(progressLine('calibrate', 100, 100, 10_000), 'calibrate 100 %');
  });

  it('draws one line for people and nothing for pipes', () => {
    const drawn = (interactive: boolean) => {
      let error = '';
      let now = 0;
      const terminal = createTerminal({
        out: () => {},
        error: (text) => void (error += text),
        interactive,
        width: () => 20,
        now: () => (now += 1000),
        signal: new AbortController().signal,
      });
      terminal.progress('calibrate', 0, 10);
      terminal.progress('calibrate', 5, 10);
      terminal.clear();
      return error;
    };
    assert.equal(drawn(false), '');
    assert.ok(!drawn(true).includes('\n'));
    assert.ok(drawn(true).endsWith('\r\u001b[2K'));
  });
});
