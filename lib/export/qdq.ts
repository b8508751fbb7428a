import { inheritsQuantizer, quantizerOf } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import { type Graph, type ImportOptions, importGraph, type Node, toChannelsLast } from '../graph/index.ts';
import { type NodeProto, readModel } from '../onnx/index.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { WIDTHS_KEY } from './ort.ts';
import { activationPair } from './qdq-pairs.ts';
import { weightBits } from './qdq-weights.ts';

/** A network of a QDQ file, ready for the engine. */
export interface QdqNetwork {
  /**
   * Channels-last, weights as the floats that their integers stand for. Quantizers are gone from the graph where the
   * engine can do their work, others stay as nodes.
   */
  graph: Graph;
  /** By value name; what comes after a value reads what its quantizer leaves of it. */
  activations: ReadonlyMap<string, Quantizer>;
  /** Width of the weights, by layer name. */
  weightBits: ReadonlyMap<string, number>;
  /** Model metadata. */
  metadata: ReadonlyMap<string, string>;
}

/** Operators that compute with integers themselves: another form of quantized networks. */
const OPERATOR_FORM =
  /^(QLinear\w+|ConvInteger|MatMulInteger|DynamicQuantizeLinear|com\.microsoft\.(Q|Dynamic|MatMulN)\w+)$/;

/**
 * Reads any tool's QDQ file: float operators between QuantizeLinear and DequantizeLinear. Values keep their names,
 * network outputs those of the file. Throws MALFORMED_MODEL, and UNSUPPORTED_MODEL for a float network or one whose
 * operators compute with integers themselves.
 */
export function readQdq(bytes: Uint8Array, options: ImportOptions = {}): QdqNetwork {
  const model = readModel(bytes);
  const metadata = new Map(model.metadataProps.map(({ key, value }) => [key, value]));
  checkForm(model.graph!.node);
  const { graph } = importGraph(model, { ...options, acceptQuantized: true, foldQuantized: true });
  const { graph: lowered, activations } = withoutPairs(graph);
  const last = toChannelsLast(lowered);
  return {
    graph: last,
    // A network output in the other layout belongs to what is transposed.
    activations: new Map([...activations].map(([value, q]) => [quantizerOf(last, value), q])),
    weightBits: weightBits(model, metadata.get(WIDTHS_KEY)),
    metadata,
  };
}

function checkForm(nodes: readonly NodeProto[]): void {
  const operator = ({ domain, opType }: NodeProto) => (domain === '' ? opType : `${domain}.${opType}`);
  const integer = nodes.find((node) => OPERATOR_FORM.test(operator(node)));
  if (integer)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected float operators between QuantizeLinear and DequantizeLinear but node ${integer.name} is a ${operator(integer)}; export the network in QDQ form.`,
    );
  if (!nodes.some(({ opType }) => opType === 'DequantizeLinear'))
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      'Expected a quantized network (an ONNX file in QDQ form or a .sqnt file) but received a float one: it has no DequantizeLinear.',
    );
}

/** Takes QuantizeLinear, Clip and DequantizeLinear out of a graph wherever a quantizer of the engine says the same. */
function withoutPairs(graph: Graph): { graph: Graph; activations: Map<string, Quantizer> } {
  const activations = new Map<string, Quantizer>();
  const names = new Map<string, string>();
  const dropped = new Set<Node>();
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const final = (name: string) => names.get(name) ?? name;
  /** The value that a quantizer of `value` must stand at, through the pairs that are gone already. */
  const owner = (value: string): string => {
    const node = producers.get(value);
    return node && inheritsQuantizer(node) ? owner(final(node.inputs[0])) : value;
  };
  const seen = new Set<string>();
  for (const { op, inputs } of graph.nodes) {
    if (op !== 'QuantizeLinear' || seen.has(inputs[0])) continue;
    seen.add(inputs[0]);
    const pair = activationPair(graph, inputs[0]);
    if (!pair) continue;
    const { value, quantizer } = pair;
    const at = owner(value);
    const known = activations.get(at);
    if (at === value) activations.set(value, quantizer);
    else if (!known || !covers(quantizer, known)) continue;
    for (const node of pair.nodes) dropped.add(node);
    for (const name of pair.results) names.set(name, value);
  }
  const lowered = rewired(graph, dropped, names);
  return {
    graph: lowered.graph,
    activations: new Map([...activations].map(([value, q]) => [lowered.name(value), q])),
  };
}

/** True where quantizing what has `inner` already changes nothing. */
function covers(outer: Quantizer, inner: Quantizer): boolean {
  const { scale, zeroPoint, low, high } = outer;
  return scale === inner.scale && zeroPoint === inner.zeroPoint && low <= inner.low && high >= inner.high;
}

/** Readers of a pair's results read its value instead; a result that is a network output gives its name to the value. */
function rewired(graph: Graph, dropped: ReadonlySet<Node>, names: ReadonlyMap<string, string>) {
  const outputs = new Map<string, string>();
  for (const { name } of graph.outputs) if (names.has(name)) outputs.set(names.get(name)!, name);
  const name = (value: string) => {
    const source = names.get(value) ?? value;
    return outputs.get(source) ?? source;
  };
  const nodes = graph.nodes
    .filter((node) => !dropped.has(node))
    .map((node) => ({ ...node, inputs: node.inputs.map(name), outputs: node.outputs.map(name) }));
  const types = new Map([...graph.types].filter(([value]) => !names.has(value)));
  for (const [value, output] of outputs) {
    types.set(output, types.get(value)!);
    types.delete(value);
  }
  return { graph: { ...graph, nodes, types }, name };
}
