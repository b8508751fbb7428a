import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Host, Remote } from '../lib/runtime/host.ts';
import { Session } from '../lib/runtime/index.ts';
import { hostWith } from '../lib/runtime/node-host.ts';
import { loadSession } from '../lib/runtime/session.ts';
import { fileOf, floats, tower } from './runtime/models.ts';

const bytes = fileOf(tower(4, 1));
const feeds = { image: floats(4 * 4 * 16, 1) };
const host = hostWith(new URL('./runtime/worker.mjs', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));

describe('loading a session', () => {
  let folder: string;
  let path: string;
  let server: Server;
  let site: string;
  let expected: unknown;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant runtime '));
    path = join(folder, 'a model.sqnt');
    writeFileSync(path, bytes);
    server = createServer((request, response) => {
      if (request.url === '/model.sqnt') response.end(bytes);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const session = await Session.load(bytes, { backend: 'reference' });
    expected = session.runSync(feeds);
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  const loads = async (source: string | URL | Uint8Array | ArrayBuffer) => {
    const session = await Session.load(source, { backend: 'reference' });
    assert.deepEqual(session.runSync(feeds), expected);
    session.dispose();
  };

  it('from a path, a file URL, an address, and bytes of any kind', async () => {
    await loads(path);
    await loads(pathToFileURL(path));
    await loads(`${site}/model.sqnt`);
    await loads(new URL(`${site}/model.sqnt`));
    await loads(bytes);
    await loads(Buffer.from(bytes));
    await loads(Buffer.concat([Buffer.alloc(5), bytes, Buffer.alloc(3)]).subarray(5, 5 + bytes.length));
    await loads(new Uint8Array(bytes).buffer);
  });

  it("does not need the caller's bytes afterwards", async () => {
    const own = new Uint8Array(bytes);
    const session = await loadSession(host, own, { backend: 'wasm' });
    own.fill(0);
    assert.deepEqual(await session.run(feeds), expected);
    assert.deepEqual(session.runSync(feeds), expected);
    session.dispose();
  });

  it('says why it cannot', async () => {
    const refused = (source: unknown, code: string, message: RegExp, options = {}) =>
      assert.rejects(Session.load(source as string, options), (error: Error & { code?: string }) => {
        assert.equal(error.name, 'SigmaQuantError');
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        return true;
      });
    const unread = /^Expected a readable file for the model but received ".*": /;
    await refused(join(folder, 'none.sqnt'), 'INVALID_ARGUMENT', /none\.sqnt": no such file\.$/);
    await refused(folder, 'INVALID_ARGUMENT', /: EISDIR\.$/);
    await refused(`${site}/none`, 'INVALID_ARGUMENT', /: HTTP status 404\.$/);
    await refused('http://127.0.0.1:1/', 'INVALID_ARGUMENT', unread);
    await refused(
      42,
      'INVALID_ARGUMENT',
      /a path, a URL or the bytes of a \.sqnt file for the model but received 42/,
    );
    await refused(undefined, 'INVALID_ARGUMENT', /received undefined/);
    await refused(new Uint8Array(0), 'MALFORMED_MODEL', /at byte 0 but received the end of the file/);
    await refused(bytes.slice(0, -1), 'MALFORMED_MODEL', /at byte 8 but received/);
    const newer = new Uint8Array(bytes);
    newer[4] = 9;
    await refused(newer, 'UNSUPPORTED_MODEL', /version 9/);
    await refused(bytes, 'INVALID_ARGUMENT', /native, wasm, reference for backend/, { backend: 'gpu' });
    await refused(bytes, 'INVALID_ARGUMENT', /a whole number from 1 to 256 for threads/, { threads: 0 });
    await refused(bytes, 'BACKEND_UNAVAILABLE', /isa/, { backend: 'wasm', isa: 'avx2' });
  });
});

describe('the worker of asynchronous runs', () => {
  /** A host whose workers can be ended from outside. */
  function watched(): Host & { remotes: Remote[] } {
    const remotes: Remote[] = [];
    const spawn = async () => {
      const remote = await host.spawn();
      remotes.push(remote);
      return remote;
    };
    return { ...host, spawn, remotes };
  }
  const heavy = fileOf(tower(48, 8));
  const big = { image: floats(48 * 48 * 16, 1) };

  it('killed in mid-run: the runs reject, and the next one has a new worker', async () => {
    const own = watched();
    const session = await loadSession(own, heavy, { backend: 'wasm' });
    const expectedHere = session.runSync(big);
    assert.deepEqual(await session.run(big), expectedHere);
    assert.equal(own.remotes.length, 1);
    const runs = [session.run(big), session.run(big), session.run(big)];
    setTimeout(() => own.remotes[0].end(), 5);
    const dead = {
      name: 'SigmaQuantError',
      code: 'INTERNAL',
      message: 'Expected the worker of an asynchronous run to answer but it ended (exit code 1).',
    };
    const ends = await Promise.allSettled(runs);
    const last = ends.at(-1) as PromiseRejectedResult;
    assert.equal(last.status, 'rejected', 'killed in time');
    for (const end of ends)
      if (end.status === 'rejected')
        assert.throws(() => {
          throw end.reason;
        }, dead);
    assert.deepEqual(session.runSync(big), expectedHere);
    assert.deepEqual(await session.run(big), expectedHere);
    assert.equal(own.remotes.length, 2);
    session.dispose();
  });

  it('that cannot be had: runs reject with the reason, synchronous ones go on', async () => {
    const session = await loadSession(hostWith(new URL('./runtime/none.mjs', import.meta.url)), bytes, {
      backend: 'wasm',
    });
    await assert.rejects(session.run(feeds), { code: 'INTERNAL', message: /Cannot find module/ });
    session.runSync(feeds);
    await assert.rejects(session.run(feeds), { code: 'INTERNAL' });
    session.dispose();
  });

  it('goes with the session', async () => {
    const own = watched();
    const session = await loadSession(own, bytes, { backend: 'wasm' });
    await session.run(feeds);
    const ended = new Promise<Error>((resolve) => own.remotes[0].listen(() => {}, resolve));
    session.dispose();
    assert.match((await ended).message, /exit code 1/);
  });
});

describe('the built runtime', () => {
  const run = (script: string, env = {}) =>
    execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: root,
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
  const file = () => {
    const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-runtime-'));
    const path = join(folder, 'model.sqnt');
    writeFileSync(path, bytes);
    return { path, remove: () => rmSync(folder, { recursive: true }) };
  };
  const script = (path: string, backend: string) => `
    import { Session } from 'sigmaquant/runtime';
    const session = await Session.load(${JSON.stringify(path)}, { backend: ${JSON.stringify(backend)} });
    const inputs = { image: new Float32Array(256).fill(0.5) };
    const [now, later] = [session.runSync(inputs), await session.run(inputs)];
    console.log(Buffer.from(now.last.data.buffer).equals(Buffer.from(later.last.data.buffer)), session.backend);
    // Nothing is disposed of: neither threads nor workers keep a process alive.`;

  for (const backend of ['native', 'wasm', 'reference'])
    it(`runs by the package's own name on ${backend}, also where Electron runs as Node, and ends by itself`, function () {
      const { path, remove } = file();
      try {
        for (const env of [{}, { ELECTRON_RUN_AS_NODE: '1' }])
          assert.equal(run(script(path, backend), env).trim(), `true ${backend}`);
      } catch (error) {
        if (backend === 'native' && /BACKEND_UNAVAILABLE/.test(String(error))) this.skip();
        throw error;
      } finally {
        remove();
      }
    });

  /** What a bundle asks for when it is loaded, or later. */
  function needs(name: string): string[] {
    const text = readFileSync(join(root, 'dist', name), 'utf8');
    const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\(|url\)\()\s*["'`]([^"'`\n]+)["'`]/g);
    return [...new Set([...found].map(([, specifier]) => specifier))].sort();
  }

  it('needs no package but the one that finds the addon, and in browsers nothing of Node', () => {
    for (const name of ['runtime/index.js', 'runtime/worker.js'])
      assert.deepEqual(
        needs(name).filter((specifier) => !specifier.startsWith('node:')),
        ['node-gyp-build'],
      );
    for (const name of ['runtime/browser.js', 'runtime/browser-worker.js', 'kernels/browser.js'])
      assert.deepEqual(needs(name), []);
  });

  it('has kernels for browsers under the same names, without the addon', async () => {
    // As a page loads it: its module comes from a site, not from the disk.
    const server = createServer((request, response) => response.end(readFileSync(join(root, request.url!))));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    after(() => server.close());
    const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dist/kernels/browser.js`;
    const text = readFileSync(join(root, 'dist/kernels/browser.js'), 'utf8');
    const page = text.replaceAll('import.meta.url', JSON.stringify(site));
    const browser = await import(`data:text/javascript;base64,${Buffer.from(page).toString('base64')}`);
    const node = await import('../lib/kernels/index.ts');
    assert.deepEqual(Object.keys(browser).sort(), Object.keys(node).sort());
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.equal(exports['./kernels'].browser, './dist/kernels/browser.js');
    const q = Int8Array.of(-8, 7, 3, -1, 0);
    for (const backend of [undefined, 'reference']) {
      const kernels = await browser.createKernels({ backend });
      assert.equal(kernels.backend, backend ?? 'wasm');
      const packed = new Uint8Array(3);
      kernels.pack(q, 4, packed);
      assert.deepEqual([...packed], [0x78, 0xf3, 0x00]);
      kernels.dispose();
    }
    for (const options of [{ backend: 'native' }, { isa: 'avx2' }])
      await assert.rejects(browser.createKernels(options), {
        name: 'SigmaQuantError',
        code: 'BACKEND_UNAVAILABLE',
      });
    await assert.rejects(browser.createKernels({ backend: 'gpu' }), { code: 'INVALID_ARGUMENT' });
  });

  it('is below 400 kB in browsers, its WASM with it', () => {
    const bytesOf = (path: string) => statSync(join(root, 'dist', path)).size;
    const page = bytesOf('runtime/browser.js') + bytesOf('runtime/browser-worker.js');
    const all = page + bytesOf('kernels.wasm') + bytesOf('kernels-threads.wasm');
    assert.ok(all < 400_000, `${all} bytes`);
  });

  it('serves twenty worker threads at once', async () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.runtime).then(async ({ Session }) => {
        const session = await Session.load(workerData.bytes);
        const inputs = { image: workerData.image };
        const outputs = [session.runSync(inputs), await session.run(inputs), session.runSync(inputs)];
        session.dispose();
        parentPort.postMessage(outputs.map(({ last }) => last.data));
      });`;
    const runtime = new URL('../dist/runtime/index.js', import.meta.url).href;
    const results = await Promise.all(
      Array.from({ length: 20 }, () => {
        const worker = new Worker(source, { eval: true, workerData: { runtime, bytes, image: feeds.image } });
        return new Promise<Float32Array[]>((resolve, reject) => {
          worker.on('message', resolve).on('error', reject);
        });
      }),
    );
    const session = await Session.load(bytes, { backend: 'reference' });
    const { data } = session.runSync(feeds)['last'];
    for (const result of results.flat()) assert.deepEqual(result, data);
  });
});
