import type { Kernels } from '../../lib/kernels/kernels.ts';
import {
  BITS,
  between,
  bytes,
  exactly,
  floats,
  LONG,
  LONGEST_BYTES,
  LONGEST_FLOATS,
  normal,
  oracle,
  random,
  repeated,
  repeats,
  SIZES,
  same,
  signedRange,
} from './support.ts';

export function quantizing(kernels: () => Kernels): void {
  const special = [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
    -0,
    1e30,
    -1e30,
    0.5,
    1.5,
    -0.5,
    -2.5,
    1e-42,
  ];

  it('quantize, dequantize', () => {
    const next = random(1);
    for (const n of SIZES)
      for (const [type, low, high, zeroPoint] of [
        ['int8', -128, 127, 0],
        ['uint8', 0, 255, 128],
        ['uint8', 0, 15, 3],
        ['int8', -4, 3, 0],
        ['uint8', 0, 100, 200],
      ] as const)
        for (const scale of [1, 0.037, 3e-8, 1e-42, 1e25]) {
          const x = floats(n, (i) => special[i % 29] ?? normal(next)() * scale * 40);
          const q = bytes(type, n, () => 0);
          exactly(
            kernels(),
            () => bytes(type, n, () => 77),
            (k, out) => k.quantize(x, scale, zeroPoint, low, high, out),
            `quantize ${type} n=${n} scale=${scale}`,
          );
          oracle.quantize(x, scale, zeroPoint, low, high, q);
          exactly(
            kernels(),
            () => floats(n, () => 7),
            (k, out) => k.dequantize(q, scale, zeroPoint, out),
            `dequantize ${type} n=${n}`,
          );
        }
  });

  it('quantizes halves and their neighbours as a division does', () => {
    const next = random(4);
    const [single, word] = [new Float32Array(1), new Int32Array(1)];
    const view = new Int32Array(single.buffer);
    for (let round = 0; round < 200; round++) {
      // Every significand of 24 bits, and scales whose reciprocals round worst: just above and below powers of two.
      const near = 1 + (Math.floor(next() * 9) - 4) * 2 ** -23;
      const scale = Math.fround((round % 2 ? 1 + next() : near) * 2 ** (Math.floor(next() * 40) - 20));
      const x = floats(511 * 5, () => 0);
      for (let i = 0; i < x.length; i++) {
        single[0] = (Math.floor(i / 5) - 254.5) * scale;
        word[0] = view[0] + (i % 5) - 2;
        x[i] = new Float32Array(word.buffer)[0];
      }
      exactly(
        kernels(),
        () => new Uint8Array(x.length),
        (k, out) => k.quantize(x, scale, 128, 0, 255, out),
        `halves of ${scale}`,
      );
      exactly(
        kernels(),
        () => new Float64Array(1),
        (k, out) => out.set([k.quantizeError(x, null, scale, 0, -128, 127)]),
        `error at halves of ${scale}`,
      );
    }
  });

  it('long arrays, on several threads and past the caches', () => {
    const next = random(5);
    const x = floats(997, (i) => special[i % 101] ?? normal(next)());
    const [q, back] = [new Uint8Array(x.length), new Float32Array(x.length)];
    oracle.quantize(x, 0.037, 128, 0, 255, q);
    oracle.dequantize(q, 0.037, 128, back);
    for (const [n, offset] of [
      [LONG, 3],
      [LONGEST_BYTES, 0],
      [LONGEST_BYTES, 5],
    ]) {
      const out = bytes('uint8', n, () => 0, offset);
      kernels().quantize(repeated(x, n), 0.037, 128, 0, 255, out);
      repeats(out, q, `quantize n=${n}+${offset}`);
    }
    for (const n of [LONG, LONGEST_FLOATS]) {
      const out = floats(n, () => 0);
      kernels().dequantize(repeated(q, n), 0.037, 128, out);
      repeats(out, back, `dequantize n=${n}`);
    }
    for (const bits of [3, 8]) {
      const values = bytes('int8', LONG, between(next, ...signedRange(bits)));
      const packed = new Uint8Array(Math.ceil((LONG * bits) / 8));
      exactly(
        kernels(),
        () => packed.slice(),
        (k, out) => k.pack(values, bits, out),
        `pack ${bits} n=${LONG}`,
      );
      oracle.pack(values, bits, packed);
      exactly(
        kernels(),
        () => new Int8Array(LONG),
        (k, out) => k.unpack(packed, bits, out),
        `unpack ${bits} n=${LONG}`,
      );
    }
  });

  it('per channel', () => {
    const next = random(2);
    for (const [outer, channels, inner] of [
      [1, 5, 9],
      [3, 17, 1],
      [2, 16, 33],
      [4, 1, 7],
      [0, 3, 3],
      [50, 3, 1],
      [9, 64, 1],
      [5, 100, 1],
      [1, 3, 1000],
      [40_000, 7, 1],
      [300, 5, 144],
    ]) {
      const n = outer * channels * inner;
      const x = floats(n, (i) => special[i % 41] ?? normal(next)());
      const scales = Float32Array.from({ length: channels }, () => next() * 0.1 + 1e-3);
      const zeroPoints = Int32Array.from({ length: channels }, () => Math.floor(next() * 256));
      const q = bytes('uint8', n, between(next, 0, 255));
      const what = `${outer}x${channels}x${inner}`;
      exactly(
        kernels(),
        () => bytes('uint8', n, () => 9),
        (k, out) => k.quantizeChannels(x, scales, zeroPoints, inner, 0, 255, out),
        `quantizeChannels ${what}`,
      );
      exactly(
        kernels(),
        () => floats(n, () => 9),
        (k, out) => k.dequantizeChannels(q, scales, zeroPoints, inner, out),
        `dequantizeChannels ${what}`,
      );
    }
  });

  it('pack and unpack every width', () => {
    const next = random(3);
    for (const n of SIZES)
      for (const bits of BITS)
        for (const type of ['int8', 'uint8'] as const) {
          const [low, high] = type === 'int8' ? signedRange(bits) : [0, 2 ** bits - 1];
          const q = bytes(type, n, between(next, low, high));
          const size = Math.ceil((n * bits) / 8);
          exactly(
            kernels(),
            () => bytes('uint8', size, () => 255) as Uint8Array,
            (k, out) => k.pack(q, bits, out),
            `pack ${type} ${bits} n=${n}`,
          );
          const packed = new Uint8Array(size);
          oracle.pack(q, bits, packed);
          const back = bytes(type, n, () => 1);
          kernels().unpack(packed, bits, back);
          same(back, q, `unpack ${type} ${bits} n=${n}`);
        }
  });
}
