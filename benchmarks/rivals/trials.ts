import type { ConvShape, WeightsShape } from '../../lib/kernels/kernels.ts';

/**
 * What is compared with rivals: one list. Activations have zero point 0 and weights one scale per output channel
 * on both sides, biases where the rival's operator has them.
 */
export type Op =
  /** Bytes in, int32 sums out. */
  | 'gemm'
  /** Bytes in, bytes out: the sums requantized. */
  | 'gemm-requantize'
  /** Float in, float out, weights of few bits; ours quantizes the activations to bytes first, inside the time. */
  | 'gemm-float-io'
  /** Bytes in, bytes out. */
  | 'conv'
  | 'float-gemm'
  | 'float-conv'
  | 'quantize'
  | 'dequantize'
  | 'add';

export type Activations = 'u8' | 's8' | 'f32';

export interface Trial {
  op: Op;
  /** `MxNxK`, `[dw]KxK[sS]_HxWxC_OUT` (size and channels of the input), or a number of elements. */
  shape: string;
  backend: 'native' | 'wasm';
  activations: Activations;
  /** Width of our weights (of the bytes, where there are no weights); 32 is float. */
  bits: number;
}

export interface GemmShape {
  m: number;
  n: number;
  k: number;
}

/** Shapes of ../shared/design/kernels.md: ResNet layers as matrices, square ones, a thin one, one row. */
const GEMMS = [
  '64x256x576',
  '196x256x2304',
  '784x128x1152',
  '3136x64x576',
  '256x256x256',
  '1024x1024x1024',
  '12544x32x144',
];
const ROW = '1x4096x4096';
const CONVS = [
  '3x3_56x56x64_64',
  '3x3_28x28x128_128',
  '3x3_14x14x256_256',
  '3x3_7x7x512_512',
  '1x1_56x56x64_256',
  '3x3_32x32x16_16',
  '3x3s2_224x224x3_32',
  'dw3x3_112x112x32',
  'dw3x3_56x56x128',
  'dw3x3_14x14x512',
];
/** 256 KB and 64 MB of float32: within the cache and far outside it. */
const LENGTHS = ['65536', '16777216'];
/** What is left is the call itself. */
const CALL = '64';

function trialsOf(backend: Trial['backend']): Trial[] {
  const of = (op: Op, activations: Activations, bits: number, shapes: readonly string[]): Trial[] =>
    shapes.map((shape) => ({ op, shape, backend, activations, bits }));
  return [
    ...of('gemm', 'u8', 8, [...GEMMS, ROW]),
    // Where rivals without VNNI are exact too: at 8 bits they let sums of two products saturate.
    ...of('gemm', 'u8', 7, [...GEMMS, ROW]),
    ...of('gemm', 's8', 8, [...GEMMS, ROW]),
    ...of('gemm-requantize', 'u8', 8, GEMMS),
    ...of('gemm-requantize', 's8', 8, GEMMS),
    ...of('gemm-float-io', 'f32', 4, [...GEMMS, ROW]),
    ...of('gemm-float-io', 'f32', 8, [ROW]),
    ...of('gemm-float-io', 'f32', 2, [ROW]),
    ...of('conv', 'u8', 8, CONVS),
    ...of('conv', 'u8', 4, CONVS),
    ...of('conv', 's8', 8, CONVS),
    ...of('float-gemm', 'f32', 32, [...GEMMS, ROW]),
    ...of('float-conv', 'f32', 32, CONVS),
    ...of('quantize', 'f32', 8, [...LENGTHS, CALL]),
    ...of('dequantize', 'f32', 8, [...LENGTHS, CALL]),
    ...of('add', 'f32', 32, [CALL]),
  ];
}

export const trials: readonly Trial[] = [
  ...trialsOf('native'),
  // WASM would hold 64 MB twice over: its memory, not its kernels, would be compared.
  ...trialsOf('wasm').filter(({ shape }) => shape !== LENGTHS[1]),
];

/** Whether its outputs are integers, of which only one value is right. */
export function integers({ op }: Trial): boolean {
  return op === 'gemm' || op === 'gemm-requantize' || op === 'conv' || op === 'quantize';
}

/** What `--filter` is matched against. */
export function trialName({ backend, op, activations, bits, shape }: Trial): string {
  return `${backend} ${op} ${activations} ${bits} bits ${shape}`;
}

export function gemmShape(text: string): GemmShape {
  const [m, n, k] = text.split('x').map(Number);
  return { m, n, k };
}

/** Padded so that stride 1 keeps the size. */
export function convShape(text: string): ConvShape {
  const found = /^(dw)?(\d+)x(\d+)(?:s(\d+))?_(\d+)x(\d+)x(\d+)(?:_(\d+))?$/.exec(text);
  if (found === null) throw new Error(`Expected a shape such as 3x3_56x56x64_64 but received ${text}.`);
  const [kernelHeight, kernelWidth, stride = 1, inHeight, inWidth, inChannels, out] = found
    .slice(2)
    .map((digits) => (digits === undefined ? undefined : Number(digits))) as number[];
  const [padTop, padLeft] = [(kernelHeight - 1) >> 1, (kernelWidth - 1) >> 1];
  const sizeOut = (size: number, pad: number, kernel: number) =>
    Math.floor((size + 2 * pad - kernel) / stride) + 1;
  return {
    batch: 1,
    inHeight,
    inWidth,
    inChannels,
    outHeight: sizeOut(inHeight, padTop, kernelHeight),
    outWidth: sizeOut(inWidth, padLeft, kernelWidth),
    outChannels: out ?? inChannels,
    kernelHeight,
    kernelWidth,
    strideHeight: stride,
    strideWidth: stride,
    dilationHeight: 1,
    dilationWidth: 1,
    padTop,
    padLeft,
    groups: found[1] === undefined ? 1 : inChannels,
  };
}

/** Weights of a trial's matrix or convolution. */
export function weightsShape({ op, shape, bits }: Trial): WeightsShape {
  if (op === 'conv' || op === 'float-conv') {
    const conv = convShape(shape);
    return {
      outChannels: conv.outChannels,
      taps: conv.kernelHeight * conv.kernelWidth,
      channels: conv.inChannels / conv.groups,
      groups: conv.groups,
      bits,
    };
  }
  const { n, k } = gemmShape(shape);
  return { outChannels: n, taps: 1, channels: k, groups: 1, bits };
}
