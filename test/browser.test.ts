import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contentHash, portableHash } from '../lib/data/content-hash.ts';
import { fileFolder, fileSource } from '../lib/data/file-folder.ts';
import * as node from '../lib/index.ts';
import type { BrowserQuantizeOptions } from '../lib/pipeline/browser.ts';
import { deviceNames } from '../lib/pipeline/devices.ts';
import { imageBytes, random, tinyModel, writeImages } from './support/network.ts';

const DEVICES = new URL('../lib/hardware/devices/', import.meta.url);
const BUNDLE = new URL('../dist/pipeline/browser.js', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
/** Bytes of the browser's face: a page should open fast. */
const LARGEST_BUNDLE = 1_100_000;

describe('SHA-256 in plain JavaScript', () => {
  const expected = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
  const next = random(3);
  const bytes = Uint8Array.from({ length: 300 }, () => 128 + 127 * next());

  it('is that of Node for every length around a block, in any pieces', () => {
    for (let length = 0; length <= bytes.length; length++) {
      const data = bytes.subarray(0, length);
      const [whole, pieces] = [portableHash(), portableHash()];
      whole.update(data);
      for (let at = 0; at < length; at += 1 + (length % 70))
        pieces.update(data.subarray(at, at + 1 + (length % 70)));
      assert.equal(whole.hex(), expected(data), `${length} bytes`);
      assert.equal(pieces.hex(), expected(data), `${length} bytes in pieces`);
    }
    const text = 'σ ≥ 0, 😀';
    const [own, hosts] = [portableHash(), contentHash()];
    own.update(text);
    hosts.update(text);
    assert.equal(own.hex(), expected(text));
    assert.equal(hosts.hex(), expected(text));
  });
});

describe('files that a page was given', () => {
  const file = (path: string, text: string) => {
    const own = new File([text], basename(path));
    return path.includes('/') ? Object.defineProperty(own, 'webkitRelativePath', { value: path }) : own;
  };

  it('are a folder, by their paths below the one that was chosen', async () => {
    const folder = fileFolder([
      file('set/cat/b.png', 'b'),
      file('set/cat/a.png', 'a'),
      file('set/.DS_Store', ''),
      file('set/labels.csv', 'a.png,1'),
    ]);
    assert.deepEqual(await folder.list(''), [
      { name: 'cat', folder: true },
      { name: 'labels.csv', folder: false },
    ]);
    assert.deepEqual(
      (await folder.list('cat')).map(({ name }) => name),
      ['a.png', 'b.png'],
    );
    assert.equal(new TextDecoder().decode(await folder.read('cat/b.png')), 'b');
    await assert.rejects(folder.read('cat/c.png'), { code: 'DATA_UNREADABLE', message: /cat\/c\.png/ });
    assert.deepEqual(await fileFolder([file('x.png', ''), file('w.png', '')]).list(''), [
      { name: 'w.png', folder: false },
      { name: 'x.png', folder: false },
    ]);
  });

  it('are read in parts, and say when they cannot be read or end early', async () => {
    const source = fileSource(file('x.npz', 'abcdef'));
    assert.equal(new TextDecoder().decode(await source.read(2, 3)), 'cde');
    await assert.rejects(source.read(4, 3), {
      code: 'DATA_UNREADABLE',
      message: 'Expected 3 bytes at offset 4 of x.npz but the file ends after 6.',
    });
    const gone = {
      name: 'gone.npz',
      size: 9,
      slice: () => ({ arrayBuffer: () => Promise.reject(new Error('it was moved')) }),
    };
    await assert.rejects(fileSource(gone).read(0, 9), { code: 'DATA_UNREADABLE', message: /it was moved/ });
  });
});

describe("the browser's face", () => {
  let folder: string;
  let browser: typeof import('../lib/pipeline/browser.ts');
  let base: BrowserQuantizeOptions;
  const preprocessing = { scale: 1 / 255, mean: [0.4, 0.5, 0.6], std: 0.25 };

  before(async () => {
    // What the build puts in.
    const files = readdirSync(DEVICES).map((name) => [
      basename(name, '.json'),
      readFileSync(new URL(name, DEVICES), 'utf8'),
    ]);
    Object.assign(globalThis, { PACKAGE_VERSION: version, DEVICE_FILES: Object.fromEntries(files) });
    browser = await import('../lib/pipeline/browser.ts');
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-browser-'));
    writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
    writeImages(join(folder, 'samples.npz'), imageBytes(24, 5), null);
    const labels = Array.from({ length: 40 }, (_, i) => i % 4);
    writeImages(join(folder, 'test.npz'), imageBytes(40, 3), labels);
    const given = (name: string) => new File([readFileSync(join(folder, name))], name);
    base = {
      model: given('tiny.onnx'),
      calibration: given('samples.npz'),
      evaluate: given('test.npz'),
      preprocessing,
      targets: ['bits=5'],
      evaluations: 4,
    };
  });
  after(() => rmSync(folder, { recursive: true }));

  it('gives the artefacts that Node gives on WebAssembly, and prints names in place of paths', async () => {
    const own = await browser.quantize(base);
    const same = await node.quantize({
      preprocessing,
      targets: ['bits=5'],
      evaluations: 4,
      model: join(folder, 'tiny.onnx'),
      calibration: join(folder, 'samples.npz'),
      evaluate: join(folder, 'test.npz'),
      backend: 'wasm',
      threads: 1,
    });
    assert.deepEqual(own.artefacts.allocation, same.artefacts.allocation);
    assert.deepEqual(own.artefacts.model, same.artefacts.model);
    assert.deepEqual(own.artefacts.sqnt, same.artefacts.sqnt);
    assert.equal(own.artefacts.table, same.artefacts.table);
    assert.equal(own.backend, 'wasm');
    assert.equal(own.files, null);
    assert.ok(
      own.artefacts.report.includes(
        'sigmaquant quantize tiny.onnx --calibration samples.npz --evaluate test.npz',
      ),
    );
  });

  it('tells files of one name apart, and takes bytes and data sets', async () => {
    const evaluate = new File([readFileSync(join(folder, 'test.npz'))], 'samples.npz');
    const { artefacts } = await browser.quantize({ ...base, evaluate });
    assert.match(artefacts.report, /--calibration samples\.npz --evaluate evaluate\/samples\.npz/);
    assert.notEqual(
      artefacts.allocation.data.calibration!.sha256,
      artefacts.allocation.data.validation!.sha256,
    );
    const calibration = await browser.openDataset(base.calibration as File, { preprocessing });
    const bytes = await browser.quantize({
      ...base,
      model: { name: 'tiny.onnx', bytes: tinyModel() },
      calibration,
      evaluate: undefined,
    });
    assert.equal(bytes.model, 'tiny');
    assert.equal(bytes.validation.metric, 'agreement');
  });

  it('inspects, and knows the devices of the package', async () => {
    assert.deepEqual(
      await browser.inspect({ model: base.model }),
      await node.inspect({ model: join(folder, 'tiny.onnx') }),
    );
    for (const device of deviceNames())
      assert.equal(
        (await browser.quantize({ ...base, device, targets: [], evaluate: undefined, evaluations: 1 }))
          .device,
        device,
      );
  });

  it('refuses what a browser has not, in a sentence', async () => {
    const refused = (options: object, message: RegExp, code = 'INVALID_ARGUMENT') =>
      assert.rejects(browser.quantize({ ...base, ...options }), (error: Error & { code: string }) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        return true;
      });
    await refused({ model: undefined }, /a file for model/);
    await refused({ calibration: [] }, /at least one file for calibration/);
    await refused({ calibration: 'samples.npz' }, /files or a data set for calibration/);
    await refused({ executor: 'onnxruntime' }, /engine for executor in a browser/);
    await refused({ cache: 'folder' }, /no folder for cache in a browser/);
    await refused({ metric: 'metric.mjs' }, /a function for metric in a browser/);
    await refused({ device: 'none' }, /generic-memory.*for device but received "none"/);
    await refused({ backend: 'native' }, /wasm or reference for backend in a browser/, 'BACKEND_UNAVAILABLE');
    const large = { name: 'large.onnx', size: 300e6, slice: () => assert.fail('it is read') };
    await refused({ model: large }, /at most 256 MB .* received 300 MB/, 'OUT_OF_MEMORY');
  });

  it('says that memory is exhausted, whoever noticed, and passes on all else', async () => {
    const failing = (error: Error) => ({
      ...base,
      onProgress: () => {
        throw error;
      },
    });
    const exhausted = {
      code: 'OUT_OF_MEMORY',
      message: /^Expected memory for tiny\.onnx but the browser has no more/,
    };
    await assert.rejects(
      browser.quantize(failing(new RangeError('Array buffer allocation failed'))),
      exhausted,
    );
    await assert.rejects(
      browser.quantize(failing(new RangeError('Maximum call stack size exceeded'))),
      RangeError,
    );
    await assert.rejects(browser.quantize(failing(new TypeError('no'))), TypeError);
    const controller = new AbortController();
    const reason = new RangeError('enough');
    const aborted = browser.quantize({
      ...base,
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    await assert.rejects(aborted, (error) => error === reason);
  });

  it('needs nothing of Node when it is built, and no package but the solver, later', () => {
    const text = readFileSync(BUNDLE, 'utf8');
    const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*["'`]([\w@./:-]+)["'`]/g);
    assert.deepEqual([...new Set([...found].map(([, specifier]) => specifier))], ['highs']);
    assert.ok(!/["'`]node:/.test(text));
    assert.ok(!/\bfrom\s*["']highs["']/.test(text), 'it is loaded when it is needed');
    const { size } = statSync(fileURLToPath(BUNDLE));
    assert.ok(size < LARGEST_BUNDLE, `${size} bytes`);
  });

  it('is what bundlers take for browsers, by either name', () => {
    const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    assert.equal(exports['.'].browser, exports['./browser'].default);
    assert.equal(join('/', exports['./browser'].default), '/dist/pipeline/browser.js');
  });
});

describe("the server of the browser's example", () => {
  const SERVER = fileURLToPath(new URL('../examples/browser/serve.mjs', import.meta.url));
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-site-'));
    mkdirSync(join(folder, 'site'));
    writeFileSync(join(folder, 'site/index.html'), 'page');
    writeFileSync(join(folder, 'secret.txt'), 'secret');
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const plain of [false, true])
    it(`serves a folder and nothing beside it, ${plain ? 'as a plain host does' : 'isolated'}`, async () => {
      const words = [SERVER, join(folder, 'site'), '0', ...(plain ? ['--plain'] : [])];
      const server = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
      try {
        const address = String(await once(server.stdout, 'data')).trim();
        const page = await fetch(address);
        assert.equal(await page.text(), 'page');
        assert.equal(page.headers.get('cross-origin-opener-policy'), plain ? null : 'same-origin');
        assert.equal(page.headers.get('cross-origin-embedder-policy'), plain ? null : 'require-corp');
        for (const path of ['none', '%2e%2e%2fsecret.txt', '..%2fsecret.txt', '%zz'])
          assert.equal((await fetch(address + path)).status, 404, path);
      } finally {
        server.kill();
      }
    });
});
