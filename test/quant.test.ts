import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SigmaQuantError } from '../lib/errors.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { bitWidth, bitWidths } from '../lib/quant/bitwidth.ts';
import { packedBytes, weightBytes } from '../lib/quant/packing.ts';
import { chooseQuantizer, type RangeMethod, rangeQuantizer } from '../lib/quant/ranges.ts';
import {
  dequantizeWeights,
  leastScale,
  maxAbsScale,
  roundWeights,
  rowError,
  searchScale,
  searchScales,
} from '../lib/quant/weights.ts';

const kernels = createReference();
const METHODS: RangeMethod[] = ['minmax', 'percentile', 'mse', 'entropy'];
const BINS = 2048;

function statisticsOf(x: Float32Array) {
  const [min, max] = [Math.min(...x), Math.max(...x)];
  const [low, high] = min === max ? [min - 1, max + 1] : [min, max];
  const counts = new Float64Array(BINS);
  kernels.histogram(x, low, high, counts);
  return { min, max, low, high, counts };
}

/** Deterministic, roughly normal numbers. */
function bell(n: number, seed = 1): Float32Array {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: n }, () => (next() + next() + next() + next() - 2) * 1.7);
}

const reals = fc.double({ min: -1000, max: 1000, noNaN: true }).map(Math.fround);
const rows = fc.array(reals, { minLength: 1, maxLength: 40 }).map((values) => Float32Array.from(values));
const widths = fc.constantFrom(...bitWidths.map((row) => row.bits));

describe('widths', () => {
  it('are 2 to 8, each with two to the power of bits levels around zero', () => {
    assert.deepEqual(
      bitWidths.map((row) => row.bits),
      [2, 3, 4, 5, 6, 7, 8],
    );
    for (const { bits, low, high, levels, name } of bitWidths) {
      assert.deepEqual(
        [low, high, levels, name],
        [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 2 ** bits, `int${bits}`],
      );
    }
  });

  it('refuse what is not offered, in one sentence', () => {
    for (const bits of [0, 1, 9, 2.5, Number.NaN])
      assert.throws(
        () => bitWidth(bits),
        (error) =>
          error instanceof SigmaQuantError &&
          error.code === 'INVALID_ARGUMENT' &&
          error.message === `Expected a whole number from 2 to 8 for bits but received ${bits}.`,
      );
  });

  it('count bytes as packed files do', () => {
    assert.equal(packedBytes(9, 3), 4);
    assert.equal(weightBytes(432, 16, 8), 432 + 128);
    assert.equal(weightBytes(432, 16, 2), 108 + 128);
    assert.equal(weightBytes(5, 1, 3), 2 + 8);
  });
});

describe('activation quantizers', () => {
  it('are the affine map of the range by hand', () => {
    assert.deepEqual(rangeQuantizer(0, 25.5, 8), {
      bits: 8,
      scale: Math.fround(0.1),
      zeroPoint: 0,
      low: 0,
      high: 255,
    });
    assert.deepEqual(rangeQuantizer(-1, 2, 2), { bits: 2, scale: 1, zeroPoint: 1, low: 0, high: 3 });
    assert.deepEqual(rangeQuantizer(3, 6, 2), { bits: 2, scale: 2, zeroPoint: 0, low: 0, high: 3 });
    assert.deepEqual(rangeQuantizer(-6, -3, 2), { bits: 2, scale: 2, zeroPoint: 3, low: 0, high: 3 });
    assert.deepEqual(rangeQuantizer(0, 0, 8), { bits: 8, scale: 1, zeroPoint: 0, low: 0, high: 255 });
  });

  it('have a positive finite scale and an exact zero inside, whatever the data', () => {
    fc.assert(
      fc.property(rows, widths, fc.constantFrom(...METHODS), (x, bits, method) => {
        const quantizer = chooseQuantizer(statisticsOf(x), bits, method);
        assert.equal(quantizer.scale, Math.fround(quantizer.scale));
        assert.ok(quantizer.scale > 0 && Number.isFinite(quantizer.scale));
        assert.ok(Number.isInteger(quantizer.zeroPoint) && quantizer.zeroPoint >= 0);
        assert.ok(quantizer.zeroPoint <= quantizer.high && quantizer.high === 2 ** bits - 1);
        if (Math.min(...x) >= 0) assert.equal(quantizer.zeroPoint, 0);
      }),
      { numRuns: 150 },
    );
  });

  it('clip outliers by mse and percentile and keep them by minmax', () => {
    const x = bell(20_000).map(Math.abs);
    x[0] = 100;
    const scales = METHODS.map((method) => chooseQuantizer(statisticsOf(x), 4, method).scale);
    assert.equal(scales[0], Math.fround(100 / 15));
    for (const scale of scales.slice(1)) assert.ok(scale < 1, `${scales}`);
  });

  it('by entropy do not starve on the zeros of a Relu', () => {
    const x = bell(20_000).map((value) => Math.max(value, 0));
    const [, , mse, entropy] = METHODS.map((method) => chooseQuantizer(statisticsOf(x), 8, method).scale);
    assert.ok(entropy > mse / 2 && entropy <= Math.max(...x) / 255, `${entropy} ${mse}`);
  });

  for (const [name, x] of [
    ['unsigned', bell(4000).map(Math.abs)],
    ['signed', bell(4000)],
    ['lopsided', bell(4000).map((value) => (value < 0 ? value / 8 : value))],
    ['negative', bell(4000).map((value) => -Math.abs(value))],
  ] as const)
    it(`by mse lose no more than by any other method (${name})`, () => {
      for (const { bits } of bitWidths) {
        const error = (method: RangeMethod) => {
          const { scale, zeroPoint, low, high } = chooseQuantizer(statisticsOf(x), bits, method);
          return kernels.quantizeError(x, null, scale, zeroPoint, low, high);
        };
        for (const method of METHODS)
          assert.ok(
            error('mse') <= error(method) * 1.02,
            `${bits} bits ${method}: ${error('mse')} ${error(method)}`,
          );
      }
    });

  it('refuse ranges that are not finite and unknown methods', () => {
    const counts = new Float64Array(4);
    const wrong = { min: Number.NaN, max: 1, low: 0, high: 1, counts };
    assert.throws(() => chooseQuantizer(wrong, 8, 'mse'), /Expected finite min <= max/);
    assert.throws(
      () => chooseQuantizer({ ...wrong, min: 0 }, 8, 'best' as RangeMethod),
      /Expected one of minmax, percentile, mse, entropy for method but received "best"/,
    );
  });
});

describe('weight scales', () => {
  it('find the exact grid of weights that lie on one', () => {
    const row = Float32Array.of(-2, -1, 0, 1, 1, -2, 0.5 * 0).map((value) => value * 0.375);
    assert.equal(searchScale(row, null, 2, leastScale(0, 1)), 0.375);
  });

  it('lose no more than max-abs, within range, never below the floor', () => {
    fc.assert(
      fc.property(rows, widths, fc.double({ min: 0, max: 1, noNaN: true }), (row, bits, bias) => {
        const { low, high } = bitWidth(bits);
        const floor = leastScale(bias, 0.01);
        const scale = searchScale(row, null, bits, floor);
        assert.equal(scale, Math.fround(scale));
        assert.ok(scale >= floor && bias / (0.01 * scale) <= 2 ** 30);
        const widest = Math.max(Math.fround(maxAbsScale(row, low, high) * (1 + 2 ** -23)), floor);
        assert.ok(
          rowError(row, null, scale, low, high) <= rowError(row, null, widest, low, high) * (1 + 1e-5),
        );
        for (const q of roundWeights(row, Float32Array.of(scale), bits)) assert.ok(q >= low && q <= high);
      }),
      { numRuns: 200 },
    );
  });

  it('follow importance: what is never multiplied may be clipped', () => {
    const row = Float32Array.of(1, 0.1, -0.1, 0.05);
    const important = Float64Array.of(0, 1, 1, 1);
    const scale = searchScale(row, important, 3, leastScale(0, 1));
    const plain = searchScale(row, null, 3, leastScale(0, 1));
    assert.ok(rowError(row, important, scale, -4, 3) < rowError(row, important, plain, -4, 3) / 2);
  });

  it('serve dead channels with the floor that their bias asks for', () => {
    const weights = Float32Array.of(0, 0, 1e-9, -1e-9, 0.5, -0.25);
    const floors = Float32Array.of(leastScale(0.9, 0.02), leastScale(0.9, 0.02), leastScale(0, 0.02));
    const scales = searchScales(weights, 3, 1, 8, null, floors);
    assert.equal(scales[0], leastScale(0.9, 0.02));
    assert.ok(Math.abs(0.9 / (0.02 * scales[1])) <= 2 ** 30);
    assert.deepEqual([...roundWeights(weights, scales, 8)].slice(0, 4), [0, 0, 0, 0]);
    assert.ok(scales.every((scale) => scale > 0));
  });

  it('use the importance of their own group', () => {
    const weights = Float32Array.of(1, 0.1, 1, 0.1);
    const importance = Float64Array.of(1, 1, 0, 1);
    const floors = new Float32Array(2).fill(leastScale(0, 1));
    const scales = searchScales(weights, 2, 2, 2, importance, floors);
    assert.equal(scales[0], searchScale(weights.subarray(0, 2), null, 2, floors[0]));
    assert.ok(scales[1] < scales[0]);
  });

  it('round and restore as the kernels do', () => {
    const weights = bell(300, 7);
    for (const { bits, low, high } of bitWidths) {
      const scales = searchScales(weights, 10, 1, bits, null, new Float32Array(10).fill(leastScale(0, 1)));
      const q = new Int8Array(300);
      kernels.quantizeChannels(weights, scales, new Int32Array(10), 30, low, high, q);
      assert.deepEqual(roundWeights(weights, scales, bits), q);
      const x = new Float32Array(300);
      kernels.dequantizeChannels(q, scales, new Int32Array(10), 30, x);
      assert.deepEqual(dequantizeWeights(q, scales), x);
    }
  });
});
