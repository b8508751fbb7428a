import { refuse } from '../errors.ts';
import { type ByteReader, decodeText } from './byte-reader.ts';
import { bytesOf, encodeText } from './byte-writer.ts';
import { ARRAYS, DTYPES, LARGEST_DIMENSION, MOST_AXES, malformedAt, type StoredArray } from './layout.ts';
import type { PackedData, PackedDtype, PackedTensor } from './model.ts';
import type { Sink, Source } from './sections.ts';

export function writeShape({ manifest }: Sink, shape: readonly number[]): void {
  manifest.count(shape.length);
  for (const size of shape) manifest.count(size);
}

/** A shape whose elements are at least `least` per axis and at most `most` together. */
export function readShape(reader: ByteReader, what: string, least: number, most: number): number[] {
  const start = reader.at;
  const rank = reader.count(`the rank of ${what}`, MOST_AXES);
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) shape.push(reader.count(`a dimension of ${what}`, LARGEST_DIMENSION, least));
  if (!shape.includes(0)) {
    let elements = 1;
    for (const size of shape) {
      elements *= size;
      if (elements > most)
        malformedAt(start, `${what} of at most ${most} elements`, `shape [${shape.join(', ')}]`);
    }
  }
  return shape;
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Its type and shape into the manifest, its elements behind the other constants. */
export function writeTensor(sink: Sink, { dtype, shape, data }: PackedTensor, what: string): void {
  if (data.length !== elementsOf(shape)) refuse(`${elementsOf(shape)} elements`, what, data);
  sink.manifest.byte(DTYPES.indexOf(dtype));
  writeShape(sink, shape);
  if (dtype === 'string') {
    for (const text of data as string[]) {
      const bytes = encodeText(text);
      sink.constants.count(bytes.length);
      sink.constants.write(bytes);
    }
    return;
  }
  const type = ARRAYS.get(dtype);
  if (!type || !(data instanceof type)) refuse(`${type?.name ?? 'another array'} of ${dtype}`, what, data);
  sink.constants.write(bytesOf(data));
}

export function readTensor({ manifest, constants }: Source, what: string): PackedTensor {
  const dtype = DTYPES[manifest.byte(`the type of ${what}`, 0, DTYPES.length - 1)];
  const type = ARRAYS.get(dtype);
  // A string takes a byte at least.
  const most = Math.floor(constants.left / (type?.BYTES_PER_ELEMENT ?? 1));
  const shape = readShape(manifest, what, 0, most);
  const count = elementsOf(shape);
  if (!type) return { dtype, shape, data: readTexts(constants, count, what) };
  const at = constants.at;
  const data = copyOf(constants.take(count * type.BYTES_PER_ELEMENT, what), type);
  if (dtype === 'bool') checkBooleans(data as Uint8Array, at, what);
  return { dtype, shape, data };
}

/** The bytes as numbers, in memory of their own. */
export function copyOf(bytes: Uint8Array, type: StoredArray): PackedData {
  // Not slice: that of a Buffer shares its memory.
  return new type(new Uint8Array(bytes).buffer as ArrayBuffer);
}

function readTexts(constants: ByteReader, count: number, what: string): string[] {
  const texts: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = constants.at;
    const length = constants.count(`the length of a text of ${what}`, constants.left);
    texts.push(decodeText(constants.take(length, `a text of ${what}`), at, what));
  }
  return texts;
}

function checkBooleans(data: Uint8Array, at: number, what: string): void {
  const wrong = data.findIndex((value) => value > 1);
  if (wrong >= 0) malformedAt(at + wrong, `0 or 1 in ${what}`, data[wrong]);
}

export function readDtype(reader: ByteReader, what: string): PackedDtype {
  return DTYPES[reader.byte(`the type of ${what}`, 0, DTYPES.length - 1)];
}
