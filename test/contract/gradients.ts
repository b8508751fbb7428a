import assert from 'node:assert/strict';
import type { ConvShape, Kernels } from '../../lib/kernels/kernels.ts';
import { gradientRun } from '../../lib/kernels/math.ts';
import { CONVOLUTIONS, convShape } from './shapes.ts';
import { exactly, floats, fusedMultiplyAdd, LONG, normal, oracle, random, SIZES, same } from './support.ts';

/** The oracle's sums with fused multiply-adds, or of magnitudes. */
function fusedGradient(
  x: Float32Array,
  outGradient: Float32Array,
  s: ConvShape,
  gradient: Float32Array,
  multiplyAdd = fusedMultiplyAdd,
): void {
  const [channels, rows] = [s.inChannels / s.groups, s.outChannels / s.groups];
  const depth = s.kernelHeight * s.kernelWidth * channels;
  const positions = s.batch * s.outHeight * s.outWidth;
  const run = gradientRun(s);
  for (let n = 0; n < s.outChannels; n++)
    for (let k = 0; k < depth; k++) {
      const [tap, channel] = [Math.floor(k / channels), (k % channels) + Math.floor(n / rows) * channels];
      let total = 0;
      let sum = 0;
      for (let position = 0; position < positions; position++) {
        if (position % run === 0 && position > 0) {
          total = Math.fround(total + sum);
          sum = 0;
        }
        const [ox, line] = [position % s.outWidth, Math.floor(position / s.outWidth)];
        const [oy, image] = [line % s.outHeight, Math.floor(line / s.outHeight)];
        const iy = oy * s.strideHeight - s.padTop + Math.floor(tap / s.kernelWidth) * s.dilationHeight;
        const ix = ox * s.strideWidth - s.padLeft + (tap % s.kernelWidth) * s.dilationWidth;
        if (iy < 0 || iy >= s.inHeight || ix < 0 || ix >= s.inWidth) continue;
        const at = ((image * s.inHeight + iy) * s.inWidth + ix) * s.inChannels + channel;
        sum = multiplyAdd(x[at], outGradient[position * s.outChannels + n], sum);
      }
      gradient[n * depth + k] = Math.fround(total + sum);
    }
}

function gradientCase(kernels: Kernels, what: string, s: ConvShape): void {
  const next = random(s.inChannels * 3 + s.outChannels);
  const x = floats(s.batch * s.inHeight * s.inWidth * s.inChannels, normal(next));
  const g = floats(s.batch * s.outHeight * s.outWidth * s.outChannels, normal(next));
  const size = (s.outChannels * s.kernelHeight * s.kernelWidth * s.inChannels) / s.groups;
  const run = (k: Kernels) => {
    const gradient = new Float32Array(size).fill(9);
    k.floatConvGradient(x, g, s, gradient);
    return gradient;
  };
  const [actual, expected] = [run(kernels), new Float32Array(size)];
  fusedGradient(x, g, s, expected);
  if (kernels.fused) {
    same(actual, expected, `${what} (fused)`);
    return;
  }
  const magnitude = new Float32Array(size);
  fusedGradient(x.map(Math.abs), g.map(Math.abs), s, magnitude);
  const bound = (gradientRun(s) + 18) * 2 ** -24;
  for (let i = 0; i < size; i++)
    assert.ok(
      Math.abs(actual[i] - expected[i]) <= bound * magnitude[i],
      `${what} [${i}]: ${actual[i]} against ${expected[i]}`,
    );
  same(run(kernels), actual, `${what}, run again`);
}

const pointwise = { kernelHeight: 1, kernelWidth: 1, padTop: 0, padLeft: 0 };
/** Beside the contract's: several runs, whole vectors in place, a matrix, more weights than runs have room for. */
const MORE: Record<string, ConvShape> = {
  'several runs': convShape({ inChannels: 5, outChannels: 9, inHeight: 13, inWidth: 17, batch: 3 }),
  'several runs in place': convShape({
    ...pointwise,
    inChannels: 48,
    outChannels: 21,
    inHeight: 16,
    inWidth: 20,
  }),
  'several runs, depthwise': convShape({
    inChannels: 70,
    outChannels: 70,
    groups: 70,
    inHeight: 15,
    inWidth: 14,
    strideWidth: 2,
  }),
  matrix: convShape({ ...pointwise, batch: 1, inHeight: 1, inWidth: 70, inChannels: 33, outChannels: 10 }),
};

const CHANNELS = [1, 3, 16, 17, 64, 100];
const ROWS = [0, 1, 5, 1023, 1024, 1025, 2100];

export function gradients(kernels: () => Kernels): void {
  for (const [name, shape] of Object.entries({ ...CONVOLUTIONS, ...MORE }))
    it(`gradient of weights: ${name}`, () => gradientCase(kernels(), name, shape));

  it('sums, products and combinations per channel', () => {
    for (const channels of CHANNELS)
      for (const rows of ROWS) {
        const next = random(channels * 31 + rows);
        const [x, y] = [floats(rows * channels, normal(next)), floats(rows * channels, normal(next))];
        const [a, b, c] = [0, 1, 2].map(() => floats(channels, normal(next)));
        const what = `${rows} rows of ${channels}`;
        exactly(
          kernels(),
          () => new Float64Array(2 * channels),
          (k, out) => k.sumChannels(x, y, channels, out),
          what,
        );
        for (const [low, high] of [
          [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
          [0, 1],
        ])
          exactly(
            kernels(),
            () => new Float32Array(x.length),
            (k, out) => k.affineChannels(x, a, b, low, high, out),
            what,
          );
        exactly(
          kernels(),
          () => new Float32Array(x.length),
          (k, out) => k.combineChannels(x, y, a, b, c, out),
          what,
        );
      }
  });

  it('gradients of clamps and quantizers, also in place', () => {
    for (const n of [...SIZES, 65_536, 65_537, LONG]) {
      const next = random(n);
      const [x, g] = [floats(n, normal(next)), floats(n, normal(next))];
      for (let i = 0; i < n; i += 7) x[i] = [0, 1, 0.05, -0.05, 1e9, -1e9, 0.15][(i / 7) % 7];
      for (const [low, high] of [
        [0, Number.POSITIVE_INFINITY],
        [0, 1],
      ]) {
        exactly(
          kernels(),
          () => new Float32Array(n),
          (k, out) => k.clampGradient(x, g, low, high, out),
          `clamp ${n}`,
        );
        exactly(
          kernels(),
          () => g.slice(),
          (k, out) => k.clampGradient(x, out, low, high, out),
          `clamp in place ${n}`,
        );
      }
      for (const [scale, zeroPoint, low, high] of [
        [0.1, 0, -8, 7],
        [0.013, 128, 0, 255],
        [0.1, 0, 0, 3],
      ]) {
        let [actual, expected] = [0, 0];
        exactly(
          kernels(),
          () => g.slice(),
          (k, out) => {
            const sum = k.quantizeGradient(x, out, scale, zeroPoint, low, high, out);
            if (k === oracle) expected = sum;
            else actual = sum;
          },
          `quantize ${n}`,
        );
        if (kernels().backend !== 'reference') assert.equal(actual, expected, `scale ${n}`);
      }
    }
  });
}
