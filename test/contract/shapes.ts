import type { ConvShape, WeightsShape } from '../../lib/kernels/kernels.ts';

export interface ConvCase extends Partial<ConvShape> {
  inChannels: number;
  outChannels: number;
}

/** Fills in the defaults: 5x7 input, 3x3 kernel, pad 1, batch 2, output by the usual formula. */
export function convShape(c: ConvCase & { padBottom?: number; padRight?: number }): ConvShape {
  const { padBottom = c.padTop ?? 1, padRight = c.padLeft ?? 1, ...rest } = c;
  const s = {
    batch: 2,
    inHeight: 5,
    inWidth: 7,
    kernelHeight: 3,
    kernelWidth: 3,
    strideHeight: 1,
    strideWidth: 1,
    dilationHeight: 1,
    dilationWidth: 1,
    padTop: 1,
    padLeft: 1,
    groups: 1,
    ...rest,
  };
  const extent = (
    size: number,
    before: number,
    after: number,
    kernel: number,
    dilation: number,
    stride: number,
  ) => Math.floor((size + before + after - dilation * (kernel - 1) - 1) / stride) + 1;
  return {
    ...s,
    outHeight: extent(s.inHeight, s.padTop, padBottom, s.kernelHeight, s.dilationHeight, s.strideHeight),
    outWidth: extent(s.inWidth, s.padLeft, padRight, s.kernelWidth, s.dilationWidth, s.strideWidth),
  };
}

export const weightsOf = (s: ConvShape, bits: number): WeightsShape => ({
  outChannels: s.outChannels,
  taps: s.kernelHeight * s.kernelWidth,
  channels: s.inChannels / s.groups,
  groups: s.groups,
  bits,
});

/** Padding in front that leaves no window of a small output near the input, and no address near the array. */
const FAR = 2 ** 20;

/** What edge networks contain, and the corners of what a convolution can be. */
export const CONVOLUTIONS: Record<string, ConvShape> = {
  'first layer': convShape({ inChannels: 3, outChannels: 16, inHeight: 9, inWidth: 11 }),
  'first layer, stride 2': convShape({
    inChannels: 3,
    outChannels: 33,
    strideHeight: 2,
    strideWidth: 2,
    padTop: 0,
    padLeft: 0,
    padBottom: 1,
    padRight: 1,
  }),
  '3x3, 16 channels': convShape({ inChannels: 16, outChannels: 16, inHeight: 8, inWidth: 8 }),
  '3x3, odd channels': convShape({ inChannels: 17, outChannels: 35 }),
  '1x1': convShape({
    inChannels: 40,
    outChannels: 70,
    kernelHeight: 1,
    kernelWidth: 1,
    padTop: 0,
    padLeft: 0,
  }),
  '1x1, stride 2': convShape({
    inChannels: 16,
    outChannels: 32,
    kernelHeight: 1,
    kernelWidth: 1,
    padTop: 0,
    padLeft: 0,
    strideHeight: 2,
    strideWidth: 2,
  }),
  depthwise: convShape({ inChannels: 37, outChannels: 37, groups: 37, inHeight: 9, inWidth: 9 }),
  'depthwise, stride 2': convShape({
    inChannels: 64,
    outChannels: 64,
    groups: 64,
    strideHeight: 2,
    strideWidth: 2,
    padTop: 0,
    padLeft: 0,
    padBottom: 1,
    padRight: 1,
  }),
  'depthwise, two per channel': convShape({ inChannels: 6, outChannels: 12, groups: 6 }),
  'depthwise 10x4': convShape({
    inChannels: 8,
    outChannels: 8,
    groups: 8,
    kernelHeight: 10,
    kernelWidth: 4,
    inHeight: 12,
    padTop: 4,
    padLeft: 1,
    padBottom: 5,
    padRight: 2,
  }),
  grouped: convShape({ inChannels: 12, outChannels: 18, groups: 3 }),
  'asymmetric pads, dilation': convShape({
    inChannels: 5,
    outChannels: 9,
    dilationHeight: 2,
    dilationWidth: 3,
    padTop: 3,
    padLeft: 0,
    padBottom: 0,
    padRight: 6,
  }),
  '1x7': convShape({ inChannels: 8, outChannels: 8, kernelHeight: 1, kernelWidth: 7, padTop: 0, padLeft: 3 }),
  'one pixel': convShape({
    inChannels: 65,
    outChannels: 10,
    inHeight: 1,
    inWidth: 1,
    kernelHeight: 1,
    kernelWidth: 1,
    padTop: 0,
    padLeft: 0,
  }),
  'kernel larger than input': convShape({
    inChannels: 4,
    outChannels: 4,
    inHeight: 2,
    inWidth: 2,
    kernelHeight: 5,
    kernelWidth: 5,
    padTop: 2,
    padLeft: 2,
  }),
  'windows beyond the input': convShape({
    inChannels: 5,
    outChannels: 9,
    strideWidth: 2,
    padTop: 6,
    padLeft: 11,
  }),
  'windows far to the left': convShape({
    inChannels: 4,
    outChannels: 6,
    padLeft: FAR,
    padRight: 12 - FAR,
  }),
  'windows far above': convShape({
    inChannels: 4,
    outChannels: 6,
    padTop: FAR,
    padBottom: 8 - FAR,
    dilationWidth: 2,
  }),
  'windows far to the right': convShape({
    inChannels: 3,
    outChannels: 5,
    strideWidth: 4096,
    padRight: 4 * 4096,
  }),
  'depthwise, windows beyond the input': convShape({
    inChannels: 20,
    outChannels: 20,
    groups: 20,
    padTop: 6,
    padLeft: 11,
  }),
  'depthwise, windows far to the left': convShape({
    inChannels: 20,
    outChannels: 20,
    groups: 20,
    dilationWidth: 2,
    padLeft: FAR,
    padRight: 12 - FAR,
  }),
  'depthwise, windows far above and to the right': convShape({
    inChannels: 20,
    outChannels: 20,
    groups: 20,
    strideWidth: 4096,
    padTop: FAR / 1024,
    padBottom: 8 - FAR / 1024,
    padRight: 2 * 4096,
  }),
  'empty batch': convShape({ inChannels: 4, outChannels: 4, batch: 0 }),
};

/** Rows x columns x depth around every tile. */
export const MATRICES: [number, number, number][] = [
  [0, 4, 4],
  [1, 1, 1],
  [1, 33, 65],
  [2, 16, 7],
  [3, 31, 17],
  [5, 64, 64],
  [12, 32, 16],
  [13, 33, 31],
  [17, 100, 127],
  [64, 48, 130],
  [33, 10, 1000],
];
