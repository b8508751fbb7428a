import type { Node } from '../graph/graph.ts';
import type { ConvShape, WeightsShape } from '../kernels/kernels.ts';

/** [low, high] of a fused activation; without one, everything passes. */
export function clampOf(node: Node): [low: number, high: number] {
  const clamp = node.attributes['clamp'] as readonly number[] | undefined;
  return clamp ? [clamp[0], clamp[1]] : [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
}

function pair(node: Node, name: string, spatial: number, otherwise: number): [number, number] {
  const values = node.attributes[name] as readonly number[] | undefined;
  if (!values || values.length === 0) return [otherwise, otherwise];
  return spatial === 1 ? [otherwise, values[0]] : [values[0], values[1]];
}

/**
 * Geometry of a two-dimensional window over channels-last tensors; one-dimensional ones are of height 1. Null
 * for other ranks.
 */
export function windowShape(
  node: Node,
  input: readonly number[],
  output: readonly number[],
  kernel: readonly number[],
  groups: number,
): ConvShape | null {
  const spatial = input.length - 2;
  if (spatial !== 1 && spatial !== 2) return null;
  const at = (shape: readonly number[]): [number, number] =>
    spatial === 1 ? [1, shape[1]] : [shape[1], shape[2]];
  const [inHeight, inWidth] = at(input);
  const [outHeight, outWidth] = at(output);
  const [strideHeight, strideWidth] = pair(node, 'strides', spatial, 1);
  const [dilationHeight, dilationWidth] = pair(node, 'dilations', spatial, 1);
  const [padTop, padLeft] = pair(node, 'pads', spatial, 0);
  return {
    batch: input[0],
    inHeight,
    inWidth,
    inChannels: input[spatial + 1],
    outHeight,
    outWidth,
    outChannels: output[spatial + 1],
    kernelHeight: spatial === 1 ? 1 : kernel[0],
    kernelWidth: kernel[spatial - 1],
    strideHeight,
    strideWidth,
    dilationHeight,
    dilationWidth,
    padTop,
    padLeft,
    groups,
  };
}

/** Weights of a Conv ([outChannels][...kernel][channels]) or a Linear ([outChannels][k]). */
export function weightsShape(node: Node, weights: readonly number[], bits: number): WeightsShape {
  const groups = node.op === 'Conv' ? ((node.attributes['group'] as number | undefined) ?? 1) : 1;
  return {
    outChannels: weights[0],
    taps: weights.slice(1, -1).reduce((product, length) => product * length, 1),
    channels: weights[weights.length - 1],
    groups,
    bits,
  };
}
