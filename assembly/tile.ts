import { Shape } from './shape';

/**
 * A tile of the input in scratch: the part that a block of neighbouring outputs needs, padding filled with zeros,
 * so that the micro-kernels see no edges. Bytes are widened to int16 less their zero point (padding then adds
 * nothing), floats are copied. The outputs of a tile are whole rows, or a part of one row: one run of pixels.
 */

/** A tile stays in a quarter of a usual second-level cache, beside weights and outputs. */
const TILE_BYTES: u64 = 256 * 1024;
/** More pixels than this bring nothing and need a longer table. */
const TILE_PIXELS: i32 = 4096;
/** Micro-kernels read whole vectors beyond the last element. */
const SLACK: usize = 64;

/** What the elements of a source are; the tile has int16 for bytes. */
export const UNSIGNED_BYTES: i32 = 0;
export const SIGNED_BYTES: i32 = 1;
export const FLOATS: i32 = 2;

/** Outputs of a tile, and the tile's extent in pixels. Valid between planTile and the end of the call. */
export let tileRows: i32 = 0;
export let tileColumns: i32 = 0;
let heightLimit: i32 = 0;
export let tileWidth: i32 = 0;
/** Steps from tap to tap and from output to output within the tile. */
export let tapStepY: i32 = 0;
export let tapStepX: i32 = 0;
let stepY: i32 = 0;
let stepX: i32 = 0;
/** Input pixels between neighbouring tile pixels: the stride where the kernel has one tap, so none is wasted. */
let sourceStepY: i32 = 0;
let sourceStepX: i32 = 0;
/** How often each input channel is repeated (depthwise with several outputs per channel), and channels then. */
let repeats: i32 = 0;
export let tileChannels: i32 = 0;
export let elementBytes: i32 = 0;

function extentY(rows: i32, s: Shape): i32 {
  return (rows - 1) * stepY + (s.kernelHeight - 1) * s.dilationHeight + 1;
}

function extentX(columns: i32, s: Shape): i32 {
  return (columns - 1) * stepX + (s.kernelWidth - 1) * s.dilationWidth + 1;
}

/** Chooses the tile; returns the bytes that it and its table of pixel offsets need. */
export function planTile(s: Shape, depthwise: bool, bytes: i32): usize {
  elementBytes = bytes;
  repeats = depthwise ? s.outChannels / s.groups : 1;
  tileChannels = s.inChannels * repeats;
  sourceStepY = s.kernelHeight == 1 ? s.strideHeight : 1;
  sourceStepX = s.kernelWidth == 1 ? s.strideWidth : 1;
  stepY = s.strideHeight / sourceStepY;
  stepX = s.strideWidth / sourceStepX;
  tapStepY = s.dilationHeight;
  tapStepX = s.dilationWidth;
  const pixelBytes = <u64>tileChannels * bytes;
  tileColumns = min(s.outWidth, TILE_PIXELS);
  if (<u64>extentY(1, s) * extentX(tileColumns, s) * pixelBytes > TILE_BYTES) {
    const width = TILE_BYTES / (pixelBytes * extentY(1, s));
    tileColumns = 1 + <i32>max<i64>(0, (<i64>width - extentX(1, s)) / stepX);
    tileColumns = min(tileColumns, s.outWidth);
  }
  tileRows = 1;
  if (tileColumns == s.outWidth) {
    const height = TILE_BYTES / (pixelBytes * extentX(tileColumns, s));
    tileRows = 1 + <i32>max<i64>(0, (<i64>height - extentY(1, s)) / stepY);
    tileRows = max(1, min(min(tileRows, s.outHeight), TILE_PIXELS / tileColumns));
  }
  heightLimit = extentY(tileRows, s);
  tileWidth = extentX(tileColumns, s);
  return tileBytes() + (<usize>(tileRows * tileColumns) << 2);
}

/** Bytes of the tile alone; the table of offsets follows. */
export function tileBytes(): usize {
  return (<usize>heightLimit * tileWidth * tileChannels * elementBytes + SLACK + 15) & ~15;
}

/** Byte offset within the tile of every output's first tap. */
export function pixelOffsets(offsets: usize): void {
  const pixel = tileChannels * elementBytes;
  for (let y = 0; y < tileRows; y++) {
    for (let x = 0; x < tileColumns; x++) {
      store<i32>(offsets, (y * stepY * tileWidth + x * stepX) * pixel);
      offsets += 4;
    }
  }
}

/** Byte offset of one tap from an output's first. */
@inline
export function tapOffset(ky: i32, kx: i32): i32 {
  return (ky * tapStepY * tileWidth + kx * tapStepX) * tileChannels * elementBytes;
}

function widen(kind: i32, from: usize, n: i32, zeroPoint: i32, to: usize): void {
  const z = i16x8.splat(<i16>zeroPoint);
  let i = 0;
  if (kind == SIGNED_BYTES) {
    for (; i + 8 <= n; i += 8) v128.store(to + (<usize>i << 1), i16x8.sub(v128.load_ext<i8>(from + i), z));
    for (; i < n; i++) store<i16>(to + (<usize>i << 1), <i16>(<i32>load<i8>(from + i) - zeroPoint));
  } else {
    for (; i + 8 <= n; i += 8) v128.store(to + (<usize>i << 1), i16x8.sub(v128.load_ext<u8>(from + i), z));
    for (; i < n; i++) store<i16>(to + (<usize>i << 1), <i16>(<i32>load<u8>(from + i) - zeroPoint));
  }
}

/** n input elements to the tile; returns where the tile goes on. */
function copyRun(kind: i32, from: usize, n: i32, zeroPoint: i32, to: usize): usize {
  if (repeats == 1) {
    if (kind == FLOATS) memory.copy(to, from, <usize>n << 2);
    else widen(kind, from, n, zeroPoint, to);
    return to + <usize>n * elementBytes;
  }
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < repeats; r++) {
      if (kind == FLOATS) store<f32>(to, load<f32>(from + (<usize>i << 2)));
      else {
        const value = kind == SIGNED_BYTES ? <i32>load<i8>(from + i) : <i32>load<u8>(from + i);
        store<i16>(to, <i16>(value - zeroPoint));
      }
      to += elementBytes;
    }
  }
  return to;
}

/** Fills the tile for the outputs that begin at (row, column); rows beyond the output are left out. */
export function fillTile(
  s: Shape,
  kind: i32,
  a: usize,
  image: i32,
  row: i32,
  column: i32,
  rows: i32,
  zeroPoint: i32,
  tile: usize,
): void {
  const sourceBytes = kind == FLOATS ? 4 : 1;
  const pixel = <usize>tileChannels * elementBytes;
  const top = row * s.strideHeight - s.padTop;
  const left = column * s.strideWidth - s.padLeft;
  const height = extentY(rows, s);
  // Tile columns whose source lies inside: before..after.
  const before = min(tileWidth, left < 0 ? (-left + sourceStepX - 1) / sourceStepX : 0);
  const after = max(before, min(tileWidth, s.inWidth > left ? (s.inWidth - left + sourceStepX - 1) / sourceStepX : 0));
  for (let r = 0; r < height; r++) {
    const y = top + r * sourceStepY;
    const start = tile + <usize>r * tileWidth * pixel;
    if (y < 0 || y >= s.inHeight) {
      memory.fill(start, 0, <usize>tileWidth * pixel);
      continue;
    }
    memory.fill(start, 0, <usize>before * pixel);
    const line = a + (<usize>image * s.inHeight + y) * s.inWidth * s.inChannels * sourceBytes;
    let to = start + <usize>before * pixel;
    if (sourceStepX == 1) {
      const x = left + before;
      copyRun(kind, line + <usize>x * s.inChannels * sourceBytes, (after - before) * s.inChannels, zeroPoint, to);
    } else {
      for (let c = before; c < after; c++) {
        const x = left + c * sourceStepX;
        to = copyRun(kind, line + <usize>x * s.inChannels * sourceBytes, s.inChannels, zeroPoint, to);
      }
    }
    memory.fill(start + <usize>after * pixel, 0, <usize>(tileWidth - after) * pixel);
  }
}
