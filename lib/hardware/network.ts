import type { Graph, Layer } from '../graph/graph.ts';
import { inferTypes, sizeOf } from '../graph/index.ts';
import { activationParts, type Part } from './activations.ts';
import type { Operator, StepFeature, StepKind } from './device.ts';
import { gaussianDigits, type WeightDigits } from './digits.ts';
import type { CostedLayer } from './memory.ts';
import { geometryOf, layerFeatures, layerKind, layerShape } from './shapes.ts';
import { type NetworkStep, networkSteps } from './steps.ts';

/** What the time and the energy of a layer depend on, for one sample. */
export interface NetworkLayer extends CostedLayer {
  operator: Operator;
  /** Products of one output: taps times channels of its group. */
  depth: number;
  /** Output channels that read the same inputs. */
  groupChannels: number;
  /** Output positions: each weight is used so often. */
  pixels: number;
  /** Elements. */
  inputs: number;
  outputs: number;
  digits(bits: number): WeightDigits;
  /** What its time on a processor depends on. */
  kind: StepKind;
  features: Readonly<Record<StepFeature, number>>;
  /** As device files name it: `conv 3x3/2x2 16->32 14x14`. */
  shape: string;
}

/** A network as costs see it: per-sample shapes, no weights but their digits. */
export interface CostedNetwork {
  layers: readonly NetworkLayer[];
  /** Layers that stay in float. */
  rest: readonly NetworkLayer[];
  /** What activations take at once, see activationParts. */
  activations: readonly Part[];
  /** Peak of activations of the float network. */
  floatActivationBytes: number;
  /** Every step of a program that runs the network. */
  steps: readonly NetworkStep[];
}

/** Digit statistics of a layer's integers at a width; null where they are not known. */
export type DigitSource = (layer: Layer, bits: number) => WeightDigits | null;

/**
 * The network of a graph in either form, batch 1; channels-last where the latency of a program counts, since it has
 * the steps that run. `layers` are quantized, `rest` stay in float; asked for each layer and width at most once, and
 * not before they count, are the digits: where they are null, the layer's weights are taken to be Gaussian at the
 * scale of least squared error.
 */
export function costedNetwork(
  graph: Graph,
  layers: readonly Layer[],
  rest: readonly Layer[] = [],
  digits: DigitSource = () => null,
): CostedNetwork {
  const types = inferTypes(graph, 1);
  const elements = (value: string) => {
    const shape = types.get(value)?.shape;
    return shape ? sizeOf(shape) : null;
  };
  const costed = (layer: Layer): NetworkLayer => ({
    ...networkLayer(layer, elements, digits),
    kind: layerKind(layer),
    features: layerFeatures(geometryOf(layer, elements(layer.input))),
    shape: layerShape(graph, layer, types.get(layer.output)?.shape ?? []),
  });
  const { parts, floatBytes } = activationParts(graph, types, layers);
  return {
    layers: layers.map(costed),
    rest: rest.map(costed),
    activations: parts,
    floatActivationBytes: floatBytes,
    steps: networkSteps(graph, types, layers),
  };
}

function networkLayer(
  layer: Layer,
  elements: (value: string) => number | null,
  digits: DigitSource,
): Omit<NetworkLayer, 'kind' | 'features' | 'shape'> {
  const { name, op, weights, bias, outChannels, macs, taps, channels, groups } = layer;
  const pixels = macs / weights.length;
  const known = new Map<number, WeightDigits>();
  return {
    name,
    operator: op === 'Linear' ? 'linear' : groups > 1 && channels === 1 ? 'depthwise' : 'conv',
    weights: { length: weights.length },
    bias: bias && { length: bias.length },
    outChannels,
    macs,
    depth: taps * channels,
    groupChannels: outChannels / groups,
    pixels,
    inputs: elements(layer.input) ?? pixels * channels * groups,
    outputs: elements(layer.output) ?? pixels * outChannels,
    digits(bits) {
      let found = known.get(bits);
      if (!found) known.set(bits, (found = digits(layer, bits) ?? gaussianDigits(bits)));
      return found;
    },
  };
}
