import { SigmaQuantError } from '../errors.ts';
import { elementCount, malformed, type TensorProto, TensorProto_DataType } from '../onnx/index.ts';
import { bfloat16ToNumber, float16ToNumber, numberToBfloat16, numberToFloat16 } from './float16.ts';
import type { Dtype, FloatTensor, Tensor, TensorData } from './graph.ts';

/** By TensorProto.DataType; undefined where the graph has no such tensor. */
const DTYPES: readonly (Dtype | undefined)[] = [
  undefined,
  ...(['float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool'] as const),
  ...(['float16', 'float64', 'uint32', 'uint64'] as const),
  undefined,
  undefined,
  'bfloat16',
];

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

export const isFloat = (dtype: Dtype) => /float/.test(dtype);
/** Types whose arrays convert numbers themselves. */
const PLAIN: ReadonlySet<Dtype> = new Set([
  ...(['float32', 'float64', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32'] as const),
]);
/** Held as bigint. */
export const isWide = (dtype: Dtype) => dtype === 'int64' || dtype === 'uint64';

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The graph's name of a TensorProto.DataType. Throws UNSUPPORTED_MODEL for types it has no tensor of. */
export function dtypeOf(dataType: number, what: string): Dtype {
  const dtype = DTYPES[dataType];
  if (dtype) return dtype;
  const name = TensorProto_DataType[dataType] ?? `number ${dataType}`;
  throw new SigmaQuantError(
    dataType in TensorProto_DataType && dataType !== 0 ? 'UNSUPPORTED_MODEL' : 'MALFORMED_MODEL',
    `Expected a tensor of floats, integers of 8 bits or more, bool or strings for ${what} but received data type ${name}.`,
  );
}

export function zeros(dtype: Dtype, length: number): TensorData {
  return dtype === 'string' ? new Array<string>(length).fill('') : new ARRAYS[dtype](length);
}

export function floatTensor(shape: readonly number[], data: Float32Array): FloatTensor {
  return { dtype: 'float32', shape, data };
}

export function int64Tensor(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
  return { dtype: 'int64', shape, data: BigInt64Array.from(values, BigInt) };
}

/** Elements as numbers for reading: the data themselves where they are numbers, else a converted copy. */
export function numbers(tensor: Tensor): ArrayLike<number> {
  const { dtype, data } = tensor;
  if (dtype === 'float16') return Float64Array.from(data as Uint16Array, float16ToNumber);
  if (dtype === 'bfloat16') return Float64Array.from(data as Uint16Array, bfloat16ToNumber);
  if (dtype === 'string') return Float64Array.from(data as string[], parsed);
  if (isWide(dtype)) return Float64Array.from(data as ArrayLike<bigint> as never, Number);
  return data as Float32Array;
}

/** Infinity is written in several ways. */
function parsed(text: string): number {
  const infinite = /^\s*([+-]?)inf(inity)?\s*$/i.exec(text);
  return infinite ? Number(`${infinite[1]}Infinity`) : Number(text);
}

/** A tensor of `dtype` from numbers; fractions are cut off for integer types, which wrap. */
export function fromNumbers(dtype: Dtype, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const { length } = values;
  const data = zeros(dtype, length);
  if (PLAIN.has(dtype)) {
    (data as Float32Array).set(values);
    return { dtype, shape, data };
  }
  const target = data as { [index: number]: unknown };
  for (let i = 0; i < length; i++) target[i] = element(dtype, values[i]);
  return { dtype, shape, data };
}

function element(dtype: Dtype, value: number): number | bigint | string {
  if (dtype === 'float16') return numberToFloat16(value);
  if (dtype === 'bfloat16') return numberToBfloat16(value);
  if (dtype === 'string') return String(value);
  if (isWide(dtype)) return BigInt(Number.isFinite(value) ? Math.trunc(value) : 0);
  return dtype === 'bool' ? (value ? 1 : 0) : value;
}

/** The same elements in float32; the tensor itself where it is that already. */
export function toFloat32(tensor: Tensor): FloatTensor {
  if (tensor.dtype === 'float32') return tensor as FloatTensor;
  return floatTensor(tensor.shape, Float32Array.from(numbers(tensor)));
}

export function tensorFromProto(proto: TensorProto, what: string): Tensor {
  const dtype = dtypeOf(proto.dataType, what);
  const shape = proto.dims.map(Number);
  const count = elementCount(proto, what);
  if (dtype === 'string') {
    const decoder = new TextDecoder();
    return { dtype, shape, data: proto.stringData.map((bytes) => decoder.decode(bytes)) };
  }
  const { rawData } = proto;
  if (rawData.length > 0) return { dtype, shape, data: viewOf(dtype, rawData, count) };
  const list: readonly (number | bigint)[] =
    dtype === 'float32'
      ? proto.floatData
      : dtype === 'float64'
        ? proto.doubleData
        : dtype === 'int64'
          ? proto.int64Data
          : dtype === 'uint64' || dtype === 'uint32'
            ? proto.uint64Data
            : proto.int32Data;
  if (list.length !== count)
    malformed(
      `Expected ${count} elements for ${what} of shape [${shape.join(', ')}] but received ${list.length}.`,
    );
  const data = zeros(dtype, count) as { [index: number]: number | bigint };
  const wide = isWide(dtype);
  for (let i = 0; i < count; i++) data[i] = wide ? BigInt(list[i]) : Number(list[i]);
  return { dtype, shape, data: data as TensorData };
}

/** A view of the file's bytes where their alignment allows it, else of a copy. */
function viewOf(dtype: Exclude<Dtype, 'string'>, bytes: Uint8Array, count: number): TensorData {
  const type = ARRAYS[dtype];
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, count);
}
