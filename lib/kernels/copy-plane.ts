/** Rows of at least this many elements are moved by one call (some 40 ns); below it a loop is cheaper. */
const ROW_BY_CALL = 16;

type Elements = Float32Array | Uint8Array | Int8Array;

/** `Kernels.copyPlane` in TypeScript, for backends whose memory JavaScript reads as fast as they do. */
export function copyPlane(
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
  if (fromColumn === 1 && toColumn === 1) copyRows(from, to, rows, columns, fromAt, fromRow, toAt, toRow);
  else if (rows === 3 && fromColumn === 1 && toRow === 1 && toColumn === 3)
    interleave(from, to, columns, fromAt, fromRow, toAt);
  else if (rows === 1 && fromColumn === 0 && toColumn === 1) to.fill(from[fromAt], toAt, toAt + columns);
  else copyElements(from, to, rows, columns, fromAt, fromRow, fromColumn, toAt, toRow, toColumn);
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
    copyElements(from, to, rows, columns, fromAt, fromRow, 1, toAt, toRow, 1);
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

/** Element by element. */
function copyElements(
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

/** [3][pixels] -> [pixels][3], the planes `plane` elements apart: pictures into the engine's layout. */
function interleave(
  from: Elements,
  to: Elements,
  pixels: number,
  fromAt: number,
  plane: number,
  toAt: number,
): void {
  const words = plane === pixels && pixels % 4 === 0 && inWords(from, fromAt) && inWords(to, toAt);
  if (words) interleaveWords(from as Uint8Array, to as Uint8Array, fromAt, toAt, pixels / 4);
  else if (from instanceof Float32Array)
    interleaveFloats(from, to as Float32Array, pixels, fromAt, plane, toAt);
  else copyElements(from, to, 3, pixels, fromAt, plane, 1, toAt, 1, 3);
}

/** Floats alone: a loop that has seen one type of array is a third faster. */
function interleaveFloats(
  from: Float32Array,
  to: Float32Array,
  pixels: number,
  fromAt: number,
  plane: number,
  toAt: number,
): void {
  for (let pixel = fromAt, target = toAt; pixel < fromAt + pixels; pixel++, target += 3) {
    to[target] = from[pixel];
    to[target + 1] = from[pixel + plane];
    to[target + 2] = from[pixel + 2 * plane];
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

const inWords = (array: Elements, at: number) =>
  LITTLE_ENDIAN && array instanceof Uint8Array && (array.byteOffset + at) % 4 === 0;

/** Four pixels of three bytes at a time: three words in, three words out. */
function interleaveWords(
  from: Uint8Array,
  to: Uint8Array,
  fromAt: number,
  toAt: number,
  words: number,
): void {
  const source = new Int32Array(from.buffer, from.byteOffset + fromAt, 3 * words);
  const target = new Int32Array(to.buffer, to.byteOffset + toAt, 3 * words);
  for (let i = 0; i < words; i++) {
    const r = source[i];
    const g = source[i + words];
    const b = source[i + 2 * words];
    target[3 * i] = (r & 255) | ((g & 255) << 8) | ((b & 255) << 16) | ((r & 0xff00) << 16);
    target[3 * i + 1] = ((g >> 8) & 255) | (b & 0xff00) | (r & 0xff0000) | ((g & 0xff0000) << 8);
    target[3 * i + 2] = ((b >> 16) & 255) | ((r >> 16) & 0xff00) | ((g >> 8) & 0xff0000) | (b & 0xff000000);
  }
}
