import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { physicalCores } from '../lib/kernels/cores.ts';
import { createNative, nativeIsas } from '../lib/kernels/native.ts';
import { floats, normal, random, same } from './contract/support.ts';

/** What the headers that the addon is built with count as version 8. */
const { js_native_api_symbols, node_api_symbols } = createRequire(import.meta.url)('node-api-headers').symbols
  .v8;
const NODE_API_8 = new Set<string>([...js_native_api_symbols, ...node_api_symbols]);

/** Large enough that both threads get work: 2 * 24 * 24 * 48 * 9 * 48 multiply-adds. */
const WEIGHTS = { outChannels: 48, taps: 9, channels: 48, groups: 1, bits: 5 };
const SHAPE = {
  batch: 2,
  inHeight: 24,
  inWidth: 24,
  inChannels: 48,
  outHeight: 24,
  outWidth: 24,
  outChannels: 48,
  kernelHeight: 3,
  kernelWidth: 3,
  strideHeight: 1,
  strideWidth: 1,
  dilationHeight: 1,
  dilationWidth: 1,
  padTop: 1,
  padLeft: 1,
  groups: 1,
};
const INPUTS = SHAPE.batch * SHAPE.inHeight * SHAPE.inWidth * SHAPE.inChannels;
const DEPTH = WEIGHTS.taps * WEIGHTS.channels;

/** Everything that threads share work in, as one list of results. */
function heavy(kernels: ReturnType<typeof createNative>): ArrayLike<number>[] {
  const next = random(5);
  const [x, w] = [floats(INPUTS, normal(next)), floats(WEIGHTS.outChannels * DEPTH, normal(next))];
  const packed = kernels.arena.allocate(kernels.floatWeightsSize(WEIGHTS)).bytes();
  kernels.packFloatWeights(w, WEIGHTS, packed);
  const real = new Float32Array(INPUTS);
  kernels.floatConv(x, packed, WEIGHTS, SHAPE, null, -3, 3, real);

  const [a, q] = [new Int8Array(INPUTS), new Int8Array(w.length)];
  kernels.quantize(x, 0.03, 0, -128, 127, a);
  kernels.quantize(w, 0.3, 0, -16, 15, q);
  const dense = kernels.arena.allocate(kernels.weightsSize(WEIGHTS)).bytes();
  kernels.packWeights(q, WEIGHTS, dense);
  const sums = new Int32Array(INPUTS);
  kernels.conv(a, dense, WEIGHTS, SHAPE, 3, null, null, 0, 0, 0, sums);

  const gram = new Float64Array(DEPTH * DEPTH);
  kernels.gram(x, SHAPE, 0, 3, gram);
  const [errors, levels] = [Float64Array.from(w), new Int8Array(w.length)];
  const u = Float64Array.from({ length: DEPTH * DEPTH }, (_, i) => (i % (DEPTH + 1) === 0 ? 1 : 0.01));
  kernels.roundWithHessian(errors, new Float32Array(WEIGHTS.outChannels).fill(0.2), u, 0, 48, -8, 7, levels);
  return [real, sums, gram, errors, levels];
}

describe('native addon', () => {
  before(function () {
    if (nativeIsas().length > 0) return;
    console.log('      skipped: no addon is built here (kernels.test.ts fails where one should be)');
    this.skip();
  });

  it('lists instruction sets best first and refuses others by naming them', () => {
    assert.equal(nativeIsas().at(-1), 'scalar');
    assert.equal(createNative().isa, nativeIsas()[0]);
    assert.throws(() => createNative({ isa: 'i8mm' }), {
      code: 'BACKEND_UNAVAILABLE',
      message: `Expected an instruction set of this processor (${nativeIsas().join(', ')}) but received i8mm.`,
    });
  });

  it('gives the same bits with one thread, two, three, and after its threads ended', () => {
    for (const isa of nativeIsas()) {
      const expected = heavy(createNative({ isa, threads: 1 }));
      const compare = (kernels: ReturnType<typeof createNative>, what: string) => {
        for (const [i, actual] of heavy(kernels).entries())
          same(actual, expected[i], `${isa}, ${what}, result ${i}`);
      };
      for (const threads of [2, 3]) {
        const kernels = createNative({ isa, threads });
        compare(kernels, `${threads} threads`);
        kernels.dispose();
        compare(kernels, `${threads} threads, ended`);
      }
    }
  });

  it('gives outputs that pass by the caches the same bits as small ones', () => {
    const channels = 16;
    const picture = { ...SHAPE, inHeight: 400, inWidth: 400, outHeight: 400, outWidth: 400 };
    const pixels = picture.outHeight * picture.outWidth * channels;
    const x = floats(2 * pixels, normal(random(6)));
    const forms = [
      { outChannels: channels, taps: 9, channels: 1, groups: channels, bits: 8 },
      { outChannels: channels, taps: 1, channels, groups: 1, bits: 8 },
    ];
    for (const isa of nativeIsas())
      for (const weights of forms) {
        const kernels = createNative({ isa, threads: 2 });
        const [kernelHeight, padTop] = weights.taps === 9 ? [3, 1] : [1, 0];
        const window = { kernelHeight, kernelWidth: kernelHeight, padTop, padLeft: padTop };
        const shape = {
          ...picture,
          ...window,
          inChannels: channels,
          outChannels: channels,
          groups: weights.groups,
        };
        const packed = kernels.arena.allocate(kernels.floatWeightsSize(weights)).bytes();
        const w = floats(channels * weights.taps * weights.channels, normal(random(7)));
        kernels.packFloatWeights(w, weights, packed);
        const conv = (batch: number, a: Float32Array) => {
          const out = kernels.arena.allocate(batch * pixels * 4).float32();
          kernels.floatConv(a, packed, weights, { ...shape, batch }, null, -2, 2, out);
          return out;
        };
        const together = conv(2, x);
        for (const i of [0, 1]) {
          const part = (all: Float32Array) => all.subarray(i * pixels, (i + 1) * pixels);
          same(part(together), conv(1, part(x)), `${isa}, ${weights.taps} taps, picture ${i}`);
        }
        kernels.dispose();
      }
  });

  it('answers a wrong type with our error instead of reading it', () => {
    const kernels = createNative();
    assert.throws(() => kernels.quantize([1] as never, 1, 0, 0, 1, new Uint8Array(1)), {
      name: 'SigmaQuantError',
      code: 'INVALID_ARGUMENT',
    });
    assert.throws(() => kernels.moments(new Float32Array(1), new Float32Array(6) as never), {
      name: 'SigmaQuantError',
    });
  });

  /** Threads of this process; undefined where the system does not list them. */
  const threadCount = () => {
    try {
      return readdirSync('/proc/self/task').length;
    } catch {
      return undefined;
    }
  };

  /** Waits, as threads end a little after those who joined them know. */
  async function expectThreads(most: number, when: string) {
    for (let i = 0; i < 200 && threadCount()! > most; i++) await delay(10);
    assert.ok(threadCount()! <= most, `${threadCount()} threads ${when}, expected ${most}`);
  }

  const worker = (endless: boolean) =>
    new Worker(new URL('./contract/worker.mjs', import.meta.url), { workerData: { endless } });
  const message = (from: Worker) =>
    new Promise<unknown>((resolve, reject) => {
      from.once('message', resolve).once('error', reject);
    });
  const ended = (from: Worker) => new Promise((resolve) => from.once('exit', resolve));

  it('starts threads at the first call that needs them and ends them with the backend', async () => {
    const before = threadCount();
    if (before === undefined) return;
    const kernels = createNative({ threads: 4 });
    assert.equal(threadCount(), before);
    heavy(kernels);
    assert.equal(threadCount(), before + 3);
    kernels.dispose();
    await expectThreads(before, 'after dispose');
  });

  it('serves more threads than there are processors', () => {
    const [many, one] = [createNative({ threads: 64 }), createNative({ threads: 1 })];
    const expected = heavy(one);
    for (const [i, actual] of heavy(many).entries()) same(actual, expected[i], `result ${i}`);
    many.dispose();
  });

  it('serves twenty worker threads at once', async () => {
    const before = threadCount();
    const workers = Array.from({ length: 20 }, () => worker(false));
    const exits = workers.map(ended);
    const results = (await Promise.all(workers.map(message))) as Float32Array[][];
    for (const result of results.flat()) same(result, results[0][0], 'result of a worker');
    await Promise.all(exits);
    if (before !== undefined) await expectThreads(before + 4, 'after the workers ended'); // 4: Node's pool
  });

  it('survives workers that are terminated in mid-call', async () => {
    const before = threadCount();
    for (let round = 0; round < 3; round++) {
      const workers = Array.from({ length: 3 }, () => worker(true));
      for (const each of workers) assert.equal(await message(each), 'running');
      await delay(7 * round);
      await Promise.all(workers.map((each) => each.terminate()));
    }
    if (before !== undefined) await expectThreads(before + 4, 'after workers were terminated');
  });

  it('needs nothing newer than Node-API 8, glibc 2.28 and the libstdc++ of GCC 6', function () {
    const addon = fileURLToPath(new URL('../build/Release/sigmaquant.node', import.meta.url));
    let symbols: string;
    try {
      symbols = execFileSync('nm', ['-D', addon], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch {
      return this.skip();
    }
    const found = [...symbols.matchAll(/ U ((?:napi|node_api)_\w+)/g)].map(([, name]) => name);
    assert.ok(found.length > 20, `${found.length} symbols`);
    assert.deepEqual(
      found.filter((name) => !NODE_API_8.has(name)),
      [],
    );
    assert.doesNotMatch(symbols, / U (uv_|_ZN2v8|_ZN4node)/);
    const newest = (library: string) =>
      Math.max(
        0,
        ...[...symbols.matchAll(new RegExp(`@${library}_\\d+((?:\\.\\d+)+)`, 'g'))].map(([, version]) =>
          Number(version.split('.').at(-1)),
        ),
      );
    assert.ok(newest('GLIBC') <= 28, `GLIBC 2.${newest('GLIBC')}`);
    assert.ok(newest('GLIBCXX') <= 22, `GLIBCXX 3.4.${newest('GLIBCXX')}`);
  });
});

describe('physical cores', () => {
  const cores = (files: Record<string, string>, available = 64) =>
    physicalCores((path) => files[path], available);
  const sibling = (i: number, list: string) => ({
    [`/sys/devices/system/cpu/cpu${i}/topology/thread_siblings_list`]: list,
  });
  const allowed = (list: string) => ({
    '/proc/self/status': `Name:\tnode\nCpus_allowed_list:\t${list}\nMems_allowed:\t1`,
  });
  const shared = { ...sibling(0, '0,4'), ...sibling(4, '0,4'), ...sibling(1, '1,5'), ...sibling(5, '1,5') };

  it('are what the system calls available where nothing else is known', () => {
    assert.equal(cores({}, 6), 6);
  });

  it('count processors that share a core once, and only those of the affinity mask', () => {
    assert.equal(cores({ ...allowed('0-1,4-5'), ...shared }), 2);
    assert.equal(cores({ ...allowed('0,4'), ...shared }), 1);
    assert.equal(cores({ ...allowed('0-3') }), 4);
    assert.equal(cores({ ...allowed('0-63') }, 3), 3);
  });

  it('are bounded by the quota of control groups, their own and those above', () => {
    const second = { ...allowed('0-7'), '/proc/self/cgroup': '0::/a/b' };
    assert.equal(cores({ ...second, '/sys/fs/cgroup/a/b/cpu.max': 'max 100000' }), 8);
    assert.equal(cores({ ...second, '/sys/fs/cgroup/a/b/cpu.max': '250000 100000' }), 3);
    assert.equal(cores({ ...second, '/sys/fs/cgroup/a/cpu.max': '50000 100000' }), 1);
    assert.equal(
      cores({ ...allowed('0-7'), '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '200000 100000' }),
      2,
    );
    const first = {
      ...allowed('0-7'),
      '/proc/self/cgroup': '3:cpu,cpuacct:/job\n1:name=systemd:/x',
      '/sys/fs/cgroup/cpu/job/cpu.cfs_period_us': '100000',
    };
    assert.equal(cores({ ...first, '/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us': '400000' }), 4);
    assert.equal(cores({ ...first, '/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us': '-1' }), 8);
  });
});
