import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildProgram } from '../benchmarks/rivals/build.ts';
import { compare, differences, type Row } from '../benchmarks/rivals/compare.ts';
import type { Contender } from '../benchmarks/rivals/contender.ts';
import { modelBytes, models } from '../benchmarks/rivals/onnx-models.ts';
import { openOurs } from '../benchmarks/rivals/ours.ts';
import { makeProblem, type Problem } from '../benchmarks/rivals/problem.ts';
import { report } from '../benchmarks/rivals/table.ts';
import { convShape, type Op, type Trial, trialName, trials } from '../benchmarks/rivals/trials.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { readModel } from '../lib/onnx/index.ts';

const trial = (op: Op, shape: string, activations: Trial['activations'], bits: number): Trial => ({
  op,
  shape,
  backend: 'native',
  activations,
  bits,
});
const smallTrials = [
  trial('gemm', '3x5x7', 'u8', 8),
  trial('gemm', '3x5x7', 's8', 7),
  trial('gemm-requantize', '4x3x40', 'u8', 8),
  trial('gemm-requantize', '4x3x40', 's8', 8),
  trial('gemm-float-io', '2x6x40', 'f32', 4),
  trial('conv', '3x3_5x6x4_7', 'u8', 4),
  trial('conv', '3x3s2_5x6x4_7', 's8', 8),
  trial('conv', 'dw3x3_5x5x6', 'u8', 8),
  trial('float-gemm', '3x5x7', 'f32', 32),
  trial('float-conv', '1x1_4x4x3_2', 'f32', 32),
  trial('quantize', '33', 'f32', 8),
  trial('dequantize', '33', 'f32', 8),
  trial('add', '33', 'f32', 32),
];

/** Sums [position][outChannel] with the weights [outChannels][taps][channels], without bias. */
function sums({ trial: { shape }, gemm, conv, weights, a, w }: Problem): number[][] {
  if (gemm !== undefined) {
    const { m, n, k } = gemm;
    return Array.from({ length: m }, (_, i) =>
      Array.from({ length: n }, (_, j) => {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += a[i * k + l] * w[j * k + l];
        return sum;
      }),
    );
  }
  const c = convShape(shape);
  const depth = weights!.taps * weights!.channels;
  return Array.from({ length: c.outHeight * c.outWidth }, (_, position) =>
    Array.from({ length: c.outChannels }, (_, o) => {
      let sum = 0;
      const first = Math.floor(o / (c.outChannels / c.groups)) * weights!.channels;
      for (let tap = 0; tap < weights!.taps; tap++) {
        const y =
          Math.floor(position / c.outWidth) * conv!.strideHeight + Math.floor(tap / c.kernelWidth) - c.padTop;
        const x = (position % c.outWidth) * conv!.strideWidth + (tap % c.kernelWidth) - c.padLeft;
        if (y < 0 || y >= c.inHeight || x < 0 || x >= c.inWidth) continue;
        for (let i = 0; i < weights!.channels; i++)
          sum +=
            a[(y * c.inWidth + x) * c.inChannels + first + i] * w[o * depth + tap * weights!.channels + i];
      }
      return sum;
    }),
  );
}

/** Outputs without rounding, and how far rounding may take them. */
function expected(problem: Problem): { values: number[]; within: number } {
  const { trial, a, scale, weightScales, outScale, bias, weights } = problem;
  const [low, high] = trial.activations === 's8' ? [-128, 127] : [0, 255];
  const clamped = (x: number) => Math.min(high, Math.max(low, x));
  const HALF = 0.5001;
  const elements = Array.from(a);
  if (trial.op === 'add') return { values: elements.map((x) => 2 * x), within: 0 };
  if (trial.op === 'quantize') return { values: elements.map((x) => clamped(x / scale + 128)), within: HALF };
  if (trial.op === 'dequantize') return { values: elements.map((q) => (q - 128) * scale), within: 1e-6 };
  const channels = weights!.outChannels;
  const exact = sums(problem)
    .flat()
    .map((sum, i) => ({ sum: sum + (bias[i % channels] ?? 0), weightScale: weightScales[i % channels] }));
  switch (trial.op) {
    case 'gemm':
      return { values: exact.map(({ sum }) => sum), within: 0 };
    case 'gemm-requantize':
    case 'conv':
      return {
        values: exact.map(({ sum, weightScale }) => clamped((sum * scale * weightScale) / outScale)),
        within: HALF,
      };
    case 'gemm-float-io':
      // Each activation is within half a step of its quantized value.
      return {
        values: exact.map(({ sum, weightScale }) => sum * weightScale),
        within: (scale / 2) * problem.gemm!.k * 2 ** (trial.bits - 1) * Math.max(...weightScales),
      };
    default:
      return { values: exact.map(({ sum }) => sum), within: 1e-4 };
  }
}

describe('rivals', () => {
  it('lists every comparison once, in shapes that parse', () => {
    const names = trials.map(trialName);
    assert.equal(new Set(names).size, names.length);
    for (const backend of ['native', 'wasm']) {
      for (const op of [
        'gemm',
        'gemm-requantize',
        'gemm-float-io',
        'conv',
        'float-gemm',
        'float-conv',
        'add',
      ])
        assert.ok(
          trials.some((one) => one.backend === backend && one.op === op),
          `${backend} ${op}`,
        );
    }
    const { outHeight, outWidth, outChannels, groups, padTop } = convShape('3x3s2_224x224x3_32');
    assert.deepEqual([outHeight, outWidth, outChannels, groups, padTop], [112, 112, 32, 1, 1]);
    assert.equal(convShape('dw3x3_112x112x32').groups, 32);
    assert.throws(() => convShape('3x3'), /Expected a shape such as/);
  });

  it('computes on our side what the problem says', async () => {
    const kernels = await createKernels({ backend: 'reference' });
    for (const small of smallTrials) {
      const problem = makeProblem(small);
      const ours = openOurs(kernels, problem);
      assert.ok((await ours.run(1)) > 0);
      const out = Array.from(await ours.output());
      await ours.close();
      const { values, within } = expected(problem);
      assert.equal(out.length, values.length, trialName(small));
      values.forEach((value, i) => {
        assert.ok(Math.abs(out[i] - value) <= within, `${trialName(small)}: ${out[i]} for ${value}`);
      });
    }
    kernels.dispose();
  });

  it('writes models of one operator that hold the same weights', () => {
    for (const small of smallTrials) {
      const problem = makeProblem(small);
      for (const model of models(problem)) {
        const made = model();
        const { graph } = readModel(modelBytes(made));
        assert.equal(graph!.node.length, 1);
        const [node] = graph!.node;
        assert.equal(node.opType, made.op);
        const known = new Set(['x', ...graph!.initializer.map(({ name }) => name)]);
        for (const input of node.input) assert.ok(known.has(input), `${made.op}: ${input}`);
      }
    }
    // 4 bits, block 32: unsigned about 8, lowest bits first, the last block filled with zeros.
    const problem = makeProblem(trial('gemm-float-io', '2x6x40', 'f32', 4));
    const { initializer } = readModel(modelBytes(models(problem)[0]())).graph!;
    const w = initializer.find(({ name }) => name === 'w')!;
    assert.deepEqual(w.dims, [6n, 2n, 16n]);
    for (let row = 0; row < 6; row++)
      for (let i = 0; i < 64; i++) {
        const level = (w.rawData[row * 32 + (i >> 1)] >> ((i & 1) * 4)) & 15;
        assert.equal(level - 8, i < 40 ? problem.w[row * 40 + i] : 0);
      }
  });

  it('takes turns', async () => {
    const turns: string[] = [];
    const contender = (way: string, times: number[]): Contender => ({
      way,
      async run() {
        turns.push(way);
        return times.length > 1 ? times.shift()! : times[0];
      },
      output: async () => [],
      close: async () => {},
    });
    // The first turn of each is its warm-up, long enough to be the only one.
    const times = await compare(
      [contender('ours', [1e6, 10, 30, 20]), contender('theirs', [1e6, 40, 60, 50])],
      3,
      1,
    );
    assert.deepEqual(turns, ['ours', 'theirs', 'ours', 'theirs', 'ours', 'theirs', 'ours', 'theirs']);
    assert.deepEqual(times, [
      [10, 30, 20],
      [40, 60, 50],
    ]);
  });

  it('tells inexact results apart', () => {
    assert.deepEqual(differences([4, -8], [4, -8]), { differing: 0, difference: 0 });
    assert.deepEqual(differences([4, -8], [4, -6]), { differing: 0.5, difference: 0.25 });
    assert.ok(Number.isNaN(differences([4, -8], [Number.NaN, -8]).difference));
    assert.throws(() => differences([1], [1, 2]), /Expected 1 outputs but received 2/);
    const row: Row = {
      ...trial('gemm', '64x256x576', 'u8', 8),
      threads: 1,
      rival: 'oneDNN',
      version: '2.6.3 (avx2)',
      way: 'gemm:jit',
      isa: 'avx2',
      oursUs: 10,
      rivalUs: 5,
      ratio: 0.5,
      fastestRatio: 0.6,
      exact: false,
      differing: 0.99,
      difference: 0.14,
    };
    const text = report([row, { ...row, shape: '1x4096x4096', ratio: 2, exact: true, differing: 0 }], 15);
    assert.match(text, /\| gemm u8, 8 bits \| oneDNN \| 2 \| 1\.00 \| 0\.60 \| 0\.50 \| 1 \|/);
    assert.match(
      text,
      /\| oneDNN: gemm:jit \| 10\.00 \| 5\.00 \| 0\.50 \| 0\.60 \| inexact: 99\.0 % differ, by up to 14 % \|/,
    );
    assert.match(text, /\| 1x4096x4096 .* \| the same bits \|/);
  });

  it('says what to install where a C++ rival cannot be built', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-rivals-'));
    const compiler = process.env['CXX'];
    process.env['CXX'] = join(folder, 'no-compiler');
    try {
      assert.throws(() => buildProgram('onednn', folder), /apt-get install g\+\+ libdnnl-dev/);
      assert.throws(() => buildProgram('openblas', folder), /apt-get install g\+\+ libopenblas-dev/);
    } finally {
      if (compiler === undefined) delete process.env['CXX'];
      else process.env['CXX'] = compiler;
      rmSync(folder, { recursive: true });
    }
  });
});
