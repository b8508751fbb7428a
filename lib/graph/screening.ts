import { malformed, SigmaQuantError } from '../errors.ts';
import type { Attribute, Dtype, Graph, Node, Tensor, ValueType } from './graph.ts';
import { toFloat32 } from './tensors.ts';

/** Operators that show that a model has been quantized before. */
const QUANTIZED =
  /^(QuantizeLinear|DequantizeLinear|DynamicQuantizeLinear|QLinear\w+|ConvInteger|MatMulInteger|MatMulNBits|QGemm|QAttention|(.*\.)?(Int|Bipolar)?Quant|com\.microsoft\.Q(?!uickGelu$)\w+|com\.microsoft\.(MatMulNBits|DynamicQuantize\w+|QuantizeLinear|DequantizeLinear))$/;
/** Operators whose constant inputs are weights: these must be finite. */
const WEIGHTED = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Linear', 'BatchNormalization']);
/** TensorProto.DataType of float32, for Cast. */
const FLOAT = 1;
const NARROW: ReadonlySet<Dtype> = new Set(['float16', 'bfloat16', 'float64']);

/** Throws UNSUPPORTED_MODEL for a model that is quantized already. */
export function refuseQuantized(graph: Graph): void {
  const node = graph.nodes.find(({ op }) => QUANTIZED.test(op));
  if (node)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected a float model but received one that is already quantized: node ${node.name} is a ${node.op}.`,
    );
}

/** Throws MALFORMED_MODEL, naming the tensor, for weights that are not finite. */
export function checkConstants(graph: Pick<Graph, 'nodes' | 'constants'>): void {
  for (const node of graph.nodes) {
    if (node.op === 'Constant' && 'data' in Object(node.attributes['value']))
      checkFinite(node.attributes['value'] as Tensor, node.outputs[0], true);
    if (!WEIGHTED.has(node.op)) continue;
    for (const name of node.inputs) {
      const tensor = graph.constants.get(name);
      if (tensor) checkFinite(tensor, name, false);
    }
  }
  for (const [name, tensor] of graph.constants) checkFinite(tensor, name, true);
}

/** Infinite constants are legitimate elsewhere (limits of a Clip, masks). */
function checkFinite(tensor: Tensor, name: string, infinite: boolean): void {
  if (tensor.dtype !== 'float32' && tensor.dtype !== 'float64') {
    if (NARROW.has(tensor.dtype)) checkFinite(toFloat32(tensor), name, infinite);
    return;
  }
  const data = tensor.data as Float32Array;
  for (let i = 0; i < data.length; i++)
    if (infinite ? Number.isNaN(data[i]) : !Number.isFinite(data[i]))
      malformed(
        `Expected finite values for tensor ${JSON.stringify(name)} but received ${data[i]} at element ${i}.`,
      );
}

/**
 * A model that stores weights in float16, bfloat16 or float64 as one in float32: all its constants of these types, its
 * inputs, outputs and casts. A model without such weights stays as it is.
 */
export function widen(graph: Graph): Graph {
  const isStored = ({ attributes }: Node) =>
    Object.values(attributes).some((value) => isTensor(value) && NARROW.has(value.dtype));
  const stored = [...graph.constants.values()].some(({ dtype }) => NARROW.has(dtype));
  if (!stored && !graph.nodes.some((node) => node.op === 'Constant' && isStored(node))) return graph;
  const port = <T extends ValueType>(value: T): T =>
    NARROW.has(value.dtype) ? { ...value, dtype: 'float32' } : value;
  return {
    ...graph,
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    ...(graph.given ? { given: new Map([...graph.given].map(([name, type]) => [name, port(type)])) } : {}),
    constants: new Map([...graph.constants].map(([name, tensor]) => [name, widened(tensor)])),
    nodes: graph.nodes.map((node) => ({ ...node, attributes: widenedAttributes(node) })),
  };
}

function isTensor(value: Attribute): value is Tensor {
  return typeof value === 'object' && 'dtype' in value;
}

function widened(tensor: Tensor): Tensor {
  return NARROW.has(tensor.dtype) ? toFloat32(tensor) : tensor;
}

function widenedAttributes(node: Node): Record<string, Attribute> {
  const attributes = Object.fromEntries(
    Object.entries(node.attributes).map(([name, value]) => [name, isTensor(value) ? widened(value) : value]),
  );
  // 10 is float16, 11 float64, 16 bfloat16.
  if (node.op === 'Cast' && [10, 11, 16].includes(attributes['to'] as number)) attributes['to'] = FLOAT;
  return attributes;
}
