import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectionOf } from '../lib/pipeline/queue.ts';
import { sweep } from '../lib/pipeline/sweep.ts';
import { CLASSES, imageBytes, tinyModel, writeImages } from './support/network.ts';

const MAIN = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url));
/** Enough samples that a worker can be killed in mid-work. */
const IMAGES = 3000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe('addresses of queues', () => {
  it('are read whole', () => {
    const connection = connectionOf('rediss://me:p%40ss@[::1]:7000/3');
    const { host, port, username, password, db, tls } = connection.options as unknown as Record<
      string,
      unknown
    >;
    assert.deepEqual(
      { host, port, username, password, db, tls },
      { host: '::1', port: 7000, username: 'me', password: 'p@ss', db: 3, tls: {} },
    );
    assert.equal((connectionOf('redis://box').options as { port?: number }).port, 6379);
  });

  it('are refused where they are none', () => {
    for (const url of ['localhost:6379', 'http://localhost', 'redis://', 'redis://box/x', ''])
      assert.throws(
        () => connectionOf(url),
        { code: 'INVALID_ARGUMENT', message: /redis:\/\/host:port/ },
        url,
      );
  });
});

describe('a sweep over a queue', function () {
  this.timeout(240_000);
  let folder: string;
  let plan: string;
  let port: number;
  let url: string;
  let server: ChildProcess | undefined;
  const children = new Set<ChildProcess>();
  /** Of one process without a queue. */
  let expected: Buffer[];

  const files = (out: string) => ['results.json', 'results.csv'].map((name) => readFileSync(join(out, name)));
  const cells = (out: string) =>
    existsSync(join(out, 'cells')) ? readdirSync(join(out, 'cells')).filter((name) => !/tmp/.test(name)) : [];

  function start(...argv: string[]): ChildProcess {
    const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    child.on('exit', () => children.delete(child));
    return child;
  }

  async function ended(child: ChildProcess): Promise<{ code: number; out: string; error: string }> {
    let [out, error] = ['', ''];
    child.stdout!.on('data', (piece) => void (out += piece));
    child.stderr!.on('data', (piece) => void (error += piece));
    const [code] = await once(child, 'close');
    return { code, out, error };
  }

  async function startServer(): Promise<void> {
    server = spawn('redis-server', ['--port', `${port}`, '--save', '', '--dir', folder], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    for await (const text of server.stdout!) if (/Ready to accept connections/.test(String(text))) return;
  }

  async function stopServer(): Promise<void> {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  }

  before(async function () {
    if (spawnSync('redis-server', ['--version']).error) {
      console.log("    skipped: redis-server is not installed (Debian's package of that name)");
      return this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    port = await freePort();
    url = `redis://127.0.0.1:${port}`;
    await startServer();
    const names = ['a', 'b', 'c'];
    for (const name of names)
      writeFileSync(
        join(folder, `${name}.onnx`),
        tinyModel((model) => ({ name: `${model.name} ${name}` })),
      );
    writeImages(join(folder, 'calibration.npz'), imageBytes(256, 5), null);
    const labels = Array.from({ length: IMAGES }, (_, i) => i % CLASSES);
    writeImages(join(folder, 'test.npz'), imageBytes(IMAGES, 3), labels);
    plan = join(folder, 'plan.json');
    const data = { calibration: 'calibration.npz', evaluate: 'test.npz', preprocessing: { scale: '1/255' } };
    writeFileSync(
      plan,
      JSON.stringify({
        models: [...names, 'gone'].map((name) => ({ name, model: `${name}.onnx`, ...data })),
        budgets: [{ targets: ['bits=5'] }, { targets: ['bits=3'] }],
        options: { evaluations: 12 },
      }),
    );
    const { files: written } = await sweep({
      plan,
      out: join(folder, 'one'),
      threads: 1,
      onWarning: () => {},
    });
    expected = files(written.directory);
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await stopServer();
    if (folder) rmSync(folder, { recursive: true });
  });

  it('gives the table of one process, though one of two workers is killed in mid-work', async () => {
    const out = join(folder, 'two-workers');
    const workers = [start('worker', '--queue', url, '--threads', '1'), start('worker', '--queue', url)];
    const coordinator = ended(start('sweep', plan, '--queue', url, '--out', out));
    while (cells(out).length < 2) await later(20);
    workers[0].kill('SIGKILL');
    const { code, error } = await coordinator;
    assert.equal(code, 1, error);
    assert.match(error, /gone, generic-memory, bits=5, .*: Expected a readable file for model/);
    assert.deepEqual(files(out), expected);
    workers[1].kill('SIGTERM');
    assert.equal((await ended(workers[1])).code, 0);
  });

  it('keeps what is finished when the queue goes away, and goes on from there', async () => {
    const out = join(folder, 'away');
    const worker = start('worker', '--queue', url);
    const coordinator = ended(start('sweep', plan, '--queue', url, '--out', out, '--json'));
    const working = ended(worker);
    while (cells(out).length < 1) await later(20);
    await stopServer();
    const [swept, served] = await Promise.all([coordinator, working]);
    for (const { code, error } of [swept, served]) {
      assert.equal(code, 1, error);
      assert.match(error, /^sigmaquant: Expected a Redis server at redis:\/\/127\.0\.0\.1:\d+ but it has/m);
    }
    assert.equal(JSON.parse(swept.out).error.code, 'QUEUE_UNAVAILABLE');
    assert.ok(cells(out).length >= 1);
    assert.ok(!existsSync(join(out, 'results.json')));
    await startServer();
    const next = start('worker', '--queue', url);
    assert.equal((await ended(start('sweep', plan, '--queue', url, '--out', out))).code, 1);
    assert.deepEqual(files(out), expected);
    next.kill('SIGTERM');
    await ended(next);
  });
});
