import { SigmaQuantError } from '../errors.ts';
import { type NodeProto, type TensorProto, TensorProto_DataType } from '../onnx/index.ts';
import { unpack } from '../sqnt/packing.ts';

/** Element types of ONNX below a byte that stand for whole numbers. */
const { INT2, UINT2, INT4, UINT4 } = TensorProto_DataType;
const TYPES: ReadonlyMap<number, { bits: number; signed: boolean }> = new Map([
  [INT2, { bits: 2, signed: true }],
  [UINT2, { bits: 2, signed: false }],
  [INT4, { bits: 4, signed: true }],
  [UINT4, { bits: 4, signed: false }],
]);
/** The one operator that reads such tensors as the numbers that they are. */
const READER = 'DequantizeLinear';

export function isSubByte(dataType: number): boolean {
  return TYPES.has(dataType);
}

/**
 * The `count` elements of a tensor of such a type, a byte each: graphs have no narrower ones. The reader has checked its
 * size, so nothing grows more than fourfold.
 */
export function unpacked(
  { dataType, rawData, int32Data }: TensorProto,
  count: number,
): Int8Array | Uint8Array {
  const { bits, signed } = TYPES.get(dataType)!;
  const packed = rawData.length > 0 ? rawData : Uint8Array.from(int32Data);
  const q = new Int8Array(count);
  unpack(packed, bits, q);
  return signed ? q : Uint8Array.from(q, (value) => value & (2 ** bits - 1));
}

/** Throws UNSUPPORTED_MODEL where another operator reads such a tensor: as bytes it would saturate elsewhere. */
export function checkReaders(nodes: readonly NodeProto[], initializers: readonly TensorProto[]): void {
  const constants = nodes.flatMap(({ opType, attribute, output }) =>
    opType === 'Constant' && attribute.some(({ t }) => t && isSubByte(t.dataType)) ? output : [],
  );
  const narrow = new Set([
    ...initializers.filter(({ dataType }) => isSubByte(dataType)).map(({ name }) => name),
    ...constants,
  ]);
  if (narrow.size === 0) return;
  for (const { name, opType, input } of nodes) {
    const tensor = input.find((own) => narrow.has(own));
    if (tensor !== undefined && opType !== READER)
      throw new SigmaQuantError(
        'UNSUPPORTED_MODEL',
        `Expected ${READER} to read tensor ${JSON.stringify(tensor)}, whose elements are below a byte, but received node ${JSON.stringify(name)} (${opType}).`,
      );
  }
}
