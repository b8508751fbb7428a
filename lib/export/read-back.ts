import { SigmaQuantError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { tensorFromProto } from '../graph/index.ts';
import type { NodeProto, TensorProto } from '../onnx/index.ts';
import { readModel } from '../onnx/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { ACTIVATIONS_KEY, type ActivationEntry, type LayerWidths, WIDTHS_KEY } from './ort.ts';

/** A file of profile `ort`, looked up by name. */
interface Index {
  tensors: ReadonlyMap<string, TensorProto>;
  /** Node by the value that it makes. */
  producers: ReadonlyMap<string, NodeProto>;
}

/**
 * The integers in a file of profile `ort`, as the engine runs them: layers by node name, quantizers by the name of
 * the value in the float model. Throws MALFORMED_MODEL where it is not such a file.
 */
export function quantizationOf(bytes: Uint8Array): Quantization {
  const { graph, metadataProps } = readModel(bytes);
  const metadata = new Map(metadataProps.map(({ key, value }) => [key, value]));
  const [widthsText, activationsText] = [metadata.get(WIDTHS_KEY), metadata.get(ACTIVATIONS_KEY)];
  if (!graph || !widthsText || !activationsText)
    malformed('a model that sigmaquant exported', `one without ${WIDTHS_KEY}`);
  const widths: Record<string, LayerWidths> = JSON.parse(widthsText);
  const index: Index = {
    tensors: new Map(graph.initializer.map((tensor) => [tensor.name, tensor])),
    producers: new Map(graph.node.flatMap((node) => node.output.map((output) => [output, node] as const))),
  };
  const layers = new Map<string, QuantizedLayer>();
  for (const node of graph.node) {
    const width = widths[node.name];
    if (width) layers.set(node.name, readLayer(index, node, width.weights));
  }
  return { activations: readQuantizers(index, activationsText), layers };
}

/**
 * The graph with the weights and biases of its float layers as the file of profile `ort` has them: equalisation may have
 * changed them. Layers with integers are left alone, `quantization` has theirs.
 */
export function withStoredFloats(graph: Graph, bytes: Uint8Array, quantization: Quantization): Graph {
  const file = readModel(bytes).graph!;
  const stored = new Map(file.initializer.map((tensor) => [tensor.name, tensor]));
  const written = new Map(file.node.map((node) => [node.name, node]));
  const constants = new Map(graph.constants);
  const nodes = graph.nodes.map((node) => {
    const { name, op, inputs } = node;
    const own = graph.constants.get(inputs[1] ?? '');
    const other = written.get(name);
    if ((op !== 'Conv' && op !== 'Linear') || quantization.layers.has(name) || !own || !other) return node;
    const weights = stored.get(other.input[1]);
    // A Linear over more than two dimensions is stored transposed, and never equalised.
    if (weights?.dims.map(Number).join() !== own.shape.join()) return node;
    const names = other.input.slice(1).filter((input) => stored.has(input));
    for (const input of names) constants.set(input, tensorFromProto(stored.get(input)!, `tensor ${input}`));
    return { ...node, inputs: [inputs[0], ...names] };
  });
  return { ...graph, nodes, constants };
}

function malformed(expected: string, received: string): never {
  throw new SigmaQuantError('MALFORMED_MODEL', `Expected ${expected} but received ${received}.`);
}

function tensor({ tensors }: Index, name: string): TensorProto {
  return tensors.get(name) ?? malformed(`an initializer ${name}`, 'none');
}

function dequantizer({ producers }: Index, node: NodeProto, input: number): NodeProto {
  const source = producers.get(node.input[input]);
  if (source?.opType !== 'DequantizeLinear')
    malformed(`DequantizeLinear before input ${input} of node ${node.name}`, source?.opType ?? 'none');
  return source;
}

function readLayer(index: Index, node: NodeProto, bits: number): QuantizedLayer {
  const weights = dequantizer(index, node, 1);
  const stored = tensor(index, weights.input[0]);
  const [outChannels, channels] = stored.dims.map(Number);
  const bias = dequantizer(index, node, 2);
  const biasScales = view(tensor(index, bias.input[1]), Float32Array);
  const integers = view(tensor(index, bias.input[0]), Int32Array);
  return {
    bits,
    q: outermostLast(view(stored, Int8Array), outChannels, channels),
    scales: view(tensor(index, weights.input[1]), Float32Array),
    bias: Float32Array.from(integers, (value, channel) => value * biasScales[channel]),
  };
}

/** ONNX's [out][channels][taps] as the engine's [out][taps][channels]. */
function outermostLast(source: Int8Array, outChannels: number, channels: number): Int8Array {
  const taps = source.length / (outChannels * channels);
  const q = new Int8Array(source.length);
  let i = 0;
  for (let out = 0; out < outChannels; out++)
    for (let channel = 0; channel < channels; channel++)
      for (let tap = 0; tap < taps; tap++) q[(out * taps + tap) * channels + channel] = source[i++];
  return q;
}

/** The stored parameters of every activation that the model's metadata lists. */
function readQuantizers(index: Index, text: string): Map<string, Quantizer> {
  const listed: Record<string, ActivationEntry> = JSON.parse(text);
  return new Map(
    Object.entries(listed).map(([value, { bits, scale, zeroPoint }]) => [
      value,
      {
        bits,
        scale: view(tensor(index, scale), Float32Array)[0],
        zeroPoint: view(tensor(index, zeroPoint), Uint8Array)[0],
        low: 0,
        high: 2 ** bits - 1,
      },
    ]),
  );
}

type Constructor<T> = new (buffer: ArrayBufferLike, offset: number, length: number) => T;

/** A tensor's bytes as numbers; copied, since bytes inside a file need not be aligned. */
function view<T extends ArrayBufferView>(
  { name, rawData }: TensorProto,
  type: Constructor<T> & { BYTES_PER_ELEMENT: number },
): T {
  if (rawData.length % type.BYTES_PER_ELEMENT !== 0)
    malformed(`whole numbers in tensor ${name}`, `${rawData.length} bytes`);
  // A copy: it may lie unaligned in the file. (slice of a Buffer would share its memory.)
  return new type(new Uint8Array(rawData).buffer, 0, rawData.length / type.BYTES_PER_ELEMENT);
}

/** Reads a file back and compares every integer and scale. Throws INTERNAL naming the first that differs. */
export function checkReadBack(bytes: Uint8Array, written: Quantization): void {
  checkSame(quantizationOf(bytes), written);
}

/** What was read against what was written: widths, integers, scales and quantizers. Throws as checkReadBack. */
export function checkSame(read: Quantization, written: Quantization): void {
  for (const [name, layer] of written.layers) {
    const other = read.layers.get(name);
    if (!other) differs(`layer ${name}`);
    if (other.bits !== layer.bits || !same(other.q, layer.q)) differs(`the integers of layer ${name}`);
    if (!same(other.scales, layer.scales)) differs(`the scales of layer ${name}`);
  }
  for (const [value, quantizer] of written.activations) {
    const other = read.activations.get(value);
    const keys = ['bits', 'scale', 'zeroPoint', 'low', 'high'] as const;
    if (!other || keys.some((key) => other[key] !== quantizer[key])) differs(`the quantizer of ${value}`);
  }
}

function differs(what: string): never {
  throw new SigmaQuantError(
    'INTERNAL',
    `Expected ${what} in the exported file as it was made but read another.`,
  );
}

function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
