import assert from 'node:assert/strict';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import { CONVOLUTIONS, convShape } from './shapes.ts';
import {
  between,
  bytes,
  exactly,
  floats,
  LONG,
  LONGEST_FLOATS,
  normal,
  oracle,
  random,
  repeated,
  repeats,
  SIZES,
  same,
} from './support.ts';

/** Channels beyond whole vectors of every instruction set, and work for several threads. */
const WIDE_POOLS = Object.fromEntries(
  [32, 70, 100, 128].map((inChannels) => [
    `${inChannels} channels`,
    convShape({ batch: 2, inHeight: 19, inWidth: 20, inChannels, outChannels: inChannels, strideHeight: 2 }),
  ]),
);

export function elementwise(kernels: () => Kernels): void {
  it('add and clamp, in place too', () => {
    const next = random(11);
    for (const n of SIZES) {
      const [a, b] = [floats(n, normal(next)), floats(n, normal(next))];
      for (const [low, high] of [
        [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
        [0, Number.POSITIVE_INFINITY],
        [0, 1],
      ]) {
        exactly(
          kernels(),
          () => a.slice(),
          (k, out) => k.add(out, b, low, high, out),
          `add n=${n}`,
        );
        exactly(
          kernels(),
          () => a.slice(),
          (k, out) => k.clamp(out, low, high, out),
          `clamp n=${n}`,
        );
      }
    }
    exactly(
      kernels(),
      () => new Float32Array(3),
      (k, out) => k.clamp(new Float32Array([Number.NaN, -1, 7]), 0, 6, out),
      'clamp NaN',
    );
  });

  it('quantized add and lookup', () => {
    const next = random(12);
    for (const n of SIZES) {
      const [a, b] = [
        bytes('uint8', n, between(next, 0, 255)) as Uint8Array,
        bytes('uint8', n, between(next, 0, 255)) as Uint8Array,
      ];
      const table = Uint8Array.from({ length: 256 }, between(next, 0, 255));
      for (const [scaleOut, zero, low, high] of [
        [0.05, 128, 0, 255],
        [0.02, 0, 0, 15],
        [1e-4, 3, 0, 255],
      ])
        exactly(
          kernels(),
          () => new Uint8Array(n),
          (k, out) => k.quantizedAdd(a, 0.031, 120, b, 0.0457, 3, scaleOut, zero, low, high, out),
          `quantizedAdd n=${n}`,
        );
      exactly(
        kernels(),
        () => new Uint8Array(n),
        (k, out) => k.lookup(a, table, out),
        `lookup n=${n}`,
      );
    }
  });

  it('long arrays, on several threads and past the caches', () => {
    const next = random(14);
    const [x, y] = [floats(997, normal(next)), floats(997, normal(next))];
    const [a, b] = [x, y].map(() => bytes('uint8', 997, between(next, 0, 255)) as Uint8Array);
    const table = Uint8Array.from({ length: 256 }, between(next, 0, 255));
    const period = { floats: new Float32Array(997), bytes: new Uint8Array(997) };
    for (const n of [LONG, LONGEST_FLOATS]) {
      const out = floats(n, () => 0);
      const [wholeX, wholeY] = [repeated(x, n), repeated(y, n)];
      oracle.add(x, y, 0, 2, period.floats);
      kernels().add(wholeX, wholeY, 0, 2, out);
      repeats(out, period.floats, `add n=${n}`);
      kernels().add(wholeX, wholeY, 0, 2, wholeX);
      repeats(wholeX, period.floats, `add in place n=${n}`);
      oracle.clamp(y, -1, 1, period.floats);
      kernels().clamp(wholeY, -1, 1, out);
      repeats(out, period.floats, `clamp n=${n}`);
      kernels().clamp(wholeY, -1, 1, wholeY);
      repeats(wholeY, period.floats, `clamp in place n=${n}`);
    }
    const out = new Uint8Array(LONG);
    oracle.quantizedAdd(a, 0.031, 120, b, 0.0457, 3, 0.05, 128, 0, 255, period.bytes);
    kernels().quantizedAdd(
      repeated(a, LONG),
      0.031,
      120,
      repeated(b, LONG),
      0.0457,
      3,
      0.05,
      128,
      0,
      255,
      out,
    );
    repeats(out, period.bytes, 'quantizedAdd');
    oracle.lookup(a, table, period.bytes);
    kernels().lookup(repeated(a, LONG), table, out);
    repeats(out, period.bytes, 'lookup');
  });

  it('quantized add where float32 has too few bits for the sums', () => {
    const next = random(15);
    const [a, b] = [0, 0].map(() => bytes('uint8', 1000, between(next, 0, 255)) as Uint8Array);
    for (const [scaleA, scaleB, scaleOut, zero] of [
      [1e-9, 0.03, 0.03, 128],
      [0.03, 1e-12, 0.06, 255],
      [3e-7, 2e-7, 0.5, 0],
      [1e20, 1e-20, 1, 3],
    ])
      exactly(
        kernels(),
        () => new Uint8Array(1000),
        (k, out) => k.quantizedAdd(a, scaleA, 0, b, scaleB, 7, scaleOut, zero, 0, 255, out),
        `quantizedAdd ${scaleA} ${scaleB} ${scaleOut}`,
      );
  });

  it('copies between planes', () => {
    const next = random(13);
    const sizes = [
      [0, 3],
      [1, 1],
      [3, 7],
      [3, 16],
      [5, 17],
      [4, 64],
    ];
    for (const elements of [Float32Array, Uint8Array, Int8Array])
      for (const [rows, columns] of sizes)
        for (const [fromRow, fromColumn, toRow, toColumn] of [
          [columns + 2, 1, columns + 5, 1], // a part of each row
          [columns, 1, 1, rows], // transposed
          [columns, 1, 1, rows + 1],
          [2 * columns, 2, -columns, 1], // upside down
        ]) {
          const from = new elements(4 * (rows + 1) * (columns + 7)).map(() => Math.floor(next() * 100));
          const toAt = toRow < 0 ? rows * columns : 3;
          exactly(
            kernels(),
            () => new elements(from.length),
            (k, to) => k.copyPlane(from, to, rows, columns, 1, fromRow, fromColumn, toAt, toRow, toColumn),
            `${elements.name} ${rows}x${columns} by ${[fromRow, fromColumn, toRow, toColumn]}`,
          );
        }
  });

  it("quantized add rounds as onnxruntime's fused multiply-adds do", () => {
    // Scales, zero points and operands where any other order or rounding gives a neighbour; run in onnxruntime 1.30.
    for (const [scaleA, zeroA, scaleB, zeroB, scaleOut, zero, a, b, expected] of [
      [0.047, 114, 0.059, 47, 0.112, 110, 0, 97, 88],
      [0.086, 154, 0.04, 27, 0.108, 246, 1, 9, 118],
      [0.066, 235, 0.049, 184, 0.11, 249, 1, 195, 113],
      [0.076, 69, 0.023, 247, 0.084, 42, 36, 241, 10],
      [0.079, 222, 0.021, 97, 0.108, 42, 135, 216, 2],
      [0.045, 186, 0.089, 196, 0.156, 230, 4, 196, 177],
    ]) {
      // 17: whole vectors and a tail.
      const [x, y, out] = [a, b, 0].map((value) => new Uint8Array(17).fill(value));
      const [sa, sb, so] = [scaleA, scaleB, scaleOut].map(Math.fround);
      kernels().quantizedAdd(x, sa, zeroA, y, sb, zeroB, so, zero, 0, 255, out);
      assert.deepEqual([...out], new Array(17).fill(expected));
    }
  });

  it('pools', () => {
    const next = random(13);
    for (const [name, s] of Object.entries({ ...CONVOLUTIONS, ...WIDE_POOLS })) {
      const shape = { ...s, outChannels: s.inChannels, groups: 1 };
      const inputs = s.batch * s.inHeight * s.inWidth * s.inChannels;
      const outputs = s.batch * s.outHeight * s.outWidth * s.inChannels;
      const x = floats(inputs, normal(next));
      const q = bytes('uint8', inputs, between(next, 0, 255)) as Uint8Array;
      exactly(
        kernels(),
        () => new Float32Array(outputs),
        (k, out) => k.maxPool(x, shape, out),
        `maxPool ${name}`,
      );
      exactly(
        kernels(),
        () => new Uint8Array(outputs),
        (k, out) => k.quantizedMaxPool(q, shape, out),
        `quantizedMaxPool ${name}`,
      );
      for (const padding of [true, false])
        exactly(
          kernels(),
          () => new Float32Array(outputs),
          (k, out) => k.averagePool(x, shape, padding, out),
          `averagePool ${name}`,
        );
    }
    for (const [batch, pixels, channels] of [
      [2, 49, 17],
      [1, 64, 64],
      [3, 1, 5],
      [2, 9, 100],
      [8, 400, 160],
      [0, 4, 4],
    ]) {
      const a = bytes('uint8', batch * pixels * channels, between(next, 0, 255)) as Uint8Array;
      exactly(
        kernels(),
        () => new Uint8Array(batch * channels),
        (k, out) => k.quantizedGlobalAverage(a, batch, channels, 9, 1.7 / pixels, 4, 0, 255, out),
        `quantizedGlobalAverage ${batch}x${pixels}x${channels}`,
      );
    }
  });
}

export function statistics(kernels: () => Kernels): void {
  it('moments, histogram, errors', () => {
    const next = random(21);
    for (const n of SIZES) {
      const [a, b] = [floats(n, normal(next)), floats(n, normal(next))];
      const relu = floats(n, () => Math.max(0, normal(next)()));
      exactly(
        kernels(),
        () => new Float64Array(6),
        (k, out) => k.moments(a, out),
        `moments n=${n}`,
      );
      for (const [x, bins, low, high] of [
        [a, 2048, -3, 3],
        [a, 7, -0.5, 0.25],
        [relu, 2048, 0, 2],
        [relu, 1, 0, 1],
      ] as const)
        exactly(
          kernels(),
          () => new Float64Array(bins).fill(2),
          (k, out) => k.histogram(x, low, high, out),
          `histogram n=${n} bins=${bins}`,
        );
      assert.equal(kernels().squaredError(a, b), oracle.squaredError(a, b), `squaredError n=${n}`);
      const importance = floats(n, next);
      for (const weight of [null, importance])
        for (const [scale, zeroPoint, low, high] of [
          [0.1, 0, -8, 7],
          [0.013, 128, 0, 255],
          [1e-6, 0, -2, 1],
          [1e-30, 0, -8, 7],
          [1e30, 3, 0, 15],
        ])
          assert.equal(
            kernels().quantizeError(a, weight, scale, zeroPoint, low, high),
            oracle.quantizeError(a, weight, scale, zeroPoint, low, high),
            `quantizeError n=${n} scale=${scale}`,
          );
    }
  });

  it('quantizeError of values below, around and far beyond twice the outermost levels', () => {
    const next = random(26);
    for (const [zeroPoint, low, high] of [
      [0, -8, 7],
      [0, -4, 3],
      [0, -1, 0],
      [0, 0, 0],
      [3, 0, 15],
      [-20, -8, 7],
      [100, 0, 15],
    ])
      for (const scale of [0.1, 0.037, 1, 1e-42, 1e35])
        for (const reach of [0, 0.5, 1, 1000])
          for (const n of [1, 33, 1000]) {
            const outermost = [low - zeroPoint, high - zeroPoint].map((level) => 2 * level * scale);
            const x = floats(n, (i) => {
              if (i % 3) return (low - zeroPoint + next() * (high - low)) * scale;
              return (
                outermost[i % 2] *
                (reach === 1 ? 1 + (Math.floor(next() * 5) - 2) * 2 ** -23 : reach * next())
              );
            });
            for (const weight of [null, floats(n, next)])
              assert.equal(
                kernels().quantizeError(x, weight, scale, zeroPoint, low, high),
                oracle.quantizeError(x, weight, scale, zeroPoint, low, high),
                `${low}..${high} zero point ${zeroPoint} scale ${scale} n=${n} reach=${reach}`,
              );
          }
  });

  it('long arrays, on several threads', () => {
    const next = random(25);
    const x = floats(LONG, normal(next));
    const relu = x.map((value) => Math.max(0, value));
    for (const [values, low, high] of [
      [x, -3, 3],
      [relu, 0, 3],
    ] as const)
      exactly(
        kernels(),
        () => new Float64Array(2048).fill(5),
        (k, out) => k.histogram(values, low, high, out),
        'histogram',
      );
    // More of one bin than tables of 16 bits hold.
    const counts = new Float64Array(9);
    kernels().histogram(new Float32Array(1_500_001).fill(0.5), 0, 1, counts);
    assert.deepEqual([...counts], [0, 0, 0, 0, 1_500_001, 0, 0, 0, 0]);
    const outcome = (k: Kernels) => {
      const into = new Float64Array(6);
      k.moments(x, into);
      return [...into, k.squaredError(x, relu), k.quantizeError(x, relu, 0.05, 0, -128, 127)];
    };
    assert.deepEqual(outcome(kernels()), outcome(oracle));
  });

  it('divergence', () => {
    const next = random(22);
    for (const n of SIZES.filter((size) => size > 0)) {
      const p = Float64Array.from({ length: n }, between(next, 0, 50));
      const q = Float64Array.from({ length: n }, between(next, 0, 50));
      p[0] = q[0] = 1;
      for (const smoothing of [1e-6, 0.5])
        assert.equal(kernels().divergence(p, q, smoothing), oracle.divergence(p, q, smoothing), `n=${n}`);
      assert.equal(kernels().divergence(p, p, 0), 0);
    }
    assert.equal(
      kernels().divergence(new Float64Array([1, 1]), new Float64Array([1, 0]), 0),
      Number.POSITIVE_INFINITY,
    );
    assert.ok(
      Math.abs(
        kernels().divergence(new Float64Array([1, 3]), new Float64Array([1, 1]), 0) -
          (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5)),
      ) < 1e-15,
    );
  });

  it('gram', () => {
    const next = random(23);
    const matrix = convShape({
      batch: 1,
      inHeight: 1,
      inWidth: 37,
      inChannels: 130,
      outChannels: 1,
      kernelHeight: 1,
      kernelWidth: 1,
      padTop: 0,
      padLeft: 0,
    });
    for (const [name, s] of Object.entries({ ...CONVOLUTIONS, matrix })) {
      const k = (s.kernelHeight * s.kernelWidth * s.inChannels) / s.groups;
      const x = floats(s.batch * s.inHeight * s.inWidth * s.inChannels, normal(next));
      for (const [first, step] of [
        [0, 1],
        [2, 3],
      ])
        exactly(
          kernels(),
          () => new Float64Array(s.groups * k * k).fill(0.5),
          (backend, out) => backend.gram(x, s, first, step, out),
          `${name} ${first}+${step}`,
        );
    }
  });

  it('rounding with the Hessian', () => {
    const next = random(24);
    for (const [rows, k] of [
      [1, 1],
      [3, 9],
      [5, 16],
      [7, 33],
      [4, 130],
    ]) {
      const w = Float64Array.from({ length: rows * k }, normal(next));
      const u = Float64Array.from({ length: k * k }, (_, i) =>
        i % k < Math.trunc(i / k) ? 0 : i % k === Math.trunc(i / k) ? 0.5 + next() : (next() - 0.5) * 0.2,
      );
      const scales = Float32Array.from({ length: rows }, () => 0.05 + next() * 0.3);
      for (const [low, high] of [
        [-8, 7],
        [-2, 1],
        [-128, 127],
      ])
        for (const [first, last] of [
          [0, rows],
          [1, rows],
        ]) {
          const outcome = (backend: Kernels) => {
            const error = w.slice();
            const q = new Int8Array(rows * k);
            backend.roundWithHessian(error, scales, u, first, last, low, high, q);
            return { error, q };
          };
          const [actual, expected] = [outcome(kernels()), outcome(oracle)];
          same(actual.q, expected.q, `integers ${rows}x${k}`);
          same(actual.error, expected.error, `errors ${rows}x${k}`);
        }
    }
  });
}
