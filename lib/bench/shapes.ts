import { refuse } from '../errors.ts';
import type { ConvShape } from '../kernels/kernels.ts';
import type { NamedSubject } from './trial.ts';

/** Shapes that are measured when none are asked for: those that others' numbers are published for. */

/** [m, n, k]: products of the layers of ResNets, a cube, a large cube, and a shallow one of many rows. */
const MATRICES: [number, number, number][] = [
  [256, 256, 256],
  [196, 256, 2304],
  [12_544, 32, 144],
  [64, 256, 576],
  [3136, 64, 576],
  [784, 128, 1152],
  [1024, 1024, 1024],
];
/** How many of MATRICES, VECTORS, ... the quick selection takes. */
const QUICK = { matrices: 4, vectors: 1, windows: 4, depthwise: 1 };

/** [n, k]: one row; the first does not fit the caches nearest to the core, the second does. */
const VECTORS: [number, number][] = [
  [4096, 4096],
  [512, 1024],
];

/** [kernel, stride, height, width, channels, outputs], padded to keep the size. */
const WINDOWS: [number, number, number, number, number, number][] = [
  [3, 1, 14, 14, 256, 256],
  [3, 1, 32, 32, 16, 16],
  [3, 2, 224, 224, 3, 32],
  [1, 1, 56, 56, 64, 256],
  [3, 1, 56, 56, 64, 64],
  [3, 1, 28, 28, 128, 128],
  [3, 1, 7, 7, 512, 512],
  [3, 1, 32, 32, 3, 16],
];
/** [stride, height, width, channels], 3x3. */
const DEPTHWISE: [number, number, number, number][] = [
  [1, 112, 112, 32],
  [1, 56, 56, 128],
  [2, 112, 112, 64],
  [1, 14, 14, 512],
];

/** Within the second-level cache of most processors, and beyond every cache. */
const SMALL_BYTES = 256 * 1024;
const LARGE_BYTES = 64 * 1024 * 1024;
/** Elements of the call that is all overhead. */
const CALL_ELEMENTS = 64;

export const matrixSubject = (m: number, n: number, k: number): NamedSubject => ({
  name: `${m}x${n}x${k}`,
  subject: { kind: 'matrix', m, n, k },
});

/** `256x256x256` is M x N x K. Throws INVALID_ARGUMENT. */
export function parseMatrix(text: string): NamedSubject {
  const match = /^(\d+)x(\d+)x(\d+)$/.exec(text);
  const sizes = match?.slice(1).map(Number) ?? [];
  const tooLarge =
    sizes[0] * sizes[1] > LARGEST || sizes[1] * sizes[2] > LARGEST || sizes[0] * sizes[2] > LARGEST;
  if (!match || sizes.some((size) => size < 1) || tooLarge)
    refuse('MxNxK like 196x256x2304, every matrix of at most 2^28 elements,', 'shape', text);
  return matrixSubject(sizes[0], sizes[1], sizes[2]);
}

/** Elements of one matrix: a gigabyte of floats. */
const LARGEST = 2 ** 28;

/** `3x3s2_224x224x3_32`: kernel, stride where it is not 1, input, outputs; depthwise `dw3x3_112x112x32`. */
export function windowName(s: ConvShape): string {
  const stride = s.strideHeight === 1 && s.strideWidth === 1 ? '' : `s${pair(s.strideHeight, s.strideWidth)}`;
  const dilation =
    s.dilationHeight === 1 && s.dilationWidth === 1 ? '' : `d${pair(s.dilationHeight, s.dilationWidth)}`;
  const depthwise = isDepthwise(s);
  const groups = s.groups === 1 || depthwise ? '' : `g${s.groups}`;
  const outputs = depthwise && s.outChannels === s.inChannels ? '' : `_${s.outChannels}`;
  const kernel = `${depthwise ? 'dw' : ''}${s.kernelHeight}x${s.kernelWidth}${stride}${dilation}${groups}`;
  return `${kernel}_${s.inHeight}x${s.inWidth}x${s.inChannels}${outputs}`;
}

const pair = (height: number, width: number) => (height === width ? `${height}` : `${height}x${width}`);

export const isDepthwise = (s: ConvShape) => s.groups > 1 && s.groups === s.inChannels;

function windowSubject(
  kernel: number,
  stride: number,
  height: number,
  width: number,
  channels: number,
  outputs: number,
  groups: number,
): NamedSubject {
  const pad = kernel >> 1;
  const shape: ConvShape = {
    batch: 1,
    inHeight: height,
    inWidth: width,
    inChannels: channels,
    outHeight: Math.ceil(height / stride),
    outWidth: Math.ceil(width / stride),
    outChannels: outputs,
    kernelHeight: kernel,
    kernelWidth: kernel,
    strideHeight: stride,
    strideWidth: stride,
    dilationHeight: 1,
    dilationWidth: 1,
    padTop: pad,
    padLeft: pad,
    groups,
  };
  return { name: windowName(shape), subject: { kind: 'window', shape } };
}

const elements = (name: string, count: number, rectified?: boolean): NamedSubject => ({
  name,
  subject: { kind: 'elements', count, ...(rectified && { rectified }) },
});

const some = <T>(list: readonly T[], quick: number, all: boolean) => (all ? list : list.slice(0, quick));

export const matrices = (all: boolean) =>
  some(MATRICES, QUICK.matrices, all).map(([m, n, k]) => matrixSubject(m, n, k));
export const vectors = (all: boolean) =>
  some(VECTORS, QUICK.vectors, all).map(([n, k]) => matrixSubject(1, n, k));
export const windows = (all: boolean) =>
  some(WINDOWS, QUICK.windows, all).map((sizes) => windowSubject(...sizes, 1));
export const depthwise = (all: boolean) =>
  some(DEPTHWISE, QUICK.depthwise, all).map(([stride, height, width, channels]) =>
    windowSubject(3, stride, height, width, channels, channels, channels),
  );
/** Sizes of the float32 (or int8) side. */
export const arrays = (elementBytes: number) => [
  elements('256KB', SMALL_BYTES / elementBytes),
  elements('64MB', LARGE_BYTES / elementBytes),
];
export const rectifiedArrays = () => [
  elements('256KB-relu', SMALL_BYTES / 4, true),
  elements('64MB-relu', LARGE_BYTES / 4, true),
];
export const smallBytes = () => [elements('256KB', SMALL_BYTES)];
/** Named by the verb that is called. */
export const calls = () =>
  ['quantize', 'dequantize', 'lookup', 'add', 'moments', 'gemm'].map((name) => elements(name, CALL_ELEMENTS));

export const SURVEY_BYTES = { small: SMALL_BYTES, large: LARGE_BYTES };
