import { quantizerOf } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Dimension, Graph, Layer, Node, Port } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import type { Quantization, Quantizer } from '../quant/quantizer.ts';

/** A network that computes with quantized values, as the engine takes it. */
export interface QuantizedNetwork {
  /** Channels-last. */
  graph: Graph;
  /** Layers may be missing: they compute in float then, with the weights that the graph has for them. */
  quantization: Quantization;
  /** Width of the weights, by layer name. */
  weightBits: ReadonlyMap<string, number>;
}

/** A value that both networks compute: the output of a layer, or of anything else that has a quantizer of its own. */
export interface ValuePair {
  /** Of the layer or node in the quantized network; of the input. */
  name: string;
  op: string;
  /** Names of the value in each network; of one shape. */
  float: string;
  quantized: string;
  /** The float network's layer, null for other operators. */
  layer: Layer | null;
  weightBits: number | null;
  /** What quantizes the value. */
  quantizer: Quantizer | null;
  /** Values of other pairs and network inputs from which the float network computes this one. */
  sources: readonly ValueSource[];
  /** Layers of the float network without a partner that lie between the sources and this value. */
  spans: readonly string[];
}

/** One thing that the float network is fed with, under its own name. */
export interface ValueSource {
  float: string;
  /** In the quantized network. */
  quantized: string;
}

export interface Pairing {
  /** In the quantized network's order of execution. */
  pairs: readonly ValuePair[];
  outputs: readonly ValueSource[];
  /** Layers that have no partner in the other network. */
  unmatched: { float: readonly string[]; quantized: readonly string[] };
}

/** What tools write behind a value's name when they quantize it. */
const DECORATION =
  /(_unquantized|_quantized|_dequantized|_clipped|_unclamped|_QuantizeLinear(_Input|_Output)?|_DequantizeLinear(_Output)?|\/channels_last)(_\d+)?$/;

/** A place in the quantized network that may have a partner. */
interface Place {
  name: string;
  op: string;
  node: Node | null;
  value: string;
  layer: Layer | null;
}

/**
 * Finds for each layer and quantizer of one network the value of the other: by the value's name (what tools write
 * behind it left out), then by the node's name, always with the same shape, and for layers with weights of the same
 * shape. Throws INVALID_ARGUMENT where inputs differ or no layer has a partner.
 */
export function pairValues(float: Graph, quantized: QuantizedNetwork): Pairing {
  checkInputs(float, quantized.graph);
  const floatLayers = new Map(layersOf(float).map((layer) => [layer.name, layer]));
  const producers = producersOf(float);
  const found: (Place & { partner: string })[] = [];
  const lost: string[] = [];
  const taken = new Set<string>();
  for (const place of placesOf(quantized)) {
    const fits = (value: string) => !taken.has(value) && isPartner(place, value);
    const partner = candidates(place).find(fits);
    if (partner !== undefined) {
      taken.add(partner);
      found.push({ ...place, partner });
    } else if (place.layer) lost.push(place.name);
  }
  if (!found.some(({ layer }) => layer))
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected two files of one network but no layer of the quantized one (${listed(lost)}) has a partner of the same name and shape in the float one (${listed([...floatLayers.keys()])}).`,
    );
  const partners = new Map(found.map(({ partner, value }) => [partner, value]));
  for (const { name } of float.inputs) if (!partners.has(name)) partners.set(name, name);
  const pairs = found.map((place) => valuePair(place));
  const reached = new Set(pairs.flatMap(({ layer }) => (layer ? [layer.name] : [])));
  return {
    pairs,
    outputs: pairOutputs(float, quantized.graph),
    unmatched: {
      float: [...floatLayers.keys()].filter((name) => !reached.has(name)),
      quantized: lost,
    },
  };

  function candidates({ value, node }: Place): string[] {
    const bare = value.replace(DECORATION, '');
    const names = [value, bare, bare.replace(DECORATION, ''), `${value}/channels_last`];
    const twin = node && float.nodes.find(({ name, op }) => name === node.name && op === node.op);
    // Another activation behind it would make it another value.
    const same = twin && String(twin.attributes['clamp']) === String(node.attributes['clamp']);
    return same ? [...names, twin.outputs[0]] : names;
  }

  function isPartner({ value, layer }: Place, name: string): boolean {
    const [own, other] = [typeOf(quantized.graph, value), typeOf(float, name)];
    if (!own || other?.dtype !== 'float32' || !sameShape(own.shape, other.shape)) return false;
    if (!layer) return true;
    const twin = floatLayers.get(producers.get(name)?.name ?? '');
    return twin?.op === layer.op && twin.weights.length === layer.weights.length;
  }

  function valuePair({ name, op, value, layer, partner }: Place & { partner: string }): ValuePair {
    const { activations } = quantized.quantization;
    const isInput = float.inputs.some((input) => input.name === partner);
    const { sources, nodes } = isInput ? { sources: [], nodes: [] } : upstream(partner, producers, partners);
    const own = layer && floatLayers.get(producers.get(partner)!.name)!;
    return {
      name,
      op,
      float: partner,
      quantized: value,
      layer: own,
      weightBits: layer && (quantized.weightBits.get(name) ?? null),
      quantizer: activations.get(quantizerOf(quantized.graph, value)) ?? null,
      sources,
      spans: nodes
        .map(({ name: node }) => node)
        .filter((node) => floatLayers.has(node) && node !== own?.name),
    };
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown}, ...` : shown || 'none';
}

function producersOf(graph: Graph): Map<string, Node> {
  return new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
}

function typeOf(graph: Graph, value: string) {
  return graph.types.get(value) ?? graph.inputs.find(({ name }) => name === value);
}

/** Open dimensions fit any. */
function sameShape(a: readonly Dimension[], b: readonly Dimension[]): boolean {
  const fits = (size: Dimension, axis: number) =>
    typeof size === 'string' || typeof b[axis] === 'string' || size === b[axis];
  return a.length === b.length && a.every(fits);
}

function checkInputs(float: Graph, quantized: Graph): void {
  for (const { name, dtype, shape } of float.inputs) {
    const other = quantized.inputs.find((input) => input.name === name);
    if (other?.dtype !== dtype || !sameShape(shape, other.shape))
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected input ${described({ name, dtype, shape })} in both networks but the quantized one has ${quantized.inputs.map(described).join(', ')}.`,
      );
  }
  if (quantized.inputs.length !== float.inputs.length)
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected ${float.inputs.length} inputs in both networks but the quantized one has ${quantized.inputs.length}.`,
    );
}

function described({ name, dtype, shape }: Port): string {
  return `${JSON.stringify(name)} (${dtype} [${shape.join(', ')}])`;
}

/** Layers, and whatever else has a quantizer of its own, in order of execution. */
function placesOf({ graph, quantization }: QuantizedNetwork): Place[] {
  const layers = new Map(layersOf(graph).map((layer) => [layer.name, layer]));
  const quantized = leftQuantizers(graph);
  const hasOwn = (value: string) => quantization.activations.has(value) || quantized.has(value);
  const read = (value: string) => quantized.get(value) ?? value;
  const places: Place[] = graph.inputs
    .filter(({ name }) => hasOwn(name))
    .map(({ name }) => ({ name, op: 'Input', node: null, value: read(name), layer: null }));
  const isDone = new Set(quantized.values());
  for (const node of graph.nodes) {
    const layer = layers.get(node.name) ?? null;
    for (const value of node.outputs)
      if (!isDone.has(value) && (layer || hasOwn(value)))
        places.push({ name: node.name, op: node.op, node, value: read(value), layer });
  }
  return places;
}

/** Values behind which QuantizeLinear and DequantizeLinear were left in the graph -> what is read in their stead. */
function leftQuantizers(graph: Graph): Map<string, string> {
  const producers = producersOf(graph);
  const left = new Map<string, string>();
  for (const { op, inputs, outputs } of graph.nodes) {
    if (op !== 'DequantizeLinear') continue;
    let source = producers.get(inputs[0]);
    while (source?.op === 'Clip' || source?.op === 'Transpose') source = producers.get(source.inputs[0]);
    if (source?.op === 'QuantizeLinear' && !left.has(source.inputs[0]))
      left.set(source.inputs[0], outputs[0]);
  }
  return left;
}

/** The nearest values upstream that the quantized network has too, and the nodes behind them. */
function upstream(
  value: string,
  producers: ReadonlyMap<string, Node>,
  partners: ReadonlyMap<string, string>,
): { sources: ValueSource[]; nodes: Node[] } {
  const sources = new Map<string, ValueSource>();
  const nodes = new Set<Node>();
  const visit = (name: string): void => {
    const node = producers.get(name);
    if (!node || nodes.has(node)) return;
    nodes.add(node);
    for (const input of node.inputs) {
      const quantized = partners.get(input);
      if (quantized === undefined) visit(input);
      else sources.set(input, { float: input, quantized });
    }
  };
  visit(value);
  return { sources: [...sources.values()], nodes: [...nodes] };
}

/** By name, or by position where the shapes agree. */
function pairOutputs(float: Graph, quantized: Graph): ValueSource[] {
  return float.outputs.flatMap(({ name, shape }, i) => {
    const own = quantized.outputs.find((output) => output.name === name) ?? quantized.outputs[i];
    return own && sameShape(shape, own.shape) ? [{ float: name, quantized: own.name }] : [];
  });
}
