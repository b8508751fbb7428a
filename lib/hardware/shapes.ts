import type { Graph, Layer } from '../graph/graph.ts';
import { sizeOf } from '../graph/index.ts';
import type { StepFeature, StepKind } from './device.ts';

/** First layers: fewer channels than one step of the products multiplies. */
const FEW_CHANNELS = 4;
/** The kernels multiply so many inputs of so many outputs at once; what is missing is zeros. */
const TILE = { depth: 4, outputs: 16 };

const padded = (count: number, tile: number) => Math.ceil(count / tile) * tile;

export function layerKind({ op, groups, channels, taps }: Layer): StepKind {
  if (op === 'Linear') return 'linear';
  if (groups > 1) return channels === 1 ? 'depthwise' : 'grouped';
  if (channels < FEW_CHANNELS) return 'few-channels';
  return taps === 1 ? 'pointwise' : 'conv';
}

/**
 * What a layer's time on a processor is linear in, for one sample: MACs with depth and output channels padded to the
 * kernels' tiles, elements read, gathered (each output position's window) and written, weights.
 */
export function layerFeatures(
  layer: Layer,
  inputs: number | null,
  outputs: number | null,
): Record<StepFeature, number> {
  const { weights, macs, taps, channels, groups, outChannels } = layer;
  const pixels = macs / weights.length;
  const depthwise = layerKind(layer) === 'depthwise';
  const depth = depthwise ? taps : padded(taps * channels, TILE.depth);
  const perGroup = depthwise
    ? padded(outChannels, TILE.outputs) / groups
    : padded(outChannels / groups, TILE.outputs);
  return {
    step: 1,
    macs: pixels * depth * perGroup * groups,
    inputs: inputs ?? pixels * channels * groups,
    patches: taps > 1 ? pixels * taps * channels * groups : 0,
    outputs: outputs ?? pixels * outChannels,
    weights: weights.length,
  };
}

/** `conv 3x3/2x2 16->32 14x14`, `depthwise 3x3/1x1 64->64 7x7`, `linear 64->10`; `grouped` with `/4` groups. */
export function layerShape({ constants, layout }: Graph, layer: Layer, output: readonly number[]): string {
  const { node, outChannels, channels, groups } = layer;
  const from = `${channels * groups}->${outChannels}`;
  if (layer.op === 'Linear') {
    const rows = sizeOf(output.slice(0, -1));
    return `linear ${from}${rows > 1 ? ` ${rows}` : ''}`;
  }
  const last = layout === 'channels-last';
  const weights = constants.get(node.inputs[1])!.shape;
  const kernel = last ? weights.slice(1, -1) : weights.slice(2);
  const image = last ? output.slice(1, -1) : output.slice(2);
  const strides = (node.attributes['strides'] as readonly number[] | undefined) ?? kernel.map(() => 1);
  const name = groups === 1 ? 'conv' : channels === 1 ? 'depthwise' : `grouped/${groups}`;
  return `${name} ${kernel.join('x')}/${strides.join('x')} ${from} ${image.join('x')}`;
}
