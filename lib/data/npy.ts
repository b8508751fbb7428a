import type { Bytes } from './bytes.ts';
import { unreadable } from './source.ts';

/** numpy.lib.format: "\x93NUMPY", major, minor, header length (2 bytes, from version 2 on 4), header. */
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const PREFIX_BYTES = 12;
/** Headers of plain arrays take 118 bytes; structured ones are refused anyway. */
const MAX_HEADER = 2 ** 16;

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/** Element types by numpy's name, with their byte order left out. */
const ELEMENTS = {
  u1: Uint8Array,
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  i4: Int32Array,
  i8: BigInt64Array,
  f4: Float32Array,
  f8: Float64Array,
} as const;

export type ElementName = keyof typeof ELEMENTS;

export interface NpyArray {
  /** Of messages: file and member. */
  label: string;
  element: ElementName;
  elementBytes: number;
  shape: readonly number[];
  /** Where the elements begin in `bytes`. */
  start: number;
  bytes: Bytes;
}

/** Reads the header and checks that shape and byte length agree. Throws DATA_UNREADABLE. */
export async function openNpy(bytes: Bytes, label: string): Promise<NpyArray> {
  const { text, start } = await readHeader(bytes, label);
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const dimensions = /'shape'\s*:\s*\(([0-9,\s]*)\)/.exec(text)?.[1];
  if (descr === undefined || order === undefined || dimensions === undefined) {
    throw unreadable(
      `Expected a plain array in ${label} but its header reads ${JSON.stringify(text.trim())}.`,
    );
  }
  const element = elementOf(descr);
  if (element === null) {
    const names = Object.keys(ELEMENTS).join(', ');
    throw unreadable(`Expected little-endian elements (${names}) in ${label} but received '${descr}'.`);
  }
  if (order === 'True') throw unreadable(`Expected C order in ${label} but received fortran_order True.`);
  const shape = dimensions
    .split(',')
    .map((piece) => piece.trim())
    .filter((piece) => piece !== '')
    .map(Number);
  const elementBytes = ELEMENTS[element].BYTES_PER_ELEMENT;
  const expected = shape.reduce((product, size) => product * size, elementBytes);
  if (!Number.isSafeInteger(expected) || expected !== bytes.length - start) {
    throw unreadable(
      `Expected ${expected} bytes for shape [${shape.join(', ')}] of ${element} in ${label} but received ${bytes.length - start}.`,
    );
  }
  return { label, element, elementBytes, shape, start, bytes };
}

async function readHeader(bytes: Bytes, label: string): Promise<{ text: string; start: number }> {
  for await (const block of bytes.blocks(0, PREFIX_BYTES + MAX_HEADER, (index) => index === 0)) {
    const head = block.bytes;
    const version = head[6];
    if (head.length < PREFIX_BYTES || MAGIC.some((byte, i) => head[i] !== byte) || version < 1 || version > 3)
      break;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const from = version === 1 ? 10 : 12;
    const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
    if (from + length > head.length) {
      throw unreadable(
        `Expected an array header of at most ${MAX_HEADER} bytes in ${label} but received ${length}.`,
      );
    }
    return { text: new TextDecoder().decode(head.subarray(from, from + length)), start: from + length };
  }
  throw unreadable(
    `Expected a NumPy array in ${label} but received garbage: its first bytes are not \\x93NUMPY.`,
  );
}

function elementOf(descr: string): ElementName | null {
  const order = descr[0];
  const name = descr.slice(1);
  if (!Object.hasOwn(ELEMENTS, name)) return null;
  // A single byte has no order: numpy writes '|', other writers '<' or '>'.
  if (order === '<' || name === 'u1' || name === 'i1') return name as ElementName;
  return null;
}

/** The elements of a block; copies only where the bytes lie unaligned. */
export function elementsOf(bytes: Uint8Array, element: ElementName): NumberArray {
  const type = ELEMENTS[element];
  const size = type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size);
}
