import { malformed, SigmaQuantError } from '../errors.ts';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  type ModelProto,
  type NodeProto,
  readModel,
  type ValueInfoProto,
} from '../onnx/index.ts';
import type { Attribute, Dimension, Graph, Node, Port, Tensor, ValueType } from './graph.ts';
import { OPERATORS } from './ops.ts';
import { inOrder } from './order.ts';
import { tensorFromProto } from './protos.ts';
import { checkConstants, refuseQuantized, widen } from './screening.ts';
import { simplify } from './simplify.ts';
import { checkReaders } from './sub-byte.ts';
import { dtypeOf } from './tensors.ts';

export interface ImportOptions {
  /** Shapes of inputs whose dimensions the model leaves open, by input name; a named batch keeps its name. */
  inputShapes?: Readonly<Record<string, readonly number[]>>;
  /** Default true. */
  foldBatchNorm?: boolean;
  /** Imports models that hold quantized operators, which are refused by default. */
  acceptQuantized?: boolean;
  /** Turns quantized constants into the floats that they stand for, so that operators have constant weights again. */
  foldQuantized?: boolean;
  /**
   * Types of values that operators without a row make, with the batch as its name or a multiple of it (`batch`,
   * `4*batch`): what comes behind such a value is then known too.
   */
  types?: ReadonlyMap<string, ValueType>;
}

/** Operator sets whose meaning the table knows, but for the operators below. */
const OLDEST_OPSET = 1;
const NEWEST_OPSET = 26;
/** The set that gave operators their present meaning (numpy's broadcasting above all), and those that had another. */
const REFORM = 7;
const REFORMED = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less', 'PRelu', 'Gemm'],
  ...['BatchNormalization', 'Dropout', 'Upsample', 'Pad', 'Cast', 'Concat', 'Reshape', 'Split', 'Tile'],
]);
/** What a nameless first dimension is called. */
const BATCH = 'batch';

const decoder = new TextDecoder();

/**
 * An ONNX model as a simplified graph in onnx form. Throws MALFORMED_MODEL, UNSUPPORTED_MODEL, and
 * INVALID_ARGUMENT for shapes that do not fit. Unknown operators are imported: see unsupportedNodes.
 */
export function importGraph(source: Uint8Array | ModelProto, options: ImportOptions = {}): { graph: Graph } {
  const model = source instanceof Uint8Array ? readModel(source) : source;
  const graph = rawGraph(model, options);
  if (!options.acceptQuantized) refuseQuantized(graph);
  checkConstants(graph);
  return {
    graph: simplify(widen(graph), options.foldBatchNorm ?? true, options.foldQuantized ?? false),
  };
}

function rawGraph(model: ModelProto, { inputShapes = {}, types }: ImportOptions): Graph {
  const proto = model.graph!;
  const version = model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version;
  const opset = Number(version ?? 0n);
  if (opset < OLDEST_OPSET || opset > NEWEST_OPSET)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected operator set ${OLDEST_OPSET} to ${NEWEST_OPSET} but received ${version ?? 'none'}.`,
    );
  const older = opset < REFORM ? proto.node.find(({ opType }) => REFORMED.has(opType)) : undefined;
  if (older)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected operator set ${REFORM} or later for node ${JSON.stringify(older.name)} (${older.opType}) but received ${opset}.`,
    );
  const constants = new Map<string, Tensor>();
  for (const tensor of proto.initializer) {
    if (tensor.name === '') malformed('Expected a name for every initializer but received one without.');
    if (constants.has(tensor.name))
      malformed(`Expected one initializer named ${JSON.stringify(tensor.name)} but received two.`);
    constants.set(tensor.name, tensorFromProto(tensor, `tensor ${JSON.stringify(tensor.name)}`));
  }
  checkReaders(proto.node, proto.initializer);
  const inputs = inputPorts(
    proto.input.filter(({ name }) => !constants.has(name)),
    inputShapes,
  );
  const outputs = outputPorts(proto.output);
  return {
    name: proto.name,
    opset,
    inputs,
    outputs,
    nodes: inOrder(importNodes(proto.node), inputs, outputs, constants),
    constants,
    types: new Map(),
    ...(types ? { given: types } : {}),
    rawSigma: new Map(),
    layout: 'onnx',
  };
}

function importNodes(protos: readonly NodeProto[]): Node[] {
  const given = new Set(protos.map(({ name }) => name));
  const taken = new Set<string>();
  return protos.map((proto, index) => {
    const op =
      proto.domain === '' || proto.domain === 'ai.onnx' ? proto.opType : `${proto.domain}.${proto.opType}`;
    let name = proto.name || `${proto.opType}_${index}`;
    for (let i = 2; taken.has(name) || (proto.name === '' && given.has(name)); i++)
      name = `${proto.name || `${proto.opType}_${index}`}_${i}`;
    taken.add(name);
    const attributes: Record<string, Attribute> = {};
    for (const attribute of proto.attribute) {
      const value = attributeValue(attribute, name);
      if (value !== null) attributes[attribute.name] = value;
    }
    const node = { name, op, inputs: proto.input, outputs: proto.output, attributes };
    return OPERATORS.has(op) ? node : { ...node, floats: floatAttributes(proto) };
  });
}

function floatAttributes({ attribute }: NodeProto): string[] {
  const { FLOAT, FLOATS } = AttributeProto_AttributeType;
  return attribute.filter(({ type }) => type === FLOAT || type === FLOATS).map(({ name }) => name);
}

/** Null for what no operator of the table has (graphs, types, sparse tensors). */
function attributeValue(attribute: AttributeProto, node: string): Attribute | null {
  const { FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS } = AttributeProto_AttributeType;
  switch (attribute.type) {
    case FLOAT:
      return attribute.f;
    case INT:
      return Number(attribute.i);
    case STRING:
      return decoder.decode(attribute.s);
    case TENSOR:
      if (!attribute.t)
        malformed(`Expected a tensor for attribute ${attribute.name} of node ${node} but received none.`);
      return tensorFromProto(attribute.t, `attribute ${attribute.name} of node ${node}`);
    case FLOATS:
      return attribute.floats;
    case INTS:
      return attribute.ints.map(Number);
    case STRINGS:
      return attribute.strings.map((bytes) => decoder.decode(bytes));
    default:
      return null;
  }
}

/** Declared type; the shape is null where the model says nothing of it. */
function declared(info: ValueInfoProto): {
  name: string;
  elemType: number;
  dims: (Dimension | null)[] | null;
} {
  const { name, type } = info;
  if (type && type.value.case !== undefined && type.value.case !== 'tensorType')
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected a tensor for ${JSON.stringify(name)} but received a ${type.value.case.replace(/Type$/, '')}.`,
    );
  const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
  const dims = tensor?.shape?.dim.map(({ value }) => {
    if (value.case === 'dimValue' && value.value > 0n) return Number(value.value);
    return value.case === 'dimParam' && value.value !== '' ? value.value : null;
  });
  return { name, elemType: tensor?.elemType ?? 1, dims: dims ?? null };
}

function inputPorts(
  infos: readonly ValueInfoProto[],
  shapes: Readonly<Record<string, readonly number[]>>,
): Port[] {
  const names = infos.map(({ name }) => name);
  for (const name of Object.keys(shapes))
    if (!names.includes(name))
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected an input of the model (${names.join(', ')}) for --input-shape but received ${JSON.stringify(name)}.`,
      );
  if (new Set(names).size !== names.length)
    malformed(`Expected distinct inputs but received ${names.join(', ')}.`);
  return infos.map((info) => inputPort(info, shapes[info.name]));
}

function inputPort(info: ValueInfoProto, given: readonly number[] | undefined): Port {
  const { name, elemType, dims } = declared(info);
  const dtype = dtypeOf(elemType, `input ${JSON.stringify(name)}`);
  if (given) {
    const fits = dims === null || dims.length === given.length;
    if (!fits || dims?.some((size, axis) => axis > 0 && typeof size === 'number' && size !== given[axis]))
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected a shape like [${dims!.map((size) => size ?? '?').join(', ')}] for input ${JSON.stringify(name)} but received [${given.join(', ')}].`,
      );
    const batch = dims?.[0] ?? BATCH;
    return {
      name,
      dtype,
      shape: [typeof batch === 'string' ? batch : given[0], ...given.slice(1)].slice(0, given.length),
    };
  }
  const open = dims === null ? 0 : dims.findIndex((size, axis) => axis > 0 && typeof size !== 'number');
  if (dims === null || open > 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected fixed sizes behind the batch for input ${JSON.stringify(name)} but received ${dims === null ? 'no shape' : `[${dims.map((size) => size ?? '?').join(', ')}]`}; give them with --input-shape ${name}=${example(dims)}.`,
    );
  return { name, dtype, shape: dims.map((size) => size ?? BATCH) };
}

/** A shape as one would write it: the batch is 1, what else is open 224. */
function example(dims: readonly (Dimension | null)[] | null): string {
  return (dims ?? [1, 3, null, null])
    .map((size, axis) => (typeof size === 'number' ? size : axis > 0 ? 224 : 1))
    .join('x');
}

function outputPorts(infos: readonly ValueInfoProto[]): Port[] {
  if (infos.length === 0) malformed('Expected at least one output but received none.');
  return infos.map((info) => {
    const { name, elemType, dims } = declared(info);
    const shape = (dims ?? []).map((size, axis) => size ?? (axis === 0 ? BATCH : `${name}_${axis}`));
    return { name, dtype: dtypeOf(elemType, `output ${JSON.stringify(name)}`), shape };
  });
}
