/** Rows of at least this many elements are moved by one call (some 40 ns); below it a loop is cheaper. */
const ROW_BY_CALL = 16;

export type Elements = Float32Array | Uint8Array;

/** Row-major strides of a shape. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** What to copy: `shape` elements from one strided place to another. Strides and offsets in elements. */
export interface StridedCopy {
  shape: readonly number[];
  fromOffset: number;
  fromStrides: readonly number[];
  toOffset: number;
  toStrides: readonly number[];
}

/** The same copy with axes of length 1 left out and axes that are contiguous on both sides joined. */
export function simplify(copy: StridedCopy): StridedCopy {
  const shape: number[] = [];
  const fromStrides: number[] = [];
  const toStrides: number[] = [];
  copy.shape.forEach((length, axis) => {
    if (length === 1) return;
    const [from, to] = [copy.fromStrides[axis], copy.toStrides[axis]];
    const end = shape.length - 1;
    if (end >= 0 && fromStrides[end] === from * length && toStrides[end] === to * length) {
      shape[end] *= length;
      fromStrides[end] = from;
      toStrides[end] = to;
    } else {
      shape.push(length);
      fromStrides.push(from);
      toStrides.push(to);
    }
  });
  return { ...copy, shape, fromStrides, toStrides };
}

/** Runs a simplified copy; both arrays of one type. */
export function copyStrided<T extends Elements>(from: T, to: T, copy: StridedCopy): void {
  const { shape, fromStrides, toStrides } = copy;
  if (shape.includes(0)) return;
  const visit = (axis: number, fromAt: number, toAt: number): void => {
    const rest = shape.length - axis;
    if (rest > 2) {
      for (let i = 0; i < shape[axis]; i++)
        visit(axis + 1, fromAt + i * fromStrides[axis], toAt + i * toStrides[axis]);
    } else if (rest === 2) {
      const [rows, columns] = [shape[axis], shape[axis + 1]];
      const [fromRow, fromColumn] = [fromStrides[axis], fromStrides[axis + 1]];
      const [toRow, toColumn] = [toStrides[axis], toStrides[axis + 1]];
      if (fromColumn === 1 && toColumn === 1) copyRows(from, to, rows, columns, fromAt, fromRow, toAt, toRow);
      else copyPlane(from, to, rows, columns, fromAt, fromRow, fromColumn, toAt, toRow, toColumn);
    } else if (rest === 1) {
      copyPlane(from, to, 1, shape[axis], fromAt, 0, fromStrides[axis], toAt, 0, toStrides[axis]);
    } else to[toAt] = from[fromAt];
  };
  visit(0, copy.fromOffset, copy.toOffset);
}

/** Rows that are contiguous on both sides. */
function copyRows(
  from: Elements,
  to: Elements,
  rows: number,
  columns: number,
  fromAt: number,
  fromRow: number,
  toAt: number,
  toRow: number,
): void {
  if (columns < ROW_BY_CALL) {
    copyPlane(from, to, rows, columns, fromAt, fromRow, 1, toAt, toRow, 1);
  } else if (from.buffer === to.buffer) {
    // Within one arena, a view of all its bytes needs no view per row.
    const all = new Uint8Array(from.buffer);
    const size = from.BYTES_PER_ELEMENT;
    const length = columns * size;
    let source = from.byteOffset + fromAt * size;
    let target = to.byteOffset + toAt * size;
    for (let row = 0; row < rows; row++, source += fromRow * size, target += toRow * size)
      all.copyWithin(target, source, source + length);
  } else {
    for (let row = 0; row < rows; row++, fromAt += fromRow, toAt += toRow)
      to.set(from.subarray(fromAt, fromAt + columns), toAt);
  }
}

/** The innermost two axes, element by element. */
function copyPlane(
  from: Elements,
  to: Elements,
  rows: number,
  columns: number,
  fromAt: number,
  fromRow: number,
  fromColumn: number,
  toAt: number,
  toRow: number,
  toColumn: number,
): void {
  for (let row = 0; row < rows; row++) {
    let source = fromAt + row * fromRow;
    let target = toAt + row * toRow;
    for (let column = 0; column < columns; column++) {
      to[target] = from[source];
      source += fromColumn;
      target += toColumn;
    }
  }
}

/** [batch][channels][pixels] -> [batch][pixels][channels]: images into the engine's layout. */
export function interleave<T extends Elements>(
  from: T,
  to: T,
  batch: number,
  channels: number,
  pixels: number,
): void {
  const sample = channels * pixels;
  const words = channels === 3 && pixels % 4 === 0 && inWords(from) && inWords(to);
  for (let n = 0, at = 0; n < batch; n++, at += sample) {
    if (words) interleaveWords(from as Uint8Array, to as Uint8Array, at, pixels / 4);
    else if (channels === 3 && from instanceof Float32Array)
      interleaveThree(from, to as Float32Array, at, pixels);
    else copyPlane(from, to, channels, pixels, at, pixels, 1, at, 1, channels);
  }
}

/** Floats alone: a loop that has seen one type of array is a third faster. */
function interleaveThree(from: Float32Array, to: Float32Array, at: number, pixels: number): void {
  const [green, blue] = [at + pixels, at + 2 * pixels];
  for (let pixel = 0, target = at; pixel < pixels; pixel++, target += 3) {
    to[target] = from[at + pixel];
    to[target + 1] = from[green + pixel];
    to[target + 2] = from[blue + pixel];
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

const inWords = (array: Elements) =>
  LITTLE_ENDIAN && array instanceof Uint8Array && array.byteOffset % 4 === 0;

/** Four pixels of three bytes at a time: three words in, three words out. */
function interleaveWords(from: Uint8Array, to: Uint8Array, at: number, words: number): void {
  const source = new Int32Array(from.buffer, from.byteOffset + at, 3 * words);
  const target = new Int32Array(to.buffer, to.byteOffset + at, 3 * words);
  for (let i = 0; i < words; i++) {
    const r = source[i];
    const g = source[i + words];
    const b = source[i + 2 * words];
    target[3 * i] = (r & 255) | ((g & 255) << 8) | ((b & 255) << 16) | ((r & 0xff00) << 16);
    target[3 * i + 1] = ((g >> 8) & 255) | (b & 0xff00) | (r & 0xff0000) | ((g & 0xff0000) << 8);
    target[3 * i + 2] = ((b >> 16) & 255) | ((r >> 16) & 0xff00) | ((g >> 8) & 0xff0000) | (b & 0xff000000);
  }
}
