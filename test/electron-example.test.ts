import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantize } from '../lib/index.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLE = join(ROOT, 'examples/electron');
const CIFAR = join(ROOT, 'examples/cifar10');
const STAND_IN = new URL('./support/parent-port.mjs', import.meta.url).href;

interface Message {
  kind: string;
  stage?: string;
}

/** What job.js takes from Electron. */
interface UtilityProcess {
  postMessage(message: unknown): void;
  on(event: 'message', use: (message: Message) => void): void;
  on(event: 'exit', use: (code: number | null) => void): void;
  kill(): void;
}

interface Job {
  ended: Promise<Record<string, unknown> | null>;
  cancel(): void;
}
type StartJob = (
  fork: () => UtilityProcess,
  options: object,
  listeners: { onProgress: (message: Message) => void },
) => Job;

describe('the Electron example', function () {
  this.timeout(180_000);
  /** The example as npm installs it, with the package beside it. */
  let folder: string;
  let startJob: StartJob;
  let last: ChildProcess;
  const options = {
    model: join(CIFAR, 'resnet8-cifar10.onnx'),
    calibration: join(CIFAR, 'cifar10-demo-calibration.npz'),
    preprocessing: { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
    targets: ['size=12.5%'],
    evaluations: 2,
    samples: 16,
  };

  before(async function () {
    if (!existsSync(join(ROOT, 'dist/index.js'))) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-electron-'));
    cpSync(EXAMPLE, folder, { recursive: true });
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(ROOT, join(folder, 'node_modules/sigmaquant'), 'junction');
    ({ startJob } = await import(new URL('../examples/electron/job.js', import.meta.url).href));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** A process in place of Electron's, with its interface. */
  const utilityProcess =
    (env: NodeJS.ProcessEnv = {}) =>
    (): UtilityProcess => {
      const child = fork(join(folder, 'worker.js'), {
        execArgv: ['--import', STAND_IN],
        serialization: 'advanced',
        env: { ...process.env, ...env },
      });
      last = child;
      return {
        postMessage: (message) => child.connected && child.send(message as object),
        on: (event: string, use: (value: never) => void) => void child.on(event, use as () => void),
        kill: () => void child.kill(),
      };
    };

  for (const env of [{}, { ELECTRON_RUN_AS_NODE: '1' }])
    it(`quantizes in a process of its own ${JSON.stringify(env)}: the same files as anywhere`, async () => {
      const out = join(folder, 'out');
      const stages = new Set<string>();
      const job = startJob(
        utilityProcess(env),
        { ...options, out, force: true },
        {
          onProgress: ({ stage }) => stages.add(stage!),
        },
      );
      const summary = await job.ended;
      const here = await quantize(options);
      assert.equal(summary?.['verdict'], here.verdict);
      assert.equal(summary?.['backend'], here.backend);
      assert.ok(readFileSync(join(out, 'model.sqnt')).equals(here.artefacts.sqnt!));
      assert.ok(
        ['calibrate', 'profile', 'evaluate'].every((stage) => stages.has(stage)),
        [...stages].join(),
      );
    });

  it('is cancelled in mid-run, and its process ends', async () => {
    const out = join(folder, 'cancelled');
    const job = startJob(
      utilityProcess(),
      { ...options, samples: 512, out },
      {
        onProgress: ({ stage }) => stage === 'profile' && job.cancel(),
      },
    );
    const exit = new Promise<void>((resolve) => last.once('exit', () => resolve()));
    assert.equal(await job.ended, null);
    await exit;
    assert.ok(!existsSync(out));
  });

  it('tells of errors with their code, and of a process that dies', async () => {
    const quiet = { onProgress: () => {} };
    const bad = startJob(utilityProcess(), { ...options, model: join(folder, 'none.onnx') }, quiet);
    await assert.rejects(bad.ended, { code: 'INVALID_ARGUMENT', message: /no such file/ });
    const killed = startJob(utilityProcess(), options, { onProgress: () => last.kill('SIGKILL') });
    await assert.rejects(killed.ended, {
      code: 'INTERNAL',
      message: /^Expected the process to answer but it ended/,
    });
  });

  it('has a handler for all that its window may ask, and keeps addon and workers out of the archive', () => {
    const text = (name: string) => readFileSync(join(EXAMPLE, name), 'utf8');
    const named = (source: string, call: RegExp) => [...source.matchAll(call)].map(([, name]) => name).sort();
    const preload = text('preload.cjs');
    const main = text('main.js');
    const asked = named(preload, /invoke\('(\w+)'/g);
    assert.equal(asked.length, 4);
    assert.deepEqual(named(main, /ipcMain\.handle\('(\w+)'/g), asked);
    for (const channel of named(preload, /ipcRenderer\.on\('(\w+)'/g))
      assert.ok(main.includes(`send('${channel}'`));
    const { build, main: entry } = JSON.parse(text('package.json'));
    assert.deepEqual(build.asarUnpack, ['**/node_modules/sigmaquant/**']);
    assert.equal(entry, 'main.js');
  });
});
