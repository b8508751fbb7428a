import { SigmaQuantError } from '../errors.ts';
import type { PackedDtype } from './model.ts';

/** `SQNT`. */
export const MAGIC: readonly number[] = [0x53, 0x51, 0x4e, 0x54];
export const VERSION = 1;
/** Magic, u16 version, u16 flags, u32 lengths of manifest, weights and constants. */
export const HEADER_BYTES = 20;
export const CHECKSUM_BYTES = 4;
export const SHA256_BYTES = 32;

export const LEAST_BITS = 2;
export const MOST_BITS = 8;
/** Dimensions fit an int32. */
export const LARGEST_DIMENSION = 2 ** 31 - 1;
/** More axes than any operator has; shapes of a hostile file stay short. */
export const MOST_AXES = 32;
/** ONNX numbers its operator sets from 1; this is far beyond the newest. */
export const LARGEST_OPSET = 1000;
/** A name longer than this is no name. */
export const LONGEST_TEXT = 65_535;
/** Bytes of all names together once their shared beginnings are written out: those of 100,000 long ones. */
export const MOST_TEXT = 2 ** 24;
/** As preprocessing has it: larger frames are a typing error. */
export const LARGEST_SIDE = 16_384;

/** What an element of each type is stored as, in the order of their numbers in the file. */
const STORED = [
  ['float32', Float32Array],
  ['float64', Float64Array],
  ['float16', Uint16Array],
  ['bfloat16', Uint16Array],
  ['int8', Int8Array],
  ['uint8', Uint8Array],
  ['int16', Int16Array],
  ['uint16', Uint16Array],
  ['int32', Int32Array],
  ['uint32', Uint32Array],
  ['int64', BigInt64Array],
  ['uint64', BigUint64Array],
  ['bool', Uint8Array],
] as const;

export type StoredArray = (typeof STORED)[number][1];

export const ARRAYS: ReadonlyMap<PackedDtype, StoredArray> = new Map<PackedDtype, StoredArray>(STORED);
/** By number in the file. */
export const DTYPES: readonly PackedDtype[] = [...STORED.map(([dtype]) => dtype), 'string'];

/** Throws MALFORMED_MODEL with the one sentence that every error of reading has. */
export function malformedAt(at: number, expected: string, received: string | number): never {
  throw new SigmaQuantError(
    'MALFORMED_MODEL',
    `Expected ${expected} at byte ${at} but received ${received}.`,
  );
}
