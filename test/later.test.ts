import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { checked, createKernels, type Kernels, type KernelsOptions } from '../lib/kernels/index.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { between, floats, normal, random, same } from './contract/support.ts';

const WEIGHTS = { outChannels: 24, taps: 9, channels: 16, groups: 1, bits: 4 };
const MATRIX = { outChannels: 40, taps: 1, channels: 72, groups: 1, bits: 3 };
const SHAPE = {
  batch: 1,
  inHeight: 12,
  inWidth: 12,
  inChannels: 16,
  outHeight: 12,
  outWidth: 12,
  outChannels: 24,
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
const POOL = { ...SHAPE, outChannels: 16 };
const [DEPTH, INPUTS, OUTPUTS] = [9 * 16, 144 * 16, 144 * 24];

type Call = (...values: unknown[]) => unknown;
type Filled = { name: keyof Kernels; values: unknown[] };

/** One call of every verb, with fresh arrays of the same content each time. */
function everyVerb(kernels: Kernels): Filled[] {
  const next = random(9);
  const x = floats(INPUTS, normal(next));
  const a = Int8Array.from({ length: INPUTS }, between(next, -128, 127));
  const u8 = Uint8Array.from({ length: INPUTS }, between(next, 0, 255));
  const q = Int8Array.from({ length: 24 * DEPTH }, between(next, -4, 3));
  const w = floats(24 * DEPTH, normal(next));
  const matrix = q.subarray(0, 40 * 72);
  const packed = new Uint8Array(kernels.weightsSize(WEIGHTS));
  kernels.packWeights(q, WEIGHTS, packed);
  const packedMatrix = new Uint8Array(kernels.weightsSize(MATRIX));
  kernels.packWeights(matrix, MATRIX, packedMatrix);
  const packedFloats = new Uint8Array(kernels.floatWeightsSize(WEIGHTS));
  kernels.packFloatWeights(w, WEIGHTS, packedFloats);
  const packedMatrixFloats = new Uint8Array(kernels.floatWeightsSize(MATRIX));
  kernels.packFloatWeights(w.slice(0, 40 * 72), MATRIX, packedMatrixFloats);
  const scales = floats(16, () => 0.01 + next());
  const zeros = Int32Array.from({ length: 16 }, between(next, -3, 3));
  const bias = Int32Array.from({ length: 40 }, between(next, -900, 900));
  const multipliers = floats(40, () => 0.001);
  const byte = (n: number) => new Int8Array(n);
  const real = (n: number) => new Float32Array(n);
  const u = Float64Array.from({ length: 36 }, (_, i) => (i % 7 === 0 ? 1 : 0.01));
  const counts = new Float64Array(64).fill(2);
  return [
    { name: 'quantize', values: [x, 0.03, 1, -128, 127, byte(INPUTS)] },
    { name: 'quantizeChannels', values: [x, scales, zeros, 3, -8, 7, byte(INPUTS)] },
    { name: 'dequantize', values: [a, 0.03, 1, real(INPUTS)] },
    { name: 'dequantizeChannels', values: [u8, scales, zeros, 3, real(INPUTS)] },
    { name: 'pack', values: [matrix, 3, new Uint8Array((40 * 72 * 3) / 8)] },
    { name: 'unpack', values: [u8, 2, byte(INPUTS * 4)] },
    { name: 'weightsSize', values: [WEIGHTS] },
    { name: 'packWeights', values: [q, WEIGHTS, new Uint8Array(packed.length)] },
    {
      name: 'gemm',
      values: [a, packedMatrix, MATRIX, 32, 3, bias, multipliers, -5, -128, 127, byte(32 * 40)],
    },
    {
      name: 'conv',
      values: [u8, packed, WEIGHTS, SHAPE, 3, null, null, 0, 0, 0, new Int32Array(OUTPUTS)],
    },
    { name: 'floatWeightsSize', values: [WEIGHTS] },
    { name: 'packFloatWeights', values: [w, WEIGHTS, new Uint8Array(packedFloats.length)] },
    { name: 'floatGemm', values: [x, packedMatrixFloats, MATRIX, 32, null, -9, 9, real(32 * 40)] },
    {
      name: 'floatConv',
      values: [x, packedFloats, WEIGHTS, SHAPE, multipliers.slice(0, 24), -9, 9, real(OUTPUTS)],
    },
    { name: 'floatConvGradient', values: [x, real(OUTPUTS), SHAPE, real(24 * DEPTH)] },
    { name: 'sumChannels', values: [x, x, 16, new Float64Array(32)] },
    { name: 'affineChannels', values: [x, scales.slice(0, 4), scales.slice(4, 8), -9, 9, real(INPUTS)] },
    {
      name: 'combineChannels',
      values: [x, x, scales.slice(0, 4), scales.slice(4, 8), scales.slice(2, 6), real(INPUTS)],
    },
    { name: 'clampGradient', values: [x, x, -1, 2, real(INPUTS)] },
    { name: 'quantizeGradient', values: [x, x, 0.1, 3, 0, 15, real(INPUTS)] },
    { name: 'add', values: [x, x, -1, 2, real(INPUTS)] },
    { name: 'clamp', values: [x, -1, 2, real(INPUTS)] },
    {
      name: 'quantizedAdd',
      values: [u8, 0.1, 3, u8, 0.2, 5, 0.3, 7, 0, 255, new Uint8Array(INPUTS)],
    },
    { name: 'maxPool', values: [x, POOL, real(INPUTS)] },
    { name: 'quantizedMaxPool', values: [u8, POOL, new Uint8Array(INPUTS)] },
    { name: 'averagePool', values: [x, POOL, true, real(INPUTS)] },
    { name: 'quantizedGlobalAverage', values: [u8, 1, 16, 3, 0.01, 5, 0, 255, new Uint8Array(16)] },
    {
      name: 'lookup',
      values: [u8, Uint8Array.from({ length: 256 }, (_, i) => 255 - i), new Uint8Array(INPUTS)],
    },
    { name: 'moments', values: [x, new Float64Array(6)] },
    { name: 'histogram', values: [x, -3, 3, counts.slice()] },
    { name: 'divergence', values: [counts, counts.map((c, i) => c + i), 0.5] },
    { name: 'squaredError', values: [x, x.map((v) => v * 1.01)] },
    { name: 'quantizeError', values: [x, null, 0.1, 0, -8, 7] },
    { name: 'gram', values: [x, SHAPE, 1, 5, new Float64Array(DEPTH * DEPTH)] },
    {
      name: 'roundWithHessian',
      values: [Float64Array.from(w.subarray(0, 96)), scales, u, 2, 9, -8, 7, byte(96)],
    },
  ];
}

/** Several hundred milliseconds of native work on one thread, and what it gives. */
function heavy(kernels: Kernels, buffer: (bytes: number) => ArrayBufferLike) {
  const [side, channels] = [56, 128];
  const weights = { outChannels: channels, taps: 9, channels, groups: 1, bits: 8 };
  const shape = {
    ...SHAPE,
    batch: 8,
    inHeight: side,
    inWidth: side,
    outHeight: side,
    outWidth: side,
    inChannels: channels,
    outChannels: channels,
  };
  const n = shape.batch * side * side * channels;
  const next = random(3);
  const input = new Float32Array(buffer(4 * n));
  for (let i = 0; i < n; i++) input[i] = next() - 0.5;
  const packed = new Uint8Array(buffer(kernels.floatWeightsSize(weights)));
  kernels.packFloatWeights(floats(channels * channels * 9, normal(next)), weights, packed);
  const out = () => new Float32Array(buffer(4 * n));
  const values = (output: Float32Array) =>
    [input, packed, weights, shape, null, -50, 50, output] as Parameters<Kernels['floatConv']>;
  return { input, out, values };
}

const plain = (bytes: number) => new ArrayBuffer(bytes);
const shared = (bytes: number) => new SharedArrayBuffer(bytes);
const small = (k: Kernels) => ({ x: new Float32Array(64).fill(0.5), q: new Int8Array(64), k });

const backends: KernelsOptions[] = [{ backend: 'reference' }, { backend: 'wasm' }];
if (nativeIsas().length > 0)
  backends.push({ backend: 'native', threads: 1 }, { backend: 'native', threads: 2 });

describe('later', () => {
  for (const options of backends)
    describe(`${options.backend}${options.threads ? `, ${options.threads} threads` : ''}`, () => {
      let raw: Kernels;
      let kernels: Kernels;
      before(async () => {
        raw = await createKernels(options);
        kernels = checked(raw);
      });
      after(() => raw?.dispose());

      it('gives what the verbs give, all of them called at once', async () => {
        for (const face of [raw, kernels]) {
          const [now, later] = [everyVerb(face), everyVerb(face)];
          const verbs = Object.entries(raw).filter(
            ([key, value]) => typeof value === 'function' && key !== 'dispose',
          );
          for (const { name } of now) assert.ok(verbs.some(([verb]) => verb === name));
          const promises = later.map(({ name, values }) =>
            (face.later as unknown as Record<string, Call>)[name](...values),
          );
          assert.ok(promises.every((promise) => promise instanceof Promise));
          const results = await Promise.all(promises);
          for (const [i, { name, values }] of now.entries()) {
            assert.equal(results[i], (face[name] as Call)(...values), name);
            for (const [j, value] of values.entries())
              if (ArrayBuffer.isView(value))
                same(later[i].values[j] as Float32Array, value as Float32Array, `${name}, argument ${j}`);
          }
        }
      });

      it('begins in order, and lets the event loop turn between calls', async () => {
        const { x, q } = small(kernels);
        const events: string[] = [];
        setImmediate(() => events.push('task'));
        const calls = [1, 2, 3].map((i) =>
          kernels.later
            .quantize(x, i, 0, -8, 7, q, { onStart: () => events.push(`begin ${i}`) })
            .then(() => events.push(`end ${i}`)),
        );
        await Promise.all(calls);
        assert.deepEqual(
          events.filter((event) => event !== 'task'),
          ['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3'],
        );
        assert.ok(
          events.indexOf('task') >= 0 && events.indexOf('task') < events.indexOf('end 3'),
          String(events),
        );
        assert.equal(q[0], 0);
      });

      it('an abort keeps calls from beginning and leaves those that have begun', async () => {
        const { x } = small(kernels);
        const outputs = [0, 1, 2].map(() => new Int8Array(64));
        const reason = new Error('enough');
        await assert.rejects(
          kernels.later.quantize(x, 0.1, 0, -8, 7, outputs[0], { signal: AbortSignal.abort(reason) }),
          reason,
        );
        const controller = new AbortController();
        const { signal } = controller;
        const begun = kernels.later.quantize(x, 0.1, 0, -8, 7, outputs[1], {
          signal,
          onStart: () => queueMicrotask(() => controller.abort(reason)),
        });
        const waiting = kernels.later.quantize(x, 0.1, 0, -8, 7, outputs[2], { signal });
        await assert.rejects(waiting, reason);
        await begun;
        assert.deepEqual([outputs[0][0], outputs[1][0], outputs[2][0]], [0, 5, 0]);
      });

      it('rejects what the verbs refuse, and what became wrong while it waited', async () => {
        const { x, q } = small(kernels);
        const short = new Int8Array(3);
        await assert.rejects(kernels.later.quantize(x, 0.1, 0, -8, 7, short), {
          code: 'INVALID_ARGUMENT',
          message: 'Expected an Int8Array of length 64 for q but received length 3.',
        });
        const first = kernels.later.quantize(x, 0.1, 0, -8, 7, q);
        const moved = new Int8Array(64);
        const second = kernels.later.quantize(x, 0.1, 0, -8, 7, moved);
        const third = kernels.later.quantize(x, 0.1, 0, -8, 7, new Int8Array(64));
        structuredClone(moved, { transfer: [moved.buffer] });
        await first;
        await assert.rejects(second, {
          code: 'INVALID_ARGUMENT',
          message: 'Expected a buffer that is not detached for q but received Int8Array of length 0.',
        });
        await third;
      });
    });

  describe('native, while a call runs', () => {
    let kernels: Kernels;
    before(async function () {
      if (nativeIsas().length === 0) this.skip();
      kernels = checked(await createKernels({ backend: 'native', threads: 2 }));
    });
    after(() => kernels?.dispose());

    it('timers fire, and other calls of the same backend are served', async () => {
      const { out, values } = heavy(kernels, shared);
      const [expected, actual] = [out(), out()];
      let ticks = 0;
      let running = true;
      const timer = setInterval(() => ticks++, 1);
      const call = kernels.later.floatConv(...values(actual)).finally(() => {
        running = false;
      });
      await delay(5);
      assert.ok(running, 'the call ended before it could be watched');
      kernels.floatConv(...values(expected));
      while (running) await delay(1);
      clearInterval(timer);
      await call;
      assert.ok(ticks >= 2, `${ticks} ticks`);
      same(actual, expected, 'results');
    });

    it('buffers may be detached: inputs were read, outputs are refused', async () => {
      const { input, out, values } = heavy(kernels, plain);
      const [expected, actual, lost] = [out(), out(), out()];
      kernels.floatConv(...values(expected));
      const first = kernels.later.floatConv(...values(actual));
      await delay(2);
      structuredClone(input, { transfer: [input.buffer as ArrayBuffer] });
      assert.equal(input.length, 0);
      await first;
      same(actual, expected, 'results');

      const again = heavy(kernels, plain);
      const second = kernels.later.floatConv(...again.values(lost));
      await delay(2);
      structuredClone(lost, { transfer: [lost.buffer as ArrayBuffer] });
      await assert.rejects(second, {
        name: 'SigmaQuantError',
        code: 'INVALID_ARGUMENT',
        message: 'Expected a buffer that is not detached before its asynchronous call ends.',
      });
    });

    it('buffers may shrink', async () => {
      const Resizable = ArrayBuffer as unknown as new (
        n: number,
        o: { maxByteLength: number },
      ) => ArrayBuffer;
      const resizable = (bytes: number) => new Resizable(bytes, { maxByteLength: bytes });
      const { input, out, values } = heavy(kernels, resizable);
      const lost = out();
      const call = kernels.later.floatConv(...values(lost));
      await delay(2);
      for (const array of [input, lost])
        (array.buffer as unknown as { resize(bytes: number): void }).resize(4);
      await assert.rejects(call, { code: 'INVALID_ARGUMENT' });
    });

    it('arrays that nobody else holds stay alive', async () => {
      const { out, values } = heavy(kernels, shared);
      const expected = out();
      kernels.floatConv(...values(expected));
      const calls = [0, 1].map(() => {
        const own = heavy(kernels, shared);
        const output = own.out();
        return kernels.later.floatConv(...own.values(output)).then(() => output);
      });
      globalThis.gc?.();
      for (const output of await Promise.all(calls)) same(output, expected, 'results');
    });

    it('dispose waits for it, and later calls are still served', async () => {
      const own = checked(await createKernels({ backend: 'native', threads: 2 }));
      const { out, values } = heavy(own, shared);
      const [expected, first, second] = [out(), out(), out()];
      kernels.floatConv(...values(expected));
      const calls = [own.later.floatConv(...values(first)), own.later.floatConv(...values(second))];
      await delay(2);
      own.dispose();
      own.dispose();
      await Promise.all(calls);
      same(first, expected, 'the call that ran');
      same(second, expected, 'the call that waited');
    });
  });
});
