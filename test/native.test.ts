import assert from 'node:assert/strict';
import { createNative, nativeIsas } from '../lib/kernels/native.ts';
import { floats, normal, random, same } from './contract/support.ts';

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
    const foreign = process.arch === 'arm64' ? 'avx2' : 'i8mm';
    assert.throws(() => createNative({ isa: foreign }), {
      code: 'BACKEND_UNAVAILABLE',
      message: `Expected an instruction set of this processor (${nativeIsas().join(', ')}) but received ${foreign}.`,
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
});
