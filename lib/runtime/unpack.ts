import { malformed, SigmaQuantError } from '../errors.ts';
import type { Graph, Node, Tensor } from '../graph/graph.ts';
import { type Known, OPERATORS } from '../graph/ops.ts';
import { symbolicTypes } from '../graph/simplify.ts';
import { type Inferred, inferredOutputs, type StaticType } from '../graph/types.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import type { PackedModel, ReadOptions, ShapedLayer } from '../sqnt/index.ts';
import { checkAttributes } from './attributes.ts';
import type { Host } from './host.ts';

/** Elements of one value per sample: half a gigabyte in float32. */
const LARGEST_VALUE = 2 ** 27;
const MOST_AXES = 32;
/** Their work is not linear in their sizes; the writer never leaves them with constant inputs alone. */
const LABORIOUS = new Set(['Linear', 'MatMul', 'Gemm', 'MatMulInteger', 'QLinearMatMul', 'Einsum', 'LRN']);

/**
 * The fast ways of a host and its kernels to read a packed file. All layers are unpacked in one place, which each
 * of them has until the next is asked for: nobody here needs two at once.
 */
export function readOptions(host: Pick<Host, 'crc32'>, kernels: Kernels): ReadOptions {
  let place = new Int8Array(0);
  return {
    crc32: host.crc32,
    unpack: (packed, bits, q) => kernels.unpack(packed, bits, q),
    room(length) {
      if (place.length < length) place = new Int8Array(length);
      return place.subarray(0, length);
    },
  };
}

/**
 * The graph and the integers in a packed file, as the engine takes them. Weights and biases of quantized layers are
 * constants of the graph again, in float32; weights are only made where somebody asks for their data.
 *
 * A file that was read is well-formed; here its graph is checked as one: throws UNSUPPORTED_OPERATOR naming a node
 * whose operator there is not, MALFORMED_MODEL naming node and tensor where shapes, types or attributes do not fit or a
 * value would be larger than any that could be run.
 */
export function unpackedModel(model: PackedModel): { graph: Graph; quantization: Quantization } {
  for (const node of model.nodes) checkNode(node);
  const { name, opset, inputs, outputs, nodes, layers, activations } = model;
  const constants = new Map<string, Tensor>(model.constants);
  for (const node of nodes) {
    const layer = layers.get(node.name);
    if (layer) addLayer(constants, node, layer);
  }
  const form = { name, opset, inputs, outputs, nodes, constants, layout: 'channels-last' } as const;
  const types = symbolicTypes(form, checkedTypes);
  const graph: Graph = { ...form, types, rawSigma: new Map() };
  checkOutputs(graph);
  for (const value of activations.keys())
    if (typeOf(graph, value)?.dtype !== 'float32')
      malformed(
        `Expected a float32 value for the quantizer of ${JSON.stringify(value)} but received ${typeOf(graph, value)?.dtype ?? 'one without a type'}.`,
      );
  return { graph, quantization: { activations, layers } };
}

function checkNode(node: Node): void {
  if (!OPERATORS.has(node.op))
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected an operator that can be executed but received ${node.op} (node ${node.name}).`,
    );
  checkAttributes(node);
}

function typeOf(graph: Graph, value: string) {
  return graph.inputs.find(({ name }) => name === value) ?? graph.types.get(value);
}

/** The float constants of a layer, where no other node has them stored as floats already. */
function addLayer(constants: Map<string, Tensor>, node: Node, layer: ShapedLayer): void {
  const rank = layer.weightsShape.length;
  if (node.op === 'Linear' ? rank !== 2 : node.op !== 'Conv' || rank < 3)
    malformed(
      `Expected a Conv or a Linear for ${rank} dimensions of integer weights but received node ${node.name} (${node.op}).`,
    );
  const { bias, weightsShape } = layer;
  let data: Float32Array | undefined;
  add(constants, node, 1, {
    dtype: 'float32',
    shape: weightsShape,
    get data() {
      return (data ??= dequantizeWeights(layer.q, layer.scales));
    },
  });
  if (node.inputs[2]) add(constants, node, 2, { dtype: 'float32', shape: [bias.length], data: bias });
}

function add(constants: Map<string, Tensor>, node: Node, input: number, tensor: Tensor): void {
  const name = node.inputs[input];
  const other = constants.get(name);
  if (!other) constants.set(name, tensor);
  else if (other.dtype !== tensor.dtype || other.shape.join() !== tensor.shape.join())
    malformed(
      `Expected ${tensor.dtype} of shape [${tensor.shape.join(', ')}] for ${JSON.stringify(name)}, input ${input} of node ${node.name} (${node.op}), but received ${other.dtype} of shape [${other.shape.join(', ')}].`,
    );
}

/** As inferTypes, where nothing that a file says can cost more time or memory than its own size warrants. */
function checkedTypes(graph: Inferred, batch: number): Map<string, StaticType> {
  const values = new Map<string, Known>();
  for (const [name, value] of graph.constants)
    values.set(name, { dtype: value.dtype, shape: value.shape, value });
  for (const { name, dtype, shape } of graph.inputs) {
    const sizes = shape.map((size) => (typeof size === 'string' ? batch : size));
    checkSize(sizes, batch, `input ${JSON.stringify(name)}`);
    values.set(name, { dtype, shape: sizes });
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => (name === '' ? null : values.get(name)));
    if (inputs.includes(undefined)) continue;
    const outputs = outputsOf(graph, node, inputs as (Known | null)[]);
    node.outputs.forEach((name, i) => {
      const output = outputs[i];
      if (name === '' || !output) return;
      checkSize(output.shape, batch, `${JSON.stringify(name)}, output of node ${node.name} (${node.op}),`);
      values.set(name, output);
    });
  }
  for (const name of graph.constants.keys()) values.delete(name);
  return values;
}

function outputsOf(graph: Inferred, node: Node, inputs: readonly (Known | null)[]): (Known | null)[] {
  const { name, op } = node;
  if (inputs.every((input) => !input || input.value) && isLaborious(op))
    malformed(`Expected data that depend on an input for node ${name} (${op}) but received constants alone.`);
  try {
    return inferredOutputs(graph, node, inputs);
  } catch (cause) {
    if (cause instanceof SigmaQuantError && cause.code === 'MALFORMED_MODEL') throw cause;
    return malformed(
      `Expected inputs and attributes that fit for node ${name} (${op}) but received others (${(cause as Error).message}).`,
      cause,
    );
  }
}

function isLaborious(op: string): boolean {
  return OPERATORS.get(op)!.layout === 'spatial' || LABORIOUS.has(op);
}

function checkSize(shape: readonly number[], batch: number, what: string): void {
  const elements = shape.reduce((product, size) => product * size, 1);
  const isShape = shape.length <= MOST_AXES && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!isShape || elements > LARGEST_VALUE * batch)
    malformed(
      `Expected a shape of at most ${LARGEST_VALUE} elements per sample for ${what} but received [${shape.slice(0, MOST_AXES).join(', ')}].`,
    );
}

/** What the file says of outputs must be what its nodes make. */
function checkOutputs(graph: Graph): void {
  for (const { name, dtype, shape } of graph.outputs) {
    const type = graph.constants.get(name) ?? typeOf(graph, name);
    if (!type) continue;
    const fits = (size: number | string, axis: number) =>
      typeof size === 'string' || typeof shape[axis] === 'string' || size === shape[axis];
    if (type.dtype !== dtype || type.shape.length !== shape.length || !type.shape.every(fits))
      malformed(
        `Expected ${type.dtype} of shape [${type.shape.join(', ')}] for output ${JSON.stringify(name)} but received ${dtype} of shape [${shape.join(', ')}].`,
      );
  }
}
