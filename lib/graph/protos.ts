import { malformed } from '../errors.ts';
import { elementCount, type TensorProto } from '../onnx/index.ts';
import type { Dtype, Tensor, TensorData } from './graph.ts';
import { isSubByte, unpacked } from './sub-byte.ts';
import { ARRAYS, dtypeOf, isWide, zeros } from './tensors.ts';

/** A tensor of the file; integers below a byte become int8 or uint8, see checkReaders. */
export function tensorFromProto(proto: TensorProto, what: string): Tensor {
  if (isSubByte(proto.dataType)) {
    const data = unpacked(proto, elementCount(proto, what));
    const signed = data instanceof Int8Array;
    return { dtype: signed ? 'int8' : 'uint8', shape: proto.dims.map(Number), data };
  }
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
