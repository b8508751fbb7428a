import { SigmaQuantError } from '../errors.ts';
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

/** Types of ONNX that have no tensor here, by TensorProto.DataType; for messages. */
const OTHER_TYPES: Readonly<Record<number, string>> = {
  14: 'COMPLEX64',
  15: 'COMPLEX128',
  17: 'FLOAT8E4M3FN',
  18: 'FLOAT8E4M3FNUZ',
  19: 'FLOAT8E5M2',
  20: 'FLOAT8E5M2FNUZ',
  21: 'UINT4',
  22: 'INT4',
  23: 'FLOAT4E2M1',
  24: 'FLOAT8E8M0',
  25: 'UINT2',
  26: 'INT2',
};

export const ARRAYS = {
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
  const name = OTHER_TYPES[dataType];
  throw new SigmaQuantError(
    name ? 'UNSUPPORTED_MODEL' : 'MALFORMED_MODEL',
    `Expected a tensor of floats, integers of 8 bits or more, bool or strings for ${what} but received data type ${name ?? `number ${dataType}`}.`,
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
