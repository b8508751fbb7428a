import { create, toBinary } from '@bufbuild/protobuf';
import { SigmaQuantError } from '../errors.ts';
import type { Dtype, Graph, Port, Tensor, ValueType } from '../graph/graph.ts';
import { batchSymbol, dimensionAt, OPERATORS, sizeOf } from '../graph/index.ts';
import { zeros } from '../graph/tensors.ts';
import {
  AttributeProto_AttributeType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  readModel,
  ValueInfoProtoSchema,
} from '../onnx/index.ts';
import type { Onnxruntime } from './runtime.ts';

/** Batches that are run: what differs between them depends on the batch. */
const BATCHES = [2, 3] as const;
/** TensorProto.DataType of the floats that import widens. */
const NARROW: Readonly<Record<number, Dtype>> = { 10: 'float16', 11: 'float64', 16: 'bfloat16' };
const { GRAPH, GRAPHS } = AttributeProto_AttributeType;

/**
 * Types of the values that inference could not type in `graph`, imported from `model`: onnxruntime computes them from
 * zeros. Empty where there is no operator that we lack. Throws UNSUPPORTED_OPERATOR where onnxruntime lacks one too,
 * UNSUPPORTED_MODEL for operators that hold graphs (If, Loop, Scan).
 */
export function valueTypes(runtime: Onnxruntime, model: Uint8Array, graph: Graph): Map<string, ValueType> {
  const proto = readModel(model).graph!;
  const unknown = proto.node.filter((node) => !OPERATORS.has(operatorOf(node)));
  if (unknown.length === 0) return new Map();
  unknown.forEach(refuseGraphs);
  const names = untyped(proto, graph);
  const session = runtime.session(withOutputs(model, proto, names), 1);
  try {
    const symbol = batchSymbol(graph);
    const seen = (symbol === undefined ? [1] : BATCHES).map((batch) =>
      session.run(new Map(graph.inputs.map((input) => [input.name, zerosOf(proto, input, batch)])), names),
    );
    const [a, b] = [seen[0], seen.at(-1)!];
    return new Map(names.map((name) => [name, typeOf(a.get(name)!, b.get(name)!, symbol ?? '')]));
  } finally {
    session.release();
  }
}

function operatorOf({ domain, opType }: NodeProto): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`;
}

function refuseGraphs({ name, opType, attribute }: NodeProto): void {
  const nested = attribute.find(({ type }) => type === GRAPH || type === GRAPHS);
  if (nested)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected nodes without graphs of their own but received one in attribute ${nested.name} of node ${JSON.stringify(name)} (${opType}); export the model without control flow.`,
    );
}

/** Values of the file whose types are not known, its outputs included. */
function untyped({ node, output, initializer }: GraphProto, { types }: Graph): string[] {
  const known = new Set([...types.keys(), ...initializer.map(({ name }) => name)]);
  const names = node.flatMap(({ output: made, opType }) => (opType === 'Constant' ? [] : made));
  return [
    ...new Set([...names.filter((name) => name && !known.has(name)), ...output.map(({ name }) => name)]),
  ];
}

/** Protobuf merges what follows into what came before: a further graph adds its outputs to the first one's. */
function withOutputs(model: Uint8Array, { output }: GraphProto, names: readonly string[]): Uint8Array {
  const present = new Set(output.map(({ name }) => name));
  const added = names
    .filter((name) => !present.has(name))
    .map((name) => create(ValueInfoProtoSchema, { name }));
  const more = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { graph: create(GraphProtoSchema, { output: added }) }),
  );
  const bytes = new Uint8Array(model.length + more.length);
  bytes.set(model);
  bytes.set(more, model.length);
  return bytes;
}

/** In the type that the file says: the graph's may have been widened. */
function zerosOf({ input }: GraphProto, { name, dtype, shape }: Port, batch: number): Tensor {
  const type = input.find((info) => info.name === name)?.type?.value;
  const stored = type?.case === 'tensorType' ? (NARROW[type.value.elemType] ?? dtype) : dtype;
  const sizes = shape.map((size) => (typeof size === 'string' ? batch : size));
  return { dtype: stored, shape: sizes, data: zeros(stored, sizeOf(sizes)) };
}

function typeOf(a: Tensor, b: Tensor, symbol: string): ValueType {
  const shape = a.shape.map((size, axis) => dimensionAt([size, b.shape[axis]], BATCHES, symbol));
  return { dtype: a.dtype, shape };
}
