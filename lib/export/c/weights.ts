import type { ConvShape, WeightsShape } from '../../kernels/kernels.ts';
import { pack } from '../../sqnt/packing.ts';

/**
 * - *dense*: [outChannels][taps][channels], least significant bit first, no padding anywhere but in the last byte.
 * - *cmsis-nn-int4*: 4-bit layers as CMSIS-NN's `_s4` functions read them, two per byte with the first in the low
 *   nibble. Rows of odd length are not padded: a row begins in the middle of a byte (`spillover` in
 *   arm_nn_mat_mult_nt_t_s4.c), so that convolutions and matrices are stored as in the dense form; filters of depthwise
 *   convolutions are [taps][outChannels] (arm_depthwise_conv_s4.c). https://github.com/ARM-software/CMSIS-NN
 */
export type Packing = 'dense' | 'cmsis-nn-int4';

/** How a layer is computed: by rows over pixels, by windows, or each channel by itself. */
export type LayerKind = 'product' | 'convolution' | 'depthwise';

export function kindOf(weights: WeightsShape, shape: ConvShape): LayerKind {
  const { kernelHeight, kernelWidth, strideHeight, strideWidth, padTop, padLeft, groups } = shape;
  if (groups > 1 && weights.channels === 1) return 'depthwise';
  const pointwise =
    kernelHeight * kernelWidth === 1 && strideHeight * strideWidth === 1 && padTop === 0 && padLeft === 0;
  const whole = shape.outHeight === shape.inHeight && shape.outWidth === shape.inWidth;
  return groups === 1 && pointwise && whole ? 'product' : 'convolution';
}

/** Whether the filter lies tap by tap, all channels of each together. */
export function isByTap(packing: Packing, kind: LayerKind, bits: number): boolean {
  return packing === 'cmsis-nn-int4' && bits === 4 && kind === 'depthwise';
}

/** The integers of a layer, one byte each [outChannels][taps][channels], as they lie in flash. */
export function packedWeights(q: Int8Array, { outChannels, bits }: WeightsShape, byTap: boolean): Uint8Array {
  const packed = new Uint8Array(Math.ceil((q.length * bits) / 8));
  pack(byTap ? turned(q, outChannels) : q, bits, packed);
  return packed;
}

function turned(q: Int8Array, outChannels: number): Int8Array {
  const taps = q.length / outChannels;
  return Int8Array.from(q, (_, i) => q[(i % outChannels) * taps + Math.floor(i / outChannels)]);
}

/** Output channels that are computed together where their unpacked weights are few enough. */
const LARGEST_TILE = 4;
/** Of unpacked weights in bytes: more would cost RAM, and the loops over them are long anyway. */
const TILE_BYTES = 4096;

/** Output channels of a layer that are computed together. */
export function tileOf({ taps, channels, bits }: WeightsShape, kind: LayerKind): number {
  if (kind === 'depthwise') return 1;
  if (bits === 8) return LARGEST_TILE;
  return Math.max(1, Math.min(LARGEST_TILE, Math.floor(TILE_BYTES / (taps * channels))));
}

/** Bytes in which a layer unpacks the weights of one tile. */
export function scratchBytes(weights: WeightsShape, kind: LayerKind): number {
  const { outChannels, taps, channels, groups, bits } = weights;
  if (bits === 8) return 0;
  return Math.min(tileOf(weights, kind), outChannels / groups) * taps * channels;
}
