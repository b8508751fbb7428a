import { create, toBinary } from '@bufbuild/protobuf';
import { refuse } from '../errors.ts';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorAnnotationSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './generated/onnx_pb.ts';
import { elementBits } from './reader.ts';

/** A tensor as it is stored: `data` little-endian elements, packed where the type is below a byte. */
export interface TensorValue {
  /** Name of the element type: `float32`, `int8`, `int4`, ... */
  dtype: string;
  shape: readonly number[];
  data: ArrayBufferView | readonly string[];
}

/** What an ONNX file will hold, as plain data. */
export interface FileModel {
  irVersion: number;
  opset: number;
  /** Further operator domains: name -> version. */
  domains?: ReadonlyMap<string, number>;
  name: string;
  producer?: { name: string; version: string };
  inputs: readonly FileValue[];
  outputs: readonly FileValue[];
  /** Types of values in between. */
  values?: readonly FileValue[];
  initializers: readonly FileTensor[];
  nodes: readonly FileNode[];
  /** Operators that the model brings itself, written with others. */
  functions?: readonly FileFunction[];
  metadata?: ReadonlyMap<string, string>;
  /** Tensor name -> role (SCALE_TENSOR, ZERO_POINT_TENSOR) -> tensor name. */
  quantization?: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export interface FileValue {
  name: string;
  dtype: string;
  shape: readonly (number | string)[];
  metadata?: ReadonlyMap<string, string>;
}

export interface FileTensor {
  name: string;
  tensor: TensorValue;
  metadata?: ReadonlyMap<string, string>;
}

export interface FileNode {
  name: string;
  op: string;
  domain?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Numbers, strings, lists of either, and tensors. */
  attributes: Readonly<Record<string, unknown>>;
  /** Attributes of type float, or lists of them, beside those that ONNX's operators have. */
  floats?: readonly string[];
}

/** An operator of a domain of its own, as nodes of other operators. */
export interface FileFunction {
  domain: string;
  name: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Names of the attributes that a node of it has; nodes inside refer to them by AttributeReference. */
  attributes: readonly string[];
  /** Opset of the nodes inside. */
  opset: number;
  nodes: readonly FileNode[];
}

/** The value of an attribute inside a function: what the node of the function has for `reference`. */
export interface AttributeReference {
  reference: string;
  type: 'INT' | 'FLOAT' | 'STRING';
}

const TYPES: Readonly<Record<string, TensorProto_DataType>> = {
  float32: TensorProto_DataType.FLOAT,
  float64: TensorProto_DataType.DOUBLE,
  float16: TensorProto_DataType.FLOAT16,
  bfloat16: TensorProto_DataType.BFLOAT16,
  int2: TensorProto_DataType.INT2,
  uint2: TensorProto_DataType.UINT2,
  int4: TensorProto_DataType.INT4,
  uint4: TensorProto_DataType.UINT4,
  int8: TensorProto_DataType.INT8,
  uint8: TensorProto_DataType.UINT8,
  int16: TensorProto_DataType.INT16,
  uint16: TensorProto_DataType.UINT16,
  int32: TensorProto_DataType.INT32,
  uint32: TensorProto_DataType.UINT32,
  int64: TensorProto_DataType.INT64,
  uint64: TensorProto_DataType.UINT64,
  bool: TensorProto_DataType.BOOL,
  string: TensorProto_DataType.STRING,
};

/** Attributes of type float (ONNX operators up to opset 25): whole values of others are written as int. */
const FLOATS = new Set([
  ...[
    'alpha',
    'beta',
    'gamma',
    'epsilon',
    'momentum',
    'bias',
    'lambd',
    'ratio',
    'min',
    'max',
    'mean',
    'scale',
  ],
  ...['low', 'high', 'value_float', 'cubic_coeff_a', 'extrapolation_value', 'spatial_scale'],
]);
const FLOAT_LISTS = new Set(['value_floats', 'scales', 'activation_alpha', 'activation_beta']);

const encoder = new TextEncoder();

/** Serializes a model. Throws INVALID_ARGUMENT for element types and attributes that ONNX does not have. */
export function writeModel(file: FileModel): Uint8Array<ArrayBuffer> {
  const { producer } = file;
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(file.irVersion),
    opsetImport: [
      { domain: '', version: BigInt(file.opset) },
      ...[...(file.domains ?? [])].map(([domain, version]) => ({ domain, version: BigInt(version) })),
    ],
    ...(producer ? { producerName: producer.name, producerVersion: producer.version } : {}),
    graph: {
      name: file.name,
      node: file.nodes.map(nodeProto),
      initializer: file.initializers.map(({ name, tensor, metadata }) => tensorProto(name, tensor, metadata)),
      input: file.inputs.map(valueProto),
      output: file.outputs.map(valueProto),
      valueInfo: (file.values ?? []).map(valueProto),
      quantizationAnnotation: [...(file.quantization ?? [])].map(([tensorName, names]) =>
        create(TensorAnnotationSchema, { tensorName, quantParameterTensorNames: entries(names) }),
      ),
    },
    functions: (file.functions ?? []).map(functionProto),
    metadataProps: entries(file.metadata),
  });
  return toBinary(ModelProtoSchema, model);
}

function nodeProto(node: FileNode): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    opType: node.op,
    ...(node.domain ? { domain: node.domain } : {}),
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: Object.entries(node.attributes).map(([name, value]) => attributeProto(node, name, value)),
  });
}

function functionProto({ domain, name, inputs, outputs, attributes, opset, nodes }: FileFunction) {
  return create(FunctionProtoSchema, {
    domain,
    name,
    input: [...inputs],
    output: [...outputs],
    attribute: [...attributes],
    opsetImport: [{ domain: '', version: BigInt(opset) }],
    node: nodes.map(nodeProto),
  });
}

function entries(map: ReadonlyMap<string, string> | undefined) {
  return [...(map ?? [])].map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }));
}

function dataType(dtype: string, what: string): TensorProto_DataType {
  return TYPES[dtype] ?? refuse('an element type of ONNX', what, dtype);
}

function tensorProto(
  name: string,
  { dtype, shape, data }: TensorValue,
  metadata?: ReadonlyMap<string, string>,
): TensorProto {
  const strings = ArrayBuffer.isView(data) ? null : data;
  if (!strings) checkSize(name, { dtype, shape, data });
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: dataType(dtype, name),
    ...(strings
      ? { stringData: strings.map((text) => encoder.encode(text)) }
      : { rawData: bytesOf(data as ArrayBufferView) }),
    metadataProps: entries(metadata),
  });
}

/** Elements below a byte are packed, the last byte filled with zeros: a length that does not fit was not packed. */
function checkSize(name: string, { dtype, shape, data }: TensorValue): void {
  const bits = elementBits(dataType(dtype, name))!;
  if (bits >= 8) return;
  const elements = shape.reduce((product, size) => product * size, 1);
  const expected = Math.ceil((elements * bits) / 8);
  const { byteLength } = data as ArrayBufferView;
  if (byteLength !== expected)
    refuse(`${expected} bytes of ${dtype} [${shape.join(', ')}]`, name, byteLength);
}

function bytesOf(data: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

function valueProto({ name, dtype, shape, metadata }: FileValue): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: dataType(dtype, name),
          shape: {
            dim: shape.map((size) => ({
              value:
                typeof size === 'string'
                  ? { case: 'dimParam' as const, value: size }
                  : { case: 'dimValue' as const, value: BigInt(size) },
            })),
          },
        },
      },
    },
    metadataProps: entries(metadata),
  });
}

function attributeProto(node: FileNode, name: string, value: unknown): AttributeProto {
  const { FLOAT, INT, STRING, TENSOR, FLOATS: LIST, INTS, STRINGS } = AttributeProto_AttributeType;
  const declared = node.floats?.includes(name) ?? false;
  const isFloat = (x: number) => declared || FLOATS.has(name) || !Number.isInteger(x);
  if (typeof value === 'number')
    return create(
      AttributeProtoSchema,
      isFloat(value) ? { name, type: FLOAT, f: value } : { name, type: INT, i: BigInt(value) },
    );
  if (typeof value === 'string')
    return create(AttributeProtoSchema, { name, type: STRING, s: encoder.encode(value) });
  if (Array.isArray(value)) {
    if (value.length > 0 && value.every((item) => typeof item === 'string'))
      return create(AttributeProtoSchema, {
        name,
        type: STRINGS,
        strings: value.map((item) => encoder.encode(item)),
      });
    if (value.every((item) => typeof item === 'number')) {
      const floats = declared || FLOAT_LISTS.has(name) || value.some((item) => !Number.isInteger(item));
      return create(
        AttributeProtoSchema,
        floats ? { name, type: LIST, floats: value } : { name, type: INTS, ints: value.map(BigInt) },
      );
    }
  }
  if (typeof value === 'object' && value !== null && 'reference' in value) {
    const { reference, type } = value as AttributeReference;
    return create(AttributeProtoSchema, {
      name,
      refAttrName: reference,
      type: AttributeProto_AttributeType[type],
    });
  }
  if (typeof value === 'object' && value !== null && 'dtype' in value)
    return create(AttributeProtoSchema, { name, type: TENSOR, t: tensorProto(name, value as TensorValue) });
  return refuse('a number, string, list or tensor', `attribute ${name} of node ${node.name}`, value);
}

/** A model that was read, in one piece: tensors that lay in other files are in it. */
export function encodeModel(model: ModelProto): Uint8Array<ArrayBuffer> {
  return toBinary(ModelProtoSchema, model);
}
