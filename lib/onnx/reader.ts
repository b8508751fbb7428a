import { fromBinary } from '@bufbuild/protobuf';
import { malformed, SigmaQuantError } from '../errors.ts';
import { embedExternal, type ReadExternal } from './external-data.ts';
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from './generated/onnx_pb.ts';
import { countNodes } from './node-count.ts';

/** Protobuf's own limit on one message. */
const LARGEST_FILE = 2 ** 31;
/** Far above real networks (GPT-class exports have some ten thousand); bounds the memory of a hostile file. */
const MOST_NODES = 1_000_000;
/** ONNX sets none; more axes than this appear in no operator. */
const LARGEST_RANK = 32;
/** What one typed array of any element type can hold. */
const MOST_ELEMENTS = 2 ** 31 - 1;
/** Protobuf nesting: eight levels belong to a flat model, the rest to graphs inside If and Loop. */
const DEEPEST_NESTING = 100;

/** Bits per element by TensorProto.DataType; 0 where elements have no fixed size. */
const ELEMENT_BITS = [
  0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2,
];

export interface ReadOptions {
  /** Bytes at most; 2 GiB by default. */
  largestFile?: number;
  /** Reads tensors that lie in other files; without it a model with such tensors is refused. */
  external?: ReadExternal;
}

/** Bits per element of a TensorProto.DataType, 0 for strings; null for types that IR 13 does not know. */
export function elementBits(dataType: number): number | null {
  return dataType > 0 && dataType < ELEMENT_BITS.length ? ELEMENT_BITS[dataType] : null;
}

/**
 * Decodes a model and checks every size in it; raw tensor data are views into `bytes`, external data what `external`
 * gave. Throws MALFORMED_MODEL, UNSUPPORTED_MODEL for what is not read, and whatever `external` throws.
 */
export function readModel(
  bytes: Uint8Array,
  { largestFile = LARGEST_FILE, external }: ReadOptions = {},
): ModelProto {
  if (bytes.length === 0) malformed('Expected an ONNX model but received an empty file.');
  if (bytes.length > largestFile)
    malformed(`Expected an ONNX model of at most ${largestFile} bytes but received ${bytes.length}.`);
  const nodes = countNodes(bytes);
  if (nodes !== null && nodes > MOST_NODES)
    malformed(`Expected at most ${MOST_NODES} nodes but received ${nodes}.`);
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes, {
      recursionLimit: DEEPEST_NESTING,
      readUnknownFields: false,
    });
  } catch (cause) {
    malformed(
      `Expected an ONNX model but received ${bytes.length} bytes that are not one (truncated, or another format).`,
      cause,
    );
  }
  if (!model.graph || model.opsetImport.length === 0)
    malformed(
      'Expected an ONNX model with a graph and an operator set but received a file without (truncated, or another format).',
    );
  checkGraph(model.graph, external);
  checkFunctions(model.functions, external);
  return model;
}

/** Decodes a single tensor (a TensorProto file). Throws MALFORMED_MODEL. */
export function readTensor(bytes: Uint8Array): TensorProto {
  let tensor: TensorProto;
  try {
    tensor = fromBinary(TensorProtoSchema, bytes, { readUnknownFields: false });
  } catch (cause) {
    malformed(`Expected a tensor but received ${bytes.length} bytes that are not one.`, cause);
  }
  checkTensor(tensor, `tensor ${JSON.stringify(tensor.name)}`);
  return tensor;
}

/** Product of the dimensions; throws where a dimension is negative or no typed array could hold them. */
export function elementCount(tensor: TensorProto, what: string): number {
  if (tensor.dims.length > LARGEST_RANK)
    malformed(`Expected at most ${LARGEST_RANK} dimensions for ${what} but received ${tensor.dims.length}.`);
  const shape = tensor.dims.map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.some((size) => !(size >= 0)) || count > MOST_ELEMENTS)
    malformed(
      `Expected dimensions >= 0 and at most ${MOST_ELEMENTS} elements for ${what} but received [${shape.join(', ')}].`,
    );
  return count;
}

function checkGraph(graph: GraphProto, external?: ReadExternal): void {
  if (graph.node.length > MOST_NODES)
    malformed(`Expected at most ${MOST_NODES} nodes but received ${graph.node.length}.`);
  if (graph.sparseInitializer.length > 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected dense initializers but received ${graph.sparseInitializer.length} sparse ones, ${JSON.stringify(graph.sparseInitializer[0].values?.name ?? '')} first.`,
    );
  for (const tensor of graph.initializer)
    checkTensor(tensor, `tensor ${JSON.stringify(tensor.name)}`, external);
  for (const node of graph.node)
    for (const attribute of node.attribute) checkAttribute(attribute, node, external);
}

/** Operators that the model brings itself: the same checks of their constants. */
function checkFunctions(functions: readonly FunctionProto[], external?: ReadExternal): void {
  for (const { node: nodes } of functions)
    for (const node of nodes)
      for (const attribute of node.attribute) checkAttribute(attribute, node, external);
}

function checkAttribute(attribute: AttributeProto, node: NodeProto, external?: ReadExternal): void {
  const what = `attribute ${attribute.name} of node ${JSON.stringify(node.name || node.opType)}`;
  for (const tensor of attribute.t ? [attribute.t, ...attribute.tensors] : attribute.tensors)
    checkTensor(tensor, what, external);
  for (const graph of attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs)
    checkGraph(graph, external);
}

function checkTensor(tensor: TensorProto, what: string, external?: ReadExternal): void {
  const count = elementCount(tensor, what);
  const bits = elementBits(tensor.dataType);
  if (bits === null) malformed(`Expected a data type of ONNX for ${what} but received ${tensor.dataType}.`);
  const type = TensorProto_DataType[tensor.dataType].toLowerCase();
  const sizes = `${type} of shape [${tensor.dims.join(', ')}]`;
  const expectedBytes = Math.ceil((count * bits) / 8);
  if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL || tensor.externalData.length > 0) {
    if (bits === 0) malformed(`Expected strings inside the model for ${what} but received external data.`);
    embedExternal(tensor, expectedBytes, what, external);
    if (count === 0) return;
  }
  if (tensor.rawData.length > 0) {
    if (bits === 0 || tensor.rawData.length !== expectedBytes)
      malformed(
        `Expected ${bits === 0 ? 'no raw' : expectedBytes} bytes for ${what} (${sizes}) but received ${tensor.rawData.length}.`,
      );
    return;
  }
  const received = storedElements(tensor);
  // Sub-byte elements in int32_data are packed as they are in raw data; complex ones take two floats.
  const expected = bits > 0 && bits < 8 ? Math.ceil((count * bits) / 8) : bits === 128 ? 2 * count : count;
  const complex64 = tensor.dataType === TensorProto_DataType.COMPLEX64;
  if (received !== (complex64 ? 2 * count : expected))
    malformed(`Expected ${expected} elements for ${what} (${sizes}) but received ${received}.`);
}

/** Length of the typed field that holds the tensor's data type. */
function storedElements(tensor: TensorProto): number {
  const { FLOAT, COMPLEX64, DOUBLE, COMPLEX128, INT64, UINT32, UINT64, STRING } = TensorProto_DataType;
  switch (tensor.dataType) {
    case FLOAT:
    case COMPLEX64:
      return tensor.floatData.length;
    case DOUBLE:
    case COMPLEX128:
      return tensor.doubleData.length;
    case INT64:
      return tensor.int64Data.length;
    case UINT32:
    case UINT64:
      return tensor.uint64Data.length;
    case STRING:
      return tensor.stringData.length;
    default:
      return tensor.int32Data.length;
  }
}
