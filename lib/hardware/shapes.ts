import type { Graph, Layer } from '../graph/graph.ts';
import { sizeOf } from '../graph/index.ts';
import type { StepFeature, StepKind } from './device.ts';

/** First layers: fewer channels than one step of the products multiplies. */
const FEW_CHANNELS = 4;
/** The kernels multiply so many inputs of so many outputs at once; what is missing is zeros. */
const TILE = { depth: 4, outputs: 16 };

/** What a layer's shape says of its work, for one sample. */
export interface Geometry {
  op: Layer['op'];
  taps: number;
  /** Of one group. */
  channels: number;
  groups: number;
  outChannels: number;
  /** Output positions, and input positions. */
  pixels: number;
  inputPixels: number;
}

const padded = (count: number, tile: number) => Math.ceil(count / tile) * tile;

export function layerKind({
  op,
  groups,
  channels,
  taps,
}: Omit<Geometry, 'pixels' | 'inputPixels'>): StepKind {
  if (op === 'Linear') return 'linear';
  if (groups > 1) return channels === 1 ? 'depthwise' : 'grouped';
  if (channels < FEW_CHANNELS) return 'few-channels';
  return taps === 1 ? 'pointwise' : 'conv';
}

/**
 * What a layer's time on a processor is linear in, for one sample: MACs with depth and output channels padded to the
 * kernels' tiles, elements read, gathered (each output position's window) and written, weights.
 */
export function layerFeatures(geometry: Geometry): Record<StepFeature, number> {
  const { taps, channels, groups, outChannels, pixels, inputPixels } = geometry;
  const depthwise = layerKind(geometry) === 'depthwise';
  const depth = depthwise ? taps : padded(taps * channels, TILE.depth);
  const outputs = depthwise
    ? padded(outChannels, TILE.outputs)
    : groups * padded(outChannels / groups, TILE.outputs);
  return {
    step: 1,
    macs: pixels * depth * outputs,
    inputs: inputPixels * channels * groups,
    patches: taps > 1 ? pixels * taps * channels * groups : 0,
    outputs: pixels * outChannels,
    weights: taps * channels * outChannels,
  };
}

/** `inputs` elements of the input, null where they are not known. */
export function geometryOf(layer: Layer, inputs: number | null): Geometry {
  const { op, taps, channels, groups, outChannels, macs, weights } = layer;
  const pixels = macs / weights.length;
  const inputPixels = inputs === null ? pixels : inputs / (channels * groups);
  return { op, taps, channels, groups, outChannels, pixels, inputPixels };
}

/** `conv 3x3/2x2 16->32 14x14`, `depthwise 3x3/1x1 64->64 7x7`, `grouped/4 ...`, `linear 64->10`, `linear 64->10 49`. */
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

const EXTENT = /^[1-9]\d{0,8}$/;
const LAYER = /^(conv|depthwise|grouped\/\d+) ([\dx]+)\/([\dx]+) (\d+)->(\d+) ([\dx]+)$/;
const LINEAR = /^linear (\d+)->(\d+)(?: (\d+))?$/;

/** The geometry that layerShape wrote down; null for any other text. */
export function parseShape(text: string): Geometry | null {
  const linear = LINEAR.exec(text);
  if (linear) {
    const [channels, outChannels, rows = 1] = linear
      .slice(1)
      .map((part) => (part ? Number(part) : undefined));
    if (!channels || !outChannels || !rows) return null;
    return { op: 'Linear', taps: 1, channels, groups: 1, outChannels, pixels: rows, inputPixels: rows };
  }
  const match = LAYER.exec(text);
  if (!match) return null;
  const [, name, ...rest] = match;
  const [kernel, strides, [inChannels], [outChannels], image] = rest.map((part) =>
    part.split('x').map(toExtent),
  );
  const groups = name === 'conv' ? 1 : name === 'depthwise' ? inChannels : Number(name.split('/')[1]);
  const sizes = [...kernel, ...strides, inChannels, outChannels, ...image, groups];
  const whole = sizes.every((size) => size > 0) && inChannels % groups === 0 && outChannels % groups === 0;
  if (!whole || kernel.length !== strides.length || kernel.length !== image.length) return null;
  const pixels = sizeOf(image);
  return {
    op: 'Conv',
    taps: sizeOf(kernel),
    channels: inChannels / groups,
    groups,
    outChannels,
    pixels,
    inputPixels: pixels * sizeOf(strides),
  };
}

/** NaN for what is no extent. */
function toExtent(text: string): number {
  return EXTENT.test(text) ? Number(text) : Number.NaN;
}
