import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ConvShape, Kernels, Region } from '../lib/kernels/kernels.ts';
import { createWasm, kernelsOf } from '../lib/kernels/wasm.ts';
import { WasmArena } from '../lib/kernels/wasm-memory.ts';
import { loadModule } from '../lib/kernels/wasm-module.ts';
import { Team } from '../lib/kernels/wasm-threads.ts';
import { type ConvCase, convShape, weightsOf } from './contract/shapes.ts';
import { between, floats, normal, oracle, random, same } from './contract/support.ts';

/** What the shared suite is too small for: several tiles, memory that grows, arrays that lie in place. */
describe('WASM kernels', () => {
  let kernels: Kernels;
  before(async () => {
    kernels = await createWasm({});
  });

  const inputs = (s: ConvShape) => s.batch * s.inHeight * s.inWidth * s.inChannels;
  const outputs = (s: ConvShape) => s.batch * s.outHeight * s.outWidth * s.outChannels;

  /** The same convolution by WASM, everything in its arena, and by the reference. */
  function integerCase(name: string, c: ConvCase, bits: number): void {
    const s = convShape(c);
    const weights = weightsOf(s, bits);
    const next = random(bits);
    const a = Uint8Array.from({ length: inputs(s) }, between(next, 0, 255));
    const half = 2 ** (bits - 1);
    const q = Int8Array.from(
      { length: s.outChannels * weights.taps * weights.channels },
      between(next, -half, half - 1),
    );
    const bias = Int32Array.from({ length: s.outChannels }, between(next, -900, 900));
    const multipliers = new Float32Array(s.outChannels).fill(0.001);
    const { arena } = kernels;
    const regions: Region[] = [];
    const put = (bytes: number) => {
      const region = arena.allocate(bytes);
      regions.push(region);
      return region;
    };
    const [ra, rq, rw] = [put(a.length), put(q.length), put(kernels.weightsSize(weights))];
    const [rb, rm, ro] = [put(4 * s.outChannels), put(4 * s.outChannels), put(outputs(s))];
    ra.bytes().set(a);
    rq.int8().set(q);
    rb.int32().set(bias);
    rm.float32().set(multipliers);
    kernels.packWeights(rq.int8(), weights, rw.bytes());
    const { epoch } = arena;
    kernels.conv(ra.bytes(), rw.bytes(), weights, s, 7, rb.int32(), rm.float32(), 128, 0, 255, ro.bytes());
    assert.equal(arena.epoch, epoch, 'a call in the arena does not grow memory');
    const packed = new Uint8Array(oracle.weightsSize(weights));
    oracle.packWeights(q, weights, packed);
    const expected = new Uint8Array(outputs(s));
    oracle.conv(a, packed, weights, s, 7, bias, multipliers, 128, 0, 255, expected);
    same(ro.bytes(), expected, name);
    for (const region of regions) region.release();
  }

  const LARGE: Record<string, ConvCase> = {
    'rows in several tiles': { batch: 1, inChannels: 32, outChannels: 8, inHeight: 150, inWidth: 66 },
    'parts of a row': { batch: 1, inChannels: 64, outChannels: 3, inHeight: 3, inWidth: 2000 },
    'strided rows': {
      batch: 1,
      inChannels: 48,
      outChannels: 5,
      inHeight: 130,
      inWidth: 65,
      strideHeight: 2,
      strideWidth: 2,
    },
    'depthwise in several tiles': {
      batch: 2,
      inChannels: 40,
      outChannels: 40,
      groups: 40,
      inHeight: 90,
      inWidth: 70,
    },
    'depthwise, parts of a row, dilated': {
      batch: 1,
      inChannels: 24,
      outChannels: 24,
      groups: 24,
      inHeight: 9,
      inWidth: 1500,
      dilationHeight: 3,
      dilationWidth: 2,
    },
    '1x1, stride 2, several tiles': {
      batch: 1,
      inChannels: 96,
      outChannels: 9,
      kernelHeight: 1,
      kernelWidth: 1,
      padTop: 1,
      padLeft: 1,
      inHeight: 100,
      inWidth: 99,
      strideHeight: 2,
      strideWidth: 2,
    },
  };

  for (const [name, c] of Object.entries(LARGE)) {
    it(`integer, ${name}`, () => integerCase(name, c, name.startsWith('depth') ? 3 : 5));
    it(`float, ${name}`, () => {
      const s = convShape(c);
      const weights = weightsOf(s, 8);
      const next = random(5);
      const a = floats(inputs(s), normal(next));
      const w = floats(s.outChannels * weights.taps * weights.channels, normal(next));
      const run = (k: Kernels) => {
        const packed = new Uint8Array(k.floatWeightsSize(weights));
        k.packFloatWeights(w, weights, packed);
        const out = new Float32Array(outputs(s));
        k.floatConv(a, packed, weights, s, null, -1, 20, out);
        return out;
      };
      // The reference adds in the same order but rounds product and sum together, so the two differ by rounding.
      const [actual, expected] = [run(kernels), run(oracle)];
      for (let i = 0; i < expected.length; i++)
        assert.ok(Math.abs(actual[i] - expected[i]) < 2e-3, `[${i}] ${actual[i]} against ${expected[i]}`);
    });
  }

  it('a large matrix in several tiles', () => {
    const [m, n, k] = [700, 20, 333];
    const weights = { outChannels: n, taps: 1, channels: k, groups: 1, bits: 7 };
    const next = random(9);
    const a = Int8Array.from({ length: m * k }, between(next, -128, 127));
    const q = Int8Array.from({ length: n * k }, between(next, -64, 63));
    const run = (backend: Kernels) => {
      const packed = backend.arena.allocate(backend.weightsSize(weights));
      backend.packWeights(q, weights, packed.bytes());
      const out = new Int32Array(m * n);
      backend.gemm(a, packed.bytes(), weights, m, -3, null, null, 0, 0, 0, out);
      return out;
    };
    same(run(kernels), run(oracle), 'sums');
  });

  it('memory grows under views, and the results are right', async () => {
    const small = await createWasm({});
    const { arena } = small;
    const x = arena.allocate(4 * 64);
    x.float32().fill(1.5);
    const before = arena.epoch;
    const far = new Float32Array(30_000_000).fill(2.5);
    const q = new Int8Array(far.length);
    small.quantize(far, 1, 0, -128, 127, q);
    assert.ok(arena.epoch > before, 'copying 120 MB grew the memory');
    assert.ok(q.every((level) => level === 2));
    assert.ok(x.float32().every((value) => value === 1.5));
    const out = arena.allocate(64);
    small.quantize(x.float32(), 1, 0, -128, 127, out.int8());
    assert.ok(out.int8().every((level) => level === 2));
  });

  it('an arena view survives a call that must grow memory for its neighbour', async () => {
    const small = await createWasm({});
    const counts = small.arena.allocate(8 * 4);
    const { buffer, byteOffset } = counts.bytes();
    const x = new Float32Array(20_000_000).fill(0.6);
    small.histogram(x, 0, 1, new Float64Array(buffer, byteOffset, 4));
    const after = counts.bytes();
    assert.deepEqual([...new Float64Array(after.buffer, after.byteOffset, 4)], [0, 0, x.length, 0]);
  });

  it('regions: reuse, no overlap, zeroed again, and an end', async () => {
    const { arena } = await createWasm({});
    const next = random(3);
    const live: { region: Region; mark: number }[] = [];
    for (let step = 0; step < 400; step++) {
      if (live.length > 20 || (live.length > 0 && next() < 0.4)) {
        const [{ region, mark }] = live.splice(Math.floor(next() * live.length), 1);
        assert.ok(region.bytes().every((byte) => byte === mark));
        region.release();
        region.release();
      } else {
        const region = arena.allocate(Math.floor(next() * 5000));
        assert.equal(region.bytes().byteOffset % 64, 0);
        assert.ok(region.bytes().every((byte) => byte === 0));
        const mark = 1 + (step % 255);
        region.bytes().fill(mark);
        live.push({ region, mark });
      }
    }
    assert.equal(arena.epoch, 0);
    assert.throws(() => arena.allocate(2 ** 32), { code: 'OUT_OF_MEMORY' });
    assert.equal(arena.allocate(10).byteLength, 10);
  });

  it('has one instruction set', async () => {
    await assert.rejects(createWasm({ isa: 'avx2' }), { code: 'BACKEND_UNAVAILABLE' });
    assert.equal((await createWasm({ isa: 'simd128' })).threads, 1);
  });
});

describe('WASM threads', () => {
  const THREADS = 3;
  let team: Team;
  let kernels: Kernels;
  let single: Kernels;

  before(async () => {
    const module = await loadModule(true);
    const arena = new WasmArena(module.memory, module.verbs['memoryStart']());
    const created = await Team.create(module, arena, THREADS);
    assert.ok(created, 'node can share memory with workers');
    team = created;
    kernels = { ...kernelsOf(module, arena, team), later: single.later };
    single = await createWasm();
  });
  after(() => kernels.dispose());

  const weights = { outChannels: 256, taps: 1, channels: 700, groups: 1, bits: 4 };
  const next = random(17);
  const q = Int8Array.from({ length: weights.outChannels * weights.channels }, between(next, -8, 7));
  const a = Uint8Array.from({ length: 45 * weights.channels }, between(next, 0, 255));

  function product(k: Kernels): Int32Array {
    const m = a.length / weights.channels;
    const packed = new Uint8Array(k.weightsSize(weights));
    k.packWeights(q, weights, packed);
    const out = new Int32Array(m * weights.outChannels);
    k.gemm(a, packed, weights, m, 9, null, null, 0, 0, 0, out);
    return out;
  }

  it('start with the first large call and serve the next ones', async () => {
    assert.equal(kernels.threads, THREADS);
    assert.equal(team.calls, 0);
    const expected = product(single);
    for (let tries = 0; team.calls === 0 && tries < 500; tries++) {
      same(product(kernels), expected, 'sums');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(team.calls > 0, 'a call was shared');
    for (let i = 0; i < 20; i++) same(product(kernels), expected, `sums of call ${i}`);
    assert.ok(team.calls > 20, 'every large call is shared');
  });

  const SHARED: Record<string, ConvCase> = {
    'several tiles': { batch: 2, inChannels: 32, outChannels: 24, inHeight: 60, inWidth: 66 },
    'one tile, shared by panels': { batch: 1, inChannels: 96, outChannels: 90, inHeight: 9, inWidth: 9 },
    groups: { batch: 1, inChannels: 48, outChannels: 96, groups: 3, inHeight: 21, inWidth: 20 },
    depthwise: { batch: 2, inChannels: 99, outChannels: 99, groups: 99, inHeight: 50, inWidth: 51 },
    'depthwise, several outputs per channel': {
      batch: 1,
      inChannels: 21,
      outChannels: 63,
      groups: 21,
      inHeight: 75,
      inWidth: 70,
      strideHeight: 2,
    },
  };

  for (const [name, c] of Object.entries(SHARED)) {
    it(`give the bits of one thread: ${name}`, () => {
      const s = convShape(c);
      const shape = weightsOf(s, 6);
      const draw = random(3);
      const length = s.outChannels * shape.taps * shape.channels;
      const inputs = s.batch * s.inHeight * s.inWidth * s.inChannels;
      const levels = Int8Array.from({ length }, between(draw, -32, 31));
      const bytes = Int8Array.from({ length: inputs }, between(draw, -128, 127));
      const [w, x] = [floats(length, normal(draw)), floats(inputs, normal(draw))];
      const run = (k: Kernels) => {
        const packed = new Uint8Array(k.weightsSize(shape));
        k.packWeights(levels, shape, packed);
        const packedFloats = new Uint8Array(k.floatWeightsSize(shape));
        k.packFloatWeights(w, shape, packedFloats);
        const outputs = s.batch * s.outHeight * s.outWidth * s.outChannels;
        const [sums, out] = [new Int32Array(outputs), new Float32Array(outputs)];
        k.conv(bytes, packed, shape, s, -5, null, null, 0, 0, 0, sums);
        k.floatConv(x, packedFloats, shape, s, null, -1, 9, out);
        return { sums, out };
      };
      const before = team.calls;
      const [actual, expected] = [run(kernels), run(single)];
      assert.equal(team.calls, before + 2, 'both calls were shared');
      same(actual.sums, expected.sums, 'sums');
      same(actual.out, expected.out, 'floats');
    });
  }

  it('small calls stay on one thread', () => {
    const before = team.calls;
    const tiny = { outChannels: 8, taps: 1, channels: 8, groups: 1, bits: 8 };
    const packed = new Uint8Array(kernels.weightsSize(tiny));
    kernels.packWeights(new Int8Array(64).fill(1), tiny, packed);
    const out = new Int32Array(8);
    kernels.gemm(new Uint8Array(8).fill(2), packed, tiny, 1, 0, null, null, 0, 0, 0, out);
    assert.deepEqual([...out], new Array(8).fill(16));
    assert.equal(team.calls, before);
  });

  it('end with dispose, and calls go on with one', () => {
    const before = product(kernels);
    kernels.dispose();
    assert.equal(kernels.threads, 1);
    const { calls } = team;
    same(product(kernels), before, 'sums');
    assert.equal(team.calls, calls);
  });

  it('do not keep a process alive', () => {
    const url = new URL('../lib/kernels/wasm.ts', import.meta.url).href;
    const script = `
      import { createWasm } from ${JSON.stringify(url)};
      const k = await createWasm({ threads: 2 });
      const weights = { outChannels: 64, taps: 1, channels: 1024, groups: 1, bits: 8 };
      const packed = new Uint8Array(k.weightsSize(weights));
      k.packWeights(new Int8Array(65536), weights, packed);
      for (let i = 0; i < 20; i++) {
        k.gemm(new Uint8Array(65536), packed, weights, 64, 0, null, null, 0, 0, 0, new Int32Array(4096));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(k.threads);`;
    const options = { cwd: fileURLToPath(new URL('..', import.meta.url)), timeout: 60_000 };
    const arguments_ = ['--import', 'tsx', '--input-type=module', '--eval', script];
    assert.equal(execFileSync(process.execPath, arguments_, options).toString(), '2\n');
  });
});
