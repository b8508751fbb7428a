import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtAddon, root } from './support/installed.ts';

/**
 * One file of the addon in every Node that the package promises, and in their worker threads. The nodes come from npm;
 * they are fetched (50 MB each, into build-hosts/) where SIGMAQUANT_HOSTS is set, and used where they are.
 */
const HOSTS = [20, 22, 24, 26];
const THREADS = 20;
const TIMEOUT_MS = 600_000;
const FOLDER = join(root, 'build-hosts');
const PLATFORMS: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'win' };

/** Runs the model of the demo there, on the main thread and on many at once; prints what it is and what came out. */
const SCRIPT = `
  import { createHash } from 'node:crypto';
  import { Worker } from 'node:worker_threads';
  const url = process.argv[1];
  const { Session } = await import(url);
  const { createKernels } = await import(new URL('../kernels/index.js', url));
  const { createNative } = await import(new URL('../kernels/native.js', url));
  const kernels = await createKernels();
  const work = \`
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ createNative }) => {
      const kernels = createNative({ threads: 2 });
      const [x, w, out] = [new Int8Array(196 * 256), new Int8Array(64 * 256), new Int32Array(196 * 64)];
      for (let i = 0; i < x.length; i++) x[i] = (i * 37) % 255 - 127;
      for (let i = 0; i < w.length; i++) w[i] = (i * 11) % 15 - 7;
      const shape = { outChannels: 64, taps: 1, channels: 256, groups: 1, bits: 4 };
      const packed = kernels.arena.allocate(kernels.weightsSize(shape)).bytes();
      kernels.packWeights(w, shape, packed);
      kernels.gemm(x, packed, shape, 196, 0, null, null, 0, 0, 0, out);
      kernels.dispose();
      parentPort.postMessage(out);
    });\`;
  const outputs = await Promise.all(Array.from({ length: ${THREADS} }, () => new Promise((resolve, reject) => {
    const workerData = new URL('../kernels/native.js', url).href;
    new Worker(work, { eval: true, execArgv: [], workerData }).on('message', resolve).on('error', reject);
  })));
  const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const { backend, isa } = kernels;
  const { node, modules, v8 } = process.versions;
  console.log(JSON.stringify({ node, modules, v8, backend, isa, session: typeof Session.load, digests: [...new Set(outputs.map(digest))] }));
`;

interface Answer {
  node: string;
  modules: string;
  v8: string;
  backend: string;
  isa: string;
  session: string;
  digests: string[];
}

/** The program of a host, fetched if that is wanted; undefined where it is not here. */
function hostOf(major: number): string | undefined {
  const folder = join(FOLDER, String(major));
  const program = join(folder, 'package', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (!existsSync(program) && process.env['SIGMAQUANT_HOSTS']) {
    mkdirSync(folder, { recursive: true });
    const name = `node-${PLATFORMS[process.platform]}-${process.arch}@${major}`;
    const fetched = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder, name], {
      encoding: 'utf8',
    });
    const tarball = readdirSync(folder).find((file) => file.endsWith('.tgz'));
    if (fetched.status !== 0 || !tarball) return undefined;
    execFileSync('tar', ['-xzf', join(folder, tarball), '-C', folder]);
    rmSync(join(folder, tarball));
  }
  return existsSync(program) ? program : undefined;
}

describe('one addon in every host', function () {
  this.timeout(TIMEOUT_MS);
  let folder: string;
  const answers: Answer[] = [];

  before(function () {
    const addon = builtAddon();
    if (!addon || !existsSync(join(root, 'dist', 'kernels', 'index.js'))) {
      console.log('      skipped: needs the built package and the addon');
      return this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-hosts-'));
    cpSync(addon, join(folder, 'prebuilds', `${process.platform}-${process.arch}`, 'sigmaquant.node'));
  });
  after(() => folder && rmSync(folder, { recursive: true }));

  for (const major of HOSTS)
    it(`node ${major}: contract suite, and the same integers on ${THREADS} threads at once`, function () {
      const host = hostOf(major);
      if (!host) {
        console.log(
          `      skipped: no node ${major} in build-hosts/ (SIGMAQUANT_HOSTS=1 fetches it from npm)`,
        );
        return this.skip();
      }
      const url = new URL('../dist/runtime/index.js', import.meta.url).href;
      const env = { ...process.env, SIGMAQUANT_PREBUILD: folder };
      const { stdout, stderr, status } = spawnSync(host, ['--input-type=module', '--eval', SCRIPT, url], {
        env,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      const answer = JSON.parse(stdout) as Answer;
      answers.push(answer);
      assert.equal(Number.parseInt(answer.node, 10), major);
      assert.equal(answer.backend, 'native');
      assert.equal(answer.session, 'function');
      assert.deepEqual(answer.digests, answers[0].digests.slice(0, 1));

      const mocha = [
        '--import',
        'tsx',
        'node_modules/mocha/bin/mocha.js',
        '--no-config',
        '--reporter',
        'json',
      ];
      const suite = spawnSync(host, [...mocha, '--timeout', '60000', 'test/kernels.test.ts'], {
        cwd: root,
        env: { ...env, SIGMAQUANT_CONTRACT_ISA: answer.isa },
        encoding: 'utf8',
        maxBuffer: 2 ** 26,
      });
      assert.equal(suite.status, 0, suite.stdout.slice(-2000) + suite.stderr);
      const { stats } = JSON.parse(suite.stdout.slice(suite.stdout.indexOf('{')));
      const { node, modules, v8, isa } = answer;
      console.log(
        `      node ${node} (modules ${modules}, V8 ${v8}): ${isa}, contract ${stats.passes} passed, ${stats.failures} failed`,
      );
      assert.ok(stats.passes > 50 && stats.failures === 0);
    });
});
