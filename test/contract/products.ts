import assert from 'node:assert/strict';
import type { ByteArray, ConvShape, Kernels, WeightsShape } from '../../lib/kernels/kernels.ts';
import { CONVOLUTIONS, convShape, MATRICES, weightsOf } from './shapes.ts';
import {
  BITS,
  between,
  bytes,
  EMULATED_ISA,
  exactly,
  floats,
  fusedMultiplyAdd,
  normal,
  random,
  same,
  signedRange,
} from './support.ts';

type Out = Int32Array | Float32Array | ByteArray;
const OUTPUTS: [string, (n: number) => Out, number, number, number][] = [
  ['int32', (n) => new Int32Array(n), 0, 0, 0],
  ['float32', (n) => new Float32Array(n), 0, 0, 0],
  ['uint8', (n) => bytes('uint8', n, () => 1), 7, 0, 255],
  ['uint8 clamped', (n) => bytes('uint8', n, () => 1), 3, 2, 15],
  ['int8', (n) => bytes('int8', n, () => 1), -5, -128, 127],
];
const EPILOGUES = OUTPUTS.flatMap((output) => [true, false].map((hasBias) => ({ output, hasBias })));
const anyEpilogue = random(1);

/**
 * Random values; or all at their extremes, so that sums and epilogues saturate; or all of the largest size, so that sums
 * are as far from zero as they get; or as training leaves them, small with a few large ones, whose pairs of products
 * alone pass 16 bits.
 */
type Values = 'random' | 'saturating' | 'largest' | 'trained';
/** The deepest that int32 holds with weights of 8 bits. */
const DEEP = 65_793;
/** How many of trained weights are large. */
const LARGE = 0.003;

/** One integer case. */
function integerCase(
  kernels: Kernels,
  what: string,
  s: ConvShape | null,
  weights: WeightsShape,
  m: number,
  type: 'int8' | 'uint8',
  values: Values = 'random',
): void {
  const extreme = values === 'saturating';
  const next = random(weights.outChannels * 31 + weights.bits);
  const [low, high] = signedRange(weights.bits);
  const n = weights.outChannels;
  const inputs = s ? s.batch * s.inHeight * s.inWidth * s.inChannels : m * weights.channels;
  const outputs = s ? s.batch * s.outHeight * s.outWidth * s.outChannels : m * n;
  const [least, most] = type === 'int8' ? [-128, 127] : [0, 255];
  const activations = {
    random: between(next, least, most),
    saturating: () => (next() < 0.9 ? most : least),
    largest: () => (type === 'int8' ? least : most),
    trained: between(next, least, most),
  }[values];
  const a = bytes(type, inputs, activations);
  const small = between(next, low / 2, (high - 1) / 2);
  const trained = () => (next() < LARGE ? (next() < 0.5 ? low : high) : Math.trunc(small()));
  const drawn = { random: between(next, low, high), saturating: () => low, largest: () => high, trained }[
    values
  ];
  const q = bytes('int8', n * weights.taps * weights.channels, drawn) as Int8Array;
  const zeroPoint = extreme ? least : Math.floor(next() * (most - least + 1)) + least;
  const bias = Int32Array.from({ length: n }, between(next, -5000, 5000));
  const multipliers = Float32Array.from(
    { length: n },
    () => (0.5 + next()) / (40 * Math.sqrt(weights.taps * weights.channels) * (high + 1)),
  );
  const packedFor = (k: Kernels) => {
    const packed = k.arena.allocate(k.weightsSize(weights)).bytes();
    k.packWeights(q, weights, packed);
    return packed;
  };
  const epilogues =
    EMULATED_ISA || values === 'largest'
      ? [EPILOGUES[Math.floor(anyEpilogue() * EPILOGUES.length)]]
      : EPILOGUES;
  for (const { output, hasBias } of epilogues) {
    const [name, make, outZeroPoint, lowest, highest] = output;
    const withBias = hasBias ? bias : null;
    exactly(
      kernels,
      () => make(outputs),
      (k, out) => {
        const packed = packedFor(k);
        if (s)
          k.conv(a, packed, weights, s, zeroPoint, withBias, multipliers, outZeroPoint, lowest, highest, out);
        else
          k.gemm(a, packed, weights, m, zeroPoint, withBias, multipliers, outZeroPoint, lowest, highest, out);
      },
      `${what} ${type} ${weights.bits} bits -> ${name}${withBias ? ' + bias' : ''}`,
    );
  }
}

export function integers(kernels: () => Kernels): void {
  it('integer GEMM, every width, output and sign', () => {
    for (const [m, n, k] of MATRICES)
      for (const bits of BITS)
        for (const type of ['uint8', 'int8'] as const) {
          const weights = { outChannels: n, taps: 1, channels: k, groups: 1, bits };
          integerCase(kernels(), `${m}x${n}x${k}`, null, weights, m, type);
          if (bits === 8 || bits === 4 || bits === 2)
            integerCase(kernels(), `${m}x${n}x${k} saturating`, null, weights, m, type, 'saturating');
          if (bits === 8) integerCase(kernels(), `${m}x${n}x${k} trained`, null, weights, m, type, 'trained');
        }
  }).timeout(600_000);

  it('integer GEMM of few rows, as deep as sums can be', () => {
    for (const bits of BITS) {
      const weights = { outChannels: 32, taps: 1, channels: DEEP, groups: 1, bits };
      integerCase(kernels(), `1x32x${DEEP}`, null, weights, 1, 'int8', 'largest');
    }
  }).timeout(600_000);

  for (const [name, shape] of Object.entries(CONVOLUTIONS))
    it(`integer convolution: ${name}`, () => {
      for (const bits of [8, 5, 4, 3, 2])
        for (const type of ['uint8', 'int8'] as const) {
          integerCase(kernels(), name, shape, weightsOf(shape, bits), 0, type);
          if (bits !== 8) continue;
          integerCase(kernels(), `${name} saturating`, shape, weightsOf(shape, bits), 0, type, 'saturating');
          integerCase(kernels(), `${name} trained`, shape, weightsOf(shape, bits), 0, type, 'trained');
        }
    });

  it('packed weights shrink with their width', () => {
    const size = (bits: number) =>
      kernels().weightsSize({ outChannels: 64, taps: 9, channels: 64, groups: 1, bits });
    for (const bits of [2, 3, 4, 5, 6, 7])
      assert.ok(
        size(bits) < size(bits + 1),
        `${bits} bits: ${size(bits)} bytes, ${bits + 1} bits: ${size(bits + 1)}`,
      );
  });
}

/** The fused contract's own oracle: one accumulator, k ascending, each step rounded once. */
function fusedConv(
  a: Float32Array,
  w: Float32Array,
  weights: WeightsShape,
  s: ConvShape,
  bias: Float32Array | null,
  low: number,
  high: number,
  out: Float32Array,
): void {
  const perGroup = s.outChannels / s.groups;
  let index = 0;
  for (let b = 0; b < s.batch; b++)
    for (let oy = 0; oy < s.outHeight; oy++)
      for (let ox = 0; ox < s.outWidth; ox++)
        for (let n = 0; n < s.outChannels; n++) {
          let acc = 0;
          for (let tap = 0; tap < weights.taps; tap++) {
            const y = oy * s.strideHeight - s.padTop + Math.trunc(tap / s.kernelWidth) * s.dilationHeight;
            const x = ox * s.strideWidth - s.padLeft + (tap % s.kernelWidth) * s.dilationWidth;
            if (y < 0 || y >= s.inHeight || x < 0 || x >= s.inWidth) continue;
            const at =
              ((b * s.inHeight + y) * s.inWidth + x) * s.inChannels +
              Math.trunc(n / perGroup) * weights.channels;
            for (let c = 0; c < weights.channels; c++)
              acc = fusedMultiplyAdd(a[at + c], w[(n * weights.taps + tap) * weights.channels + c], acc);
          }
          out[index++] = Math.min(Math.max(Math.fround(acc + (bias ? bias[n] : 0)), low), high);
        }
}

function floatCase(kernels: Kernels, what: string, s: ConvShape, weights: WeightsShape, gemm: boolean): void {
  const next = random(s.inChannels * 7 + s.outChannels);
  const a = floats(s.batch * s.inHeight * s.inWidth * s.inChannels, normal(next));
  const w = floats(s.outChannels * weights.taps * weights.channels, normal(next));
  const bias = floats(s.outChannels, normal(next));
  for (const [low, high] of [
    [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    [0, 6],
  ])
    for (const withBias of [bias, null]) {
      const run = (k: Kernels) => {
        const packed = k.arena.allocate(k.floatWeightsSize(weights)).bytes();
        k.packFloatWeights(w, weights, packed);
        const out = new Float32Array(s.batch * s.outHeight * s.outWidth * s.outChannels).fill(9);
        if (gemm) k.floatGemm(a, packed, weights, s.inWidth, withBias, low, high, out);
        else k.floatConv(a, packed, weights, s, withBias, low, high, out);
        return out;
      };
      const actual = run(kernels);
      const expected = new Float32Array(actual.length);
      fusedConv(a, w, weights, s, withBias, low, high, expected);
      if (kernels.fused) same(actual, expected, `${what} (fused)`);
      else {
        const magnitude = new Float32Array(actual.length);
        fusedConv(
          a.map(Math.abs),
          w.map(Math.abs),
          weights,
          s,
          withBias?.map(Math.abs) ?? null,
          0,
          Number.POSITIVE_INFINITY,
          magnitude,
        );
        const bound = (weights.taps * weights.channels + 2) * 2 ** -24;
        for (let i = 0; i < actual.length; i++)
          assert.ok(
            Math.abs(actual[i] - expected[i]) <= bound * magnitude[i],
            `${what} [${i}]: ${actual[i]} against ${expected[i]}`,
          );
        same(run(kernels), actual, `${what}, run again`);
      }
    }
}

export function floating(kernels: () => Kernels): void {
  it('float GEMM', () => {
    for (const [m, n, k] of MATRICES) {
      const weights = { outChannels: n, taps: 1, channels: k, groups: 1, bits: 8 };
      const shape = convShape({
        batch: 1,
        inHeight: 1,
        inWidth: Math.max(m, 1),
        inChannels: k,
        outChannels: n,
        kernelHeight: 1,
        kernelWidth: 1,
        padTop: 0,
        padLeft: 0,
      });
      floatCase(
        kernels(),
        `${m}x${n}x${k}`,
        m === 0 ? { ...shape, inWidth: 0, outWidth: 0 } : shape,
        weights,
        true,
      );
    }
  });
  for (const [name, shape] of Object.entries(CONVOLUTIONS))
    it(`float convolution: ${name}`, () => floatCase(kernels(), name, shape, weightsOf(shape, 8), false));
}
