import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Calibration, InputStatistics } from '../lib/analysis/analysis.ts';
import type { SigmaQuantError } from '../lib/errors.ts';
import type { Layer } from '../lib/graph/graph.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { ConvShape, Kernels } from '../lib/kernels/kernels.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { bitWidths } from '../lib/quant/bitwidth.ts';
import { leastScale, roundWeights, searchScales } from '../lib/quant/weights.ts';
import { inverseFactor } from '../lib/recovery/cholesky.ts';
import { closestIntegers, createSearch } from '../lib/recovery/closest-integers.ts';
import { descend, dot, multiply } from '../lib/recovery/descent.ts';
import { layerHessians } from '../lib/recovery/hessian.ts';
import { createRecovery, type Recovery } from '../lib/recovery/index.ts';
import { normal, random } from './contract/support.ts';

const kernels = createReference();
const INPUT_SCALE = 0.02;
const keepGoing = async () => {};

function layerOf(name: string, outChannels: number, k: number, groups = 1, seed = 1): Layer {
  const next = normal(random(seed));
  const node = { name, op: 'Linear', inputs: [], outputs: [], attributes: {} };
  const parameters = outChannels * k;
  return {
    name,
    op: 'Linear',
    node,
    input: 'x',
    output: 'y',
    weights: Float32Array.from({ length: parameters }, next),
    bias: Float32Array.from({ length: outChannels }, next),
    outChannels,
    taps: 1,
    channels: k,
    groups,
    parameters,
    macs: parameters,
  };
}

/** Inputs as after a Relu, with neighbours that resemble each other. */
function inputs(rows: number, k: number, seed = 5): Float32Array {
  const next = normal(random(seed));
  const x = new Float32Array(rows * k);
  for (let row = 0; row < rows; row++) {
    let wave = next();
    for (let j = 0; j < k; j++) {
      wave = 0.8 * wave + 0.6 * next();
      x[row * k + j] = Math.max(0, wave + (j % 3) * 0.5);
    }
  }
  return x;
}

/** Gram, power and mean of x [rows][groups * k]. */
function statisticsOf(x: Float32Array, k: number, groups = 1): InputStatistics {
  const width = k * groups;
  const rows = x.length / width;
  const gram = new Float64Array(groups * k * k);
  const shape: ConvShape = {
    ...{
      batch: rows,
      inHeight: 1,
      inWidth: 1,
      inChannels: width,
      outHeight: 1,
      outWidth: 1,
      outChannels: width,
    },
    ...{
      kernelHeight: 1,
      kernelWidth: 1,
      strideHeight: 1,
      strideWidth: 1,
      dilationHeight: 1,
      dilationWidth: 1,
    },
    ...{ padTop: 0, padLeft: 0, groups },
  };
  kernels.gram(x, shape, 0, 1, gram);
  const mean = new Float64Array(width);
  const power = new Float64Array(width);
  for (let i = 0; i < x.length; i++) {
    mean[i % width] += x[i] / rows;
    power[i % width] += (x[i] * x[i]) / rows;
  }
  return { rows, gram, mean, power };
}

function recovery(
  name: 'none' | 'gptq',
  layer: Layer,
  input: InputStatistics | null,
  with_: Kernels = kernels,
) {
  const calibration: Calibration | null =
    input === null ? null : { samples: 1, values: new Map(), inputs: new Map([[layer.name, input]]) };
  const inputScales = new Map([[layer.name, INPUT_SCALE]]);
  return createRecovery(name, { layers: [layer], calibration, inputScales, kernels: with_ });
}

/** Mean squared output error over the inputs, summed over channels, by running the layer. */
function outputError(
  layer: Layer,
  x: Float32Array,
  made: { q: Int8Array; scales: Float32Array; bias: Float32Array },
) {
  const { outChannels, channels: k, groups } = layer;
  const rows = x.length / (k * groups);
  let sum = 0;
  for (let row = 0; row < rows; row++)
    for (let n = 0; n < outChannels; n++) {
      const group = Math.floor((n * groups) / outChannels);
      let error = made.bias[n] - layer.bias![n];
      for (let j = 0; j < k; j++)
        error +=
          (made.q[n * k + j] * made.scales[n] - layer.weights[n * k + j]) * x[(row * groups + group) * k + j];
      sum += error * error;
    }
  return sum / rows;
}

describe('inverse factor', () => {
  it('is the upper Cholesky factor of the inverse, by hand', async () => {
    // inverse of [[4, 2], [2, 3]] is [[3, -2], [-2, 4]] / 8
    const u = await inverseFactor(Float64Array.of(4, 2, 2, 3), 2, keepGoing);
    assert.ok(u !== null);
    const expected = [Math.sqrt(3 / 8), -2 / 8 / Math.sqrt(3 / 8), 0, Math.sqrt(4 / 8 - 4 / 64 / (3 / 8))];
    for (const [i, value] of expected.entries())
      assert.ok(Math.abs(u[i] - value) < 1e-15, `${u} ${expected}`);
  });

  it('gives Uᵀ U h = 1 at awkward sizes', async () => {
    for (const k of [1, 2, 3, 4, 5, 7, 8, 9, 17, 33]) {
      const { gram } = statisticsOf(inputs(3 * k + 5, k), k);
      const h = gram!;
      for (let i = 0; i < k; i++) h[i * k + i] += 1;
      const u = (await inverseFactor(h, k, keepGoing))!;
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < i; j++) assert.equal(u[i * k + j], 0);
        for (let j = 0; j < k; j++) {
          let product = 0;
          for (let a = 0; a < k; a++)
            for (let b = 0; b < k; b++) product += u[a * k + i] * u[a * k + b] * h[b * k + j];
          assert.ok(Math.abs(product - (i === j ? 1 : 0)) < 1e-8, `k ${k}: ${product}`);
        }
      }
    }
  });

  it('is null where the matrix is not positive definite', async () => {
    assert.equal(await inverseFactor(Float64Array.of(1, 2, 2, 1), 2, keepGoing), null);
    assert.equal(await inverseFactor(Float64Array.of(Number.NaN), 1, keepGoing), null);
  });
});

describe('descent', () => {
  it('never raises the quadratic error, stays in range and above the floor', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 24 }),
        fc.constantFrom(2, 3, 4),
        fc.integer(),
        (k, bits, seed) => {
          const next = normal(random(seed));
          const h = statisticsOf(inputs(2 * k + 3, k, seed + 1), k).gram!;
          for (let i = 0; i < k; i++) h[i * k + i] += 0.1;
          const w = Float64Array.from({ length: k }, next);
          const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
          const scale = Math.fround(0.05 + Math.abs(next()));
          const q = Int8Array.from(w, (value) => Math.min(Math.max(Math.round(value / scale), low), high));
          const errorOf = (s: number, levels: Int8Array) => {
            const e = w.map((value, j) => value - levels[j] * s);
            const product = new Float64Array(k);
            multiply(h, k, e, product);
            return dot(e, product);
          };
          const before = errorOf(scale, q);
          const hw = new Float64Array(k);
          multiply(h, k, w, hw);
          const row = { q, scale, hw, power: dot(w, hw) };
          const after = descend(row, h, k, low, high, 0.05, new Float64Array(k));
          assert.ok(after <= before * (1 + 1e-9) + 1e-9, `${before} -> ${after}`);
          assert.ok(Math.abs(after - errorOf(row.scale, q)) <= 1e-8 * (1 + row.power));
          assert.ok(row.scale >= Math.fround(0.05) && q.every((level) => level >= low && level <= high));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('recovery none', () => {
  it('rounds to the nearest with scales weighted by the inputs, and keeps the bias', async () => {
    const layer = layerOf('fc', 6, 12);
    const input = statisticsOf(inputs(64, 12), 12);
    const made = await recovery('none', layer, input).quantize('fc', 3);
    const floors = layer.bias!.map((bias) => leastScale(bias, INPUT_SCALE));
    assert.deepEqual(made.scales, searchScales(layer.weights, 6, 1, 3, input.power, floors));
    assert.deepEqual(made.q, roundWeights(layer.weights, made.scales, 3));
    assert.deepEqual(made.bias, layer.bias);
    assert.equal(made.bits, 3);
  });
});

describe('recovery gptq', () => {
  it('leaves less output error than rounding to the nearest at every width', async () => {
    const [layer, x] = [layerOf('fc', 16, 40), inputs(300, 40)];
    const input = statisticsOf(x, 40);
    const [second, nearest] = [recovery('gptq', layer, input), recovery('none', layer, input)];
    for (const { bits, low, high } of bitWidths) {
      const made = await second.quantize('fc', bits);
      assert.ok(made.q.every((level) => level >= low && level <= high));
      const ratio = outputError(layer, x, made) / outputError(layer, x, await nearest.quantize('fc', bits));
      assert.ok(ratio < 0.6, `${bits} bits: ${ratio}`);
    }
    assert.equal(second.cached, bitWidths.length);
  });

  it('rounds each group by its own inputs', async () => {
    const groups = 8;
    const [layer, x] = [layerOf('depthwise', groups, 9, groups), inputs(200, 9 * groups)];
    const input = statisticsOf(x, 9, groups);
    for (const bits of [2, 3, 4]) {
      const made = await recovery('gptq', layer, input).quantize('depthwise', bits);
      const nearest = await recovery('none', layer, input).quantize('depthwise', bits);
      assert.ok(outputError(layer, x, made) < outputError(layer, x, nearest) * 0.6, `${bits} bits`);
    }
  });

  it('leaves no better integers for the scales of depthwise kernels', async () => {
    const groups = 8;
    const [layer, x] = [layerOf('depthwise', groups, 9, groups), inputs(200, 9 * groups)];
    const input = statisticsOf(x, 9, groups);
    const hessians = (await layerHessians(layer, input, keepGoing))!;
    for (const { bits, low, high } of bitWidths) {
      const made = await recovery('gptq', layer, input).quantize('depthwise', bits);
      for (const [row, { order, h, u }] of hessians.entries()) {
        const place = (from: ArrayLike<number>) => Float64Array.from(order, (j) => from[row * 9 + j]);
        const [w, q] = [place(layer.weights), place(made.q)];
        const e = w.map((value, j) => value - q[j] * made.scales[row]);
        const product = new Float64Array(9);
        multiply(h, 9, e, product);
        const error = dot(e, product);
        const best = new Int8Array(9);
        const args = [low, high, Number.POSITIVE_INFINITY, best, createSearch(9)] as const;
        const least = closestIntegers(w, made.scales[row], u, ...args);
        assert.ok(error <= least * (1 + 1e-6) + 1e-12, `${bits} bits, row ${row}: ${error} but ${least}`);
      }
    }
  });

  it('corrects the bias only downwards in error', async () => {
    const [layer, x] = [layerOf('fc', 8, 20), inputs(200, 20)];
    for (const bits of [2, 4, 8]) {
      const made = await recovery('gptq', layer, statisticsOf(x, 20)).quantize('fc', bits);
      assert.notDeepEqual(made.bias, layer.bias);
      assert.ok(
        outputError(layer, x, made) <= outputError(layer, x, { ...made, bias: layer.bias! }) * (1 + 1e-6),
      );
    }
  });

  it('keeps integer biases within 2^30, dead channels and silent inputs included', async () => {
    const layer = layerOf('fc', 4, 10);
    layer.weights.fill(1e-9, 0, 10);
    layer.weights.fill(0, 10, 20);
    for (const x of [inputs(50, 10), new Float32Array(500)])
      for (const bits of [2, 8]) {
        const made = await recovery('gptq', layer, statisticsOf(x, 10)).quantize('fc', bits);
        for (const [row, scale] of made.scales.entries()) {
          assert.ok(scale > 0 && Number.isFinite(scale) && Number.isFinite(made.bias[row]));
          assert.ok(Math.abs(made.bias[row] / Math.fround(INPUT_SCALE * scale)) <= 2 ** 30 + 64);
        }
      }
  });

  it('rounds to the nearest and still corrects the bias where the Gram did not fit', async () => {
    const [layer, x] = [layerOf('fc', 8, 20), inputs(200, 20)];
    const input = { ...statisticsOf(x, 20), gram: null };
    const made = await recovery('gptq', layer, input).quantize('fc', 3);
    const nearest = await recovery('none', layer, input).quantize('fc', 3);
    assert.deepEqual(made.q, nearest.q);
    assert.ok(outputError(layer, x, made) < outputError(layer, x, nearest));
  });

  it('gives the same integers run after run, in any order of widths, and the cached object again', async () => {
    const layer = layerOf('fc', 12, 30);
    const input = statisticsOf(inputs(100, 30), 30);
    const [first, second] = [recovery('gptq', layer, input), recovery('gptq', layer, input)];
    const results = await Promise.all([2, 3, 4].map((bits) => first.quantize('fc', bits)));
    for (const bits of [4, 2, 3]) assert.deepEqual(await second.quantize('fc', bits), results[bits - 2]);
    assert.equal(await first.quantize('fc', 3), results[1]);
  });

  it('aborts with the reason of the signal within 200 ms and still works afterwards', async () => {
    const k = 700;
    const layer = layerOf('fc', 64, k);
    const made = recovery('gptq', layer, statisticsOf(inputs(40, k), k));
    const controller = new AbortController();
    const reason = new Error('enough');
    let aborted = 0;
    setTimeout(() => {
      aborted = performance.now();
      controller.abort(reason);
    }, 20);
    await assert.rejects(made.quantize('fc', 2, controller.signal), reason);
    assert.ok(aborted > 0 && performance.now() - aborted < 200, `${performance.now() - aborted} ms`);
    assert.equal(made.cached, 0);
    assert.equal((await made.quantize('fc', 8)).q.length, 64 * k);
  });
});

describe('recovery on other backends', () => {
  for (const backend of ['native', 'wasm'] as const)
    it(`${backend} gives the same integers, scales and biases as the reference`, async function () {
      const other = await createKernels({ backend }).catch((error: SigmaQuantError) => {
        assert.equal(error.code, 'BACKEND_UNAVAILABLE');
        return null;
      });
      if (other === null) return this.skip();
      try {
        for (const groups of [1, 4]) {
          const layer = layerOf('fc', 20, 37, groups);
          const input = statisticsOf(inputs(120, 37 * groups), 37, groups);
          const here: Recovery = recovery('gptq', layer, input);
          const there: Recovery = recovery('gptq', layer, input, other);
          for (const { bits } of bitWidths)
            assert.deepEqual(await there.quantize('fc', bits), await here.quantize('fc', bits));
        }
      } finally {
        other.dispose();
      }
    });
});

describe('recovery', () => {
  it('refuses unknown names, layers, widths and inputs without a scale', async () => {
    const layer = layerOf('fc', 2, 4);
    const source = { layers: [layer], calibration: null, inputScales: null, kernels };
    assert.throws(() => createRecovery('best' as 'none', source), /Expected one of none, gptq for recovery/);
    const none = createRecovery('none', source);
    await assert.rejects(
      none.quantize('conv', 4),
      /Expected the name of a layer for layer but received "conv"/,
    );
    await assert.rejects(none.quantize('fc', 9), /Expected a whole number from 2 to 8 for bits/);
    const scaleless = createRecovery('none', { ...source, inputScales: new Map() });
    await assert.rejects(
      scaleless.quantize('fc', 4),
      /Expected a positive scale for the input of layer "fc"/,
    );
    assert.equal((await none.quantize('fc', 4)).bits, 4);
  });
});
