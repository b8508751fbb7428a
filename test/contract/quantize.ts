import type { Kernels } from '../../lib/kernels/kernels.ts';
import {
  BITS,
  between,
  bytes,
  exactly,
  floats,
  normal,
  oracle,
  random,
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
      ] as const)
        for (const scale of [1, 0.037, 3e-8]) {
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

  it('per channel', () => {
    const next = random(2);
    for (const [outer, channels, inner] of [
      [1, 5, 9],
      [3, 17, 1],
      [2, 16, 33],
      [4, 1, 7],
      [0, 3, 3],
    ]) {
      const n = outer * channels * inner;
      const x = floats(n, normal(next));
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
