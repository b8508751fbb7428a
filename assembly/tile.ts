import { Shape, roundUp } from './shape';
import { column, columns, image, row, rows } from './work';

/**
 * A tile of the input in scratch: the part that a block of neighbouring outputs needs, padding filled with zeros,
 * so that the micro-kernels see no edges. Bytes are widened to int16 less their zero point (padding then adds
 * nothing), floats are copied. The outputs of a tile are whole rows, or a part of one row: one run of pixels.
 */

/** A tile stays in half of a usual second-level cache, beside weights and outputs. */
const TILE_BYTES: u64 = 256 * 1024;
/** More pixels than this bring nothing and need a longer table. */
const TILE_PIXELS: i32 = 4096;
/** Micro-kernels read whole vectors beyond the last element. */
const SLACK: u64 = 64;

/** What the elements of a source are; the tile has int16 for bytes. */
export const UNSIGNED_BYTES: i32 = 0;
export const SIGNED_BYTES: i32 = 1;
export const FLOATS: i32 = 2;

/** Outputs of a tile. Valid from planTile to the end of the call, as is all that follows. */
export let tileRows: i32 = 0;
export let tileColumns: i32 = 0;
/** Its extent in pixels, and a pixel's bytes. */
let tileHeight: i32 = 0;
let tileWidth: i32 = 0;
let pixelBytes: i32 = 0;
/** Steps from output to output within the tile. */
let stepY: i32 = 0;
let stepX: i32 = 0;
/** Input pixels between neighbouring tile pixels: the stride where the kernel has one tap, so none is wasted. */
let sourceStepY: i32 = 0;
let sourceStepX: i32 = 0;

function extentY(ofRows: i32, s: Shape): i32 {
  return (ofRows - 1) * stepY + (s.kernelHeight - 1) * s.dilationHeight + 1;
}

function extentX(ofColumns: i32, s: Shape): i32 {
  return (ofColumns - 1) * stepX + (s.kernelWidth - 1) * s.dilationWidth + 1;
}

/** How many outputs have an extent within `limit`: at least one. */
@inline
export function fitting(limit: u64, extentOfOne: i32, step: i32, outputs: i32): i32 {
  return min(outputs, 1 + <i32>min<i64>(outputs, max<i64>(0, (<i64>limit - extentOfOne) / step)));
}

/**
 * Chooses the tile of elements of `bytes` bytes; returns the bytes that it and its table of pixel offsets need, which
 * under a dilated kernel can be more than an address counts.
 */
export function planTile(s: Shape, bytes: i32): u64 {
  pixelBytes = s.inChannels * bytes;
  sourceStepY = s.kernelHeight == 1 ? s.strideHeight : 1;
  sourceStepX = s.kernelWidth == 1 ? s.strideWidth : 1;
  stepY = s.strideHeight / sourceStepY;
  stepX = s.strideWidth / sourceStepX;
  const pixels = TILE_BYTES / max(1, pixelBytes);
  tileColumns = fitting(pixels / extentY(1, s), extentX(1, s), stepX, min(s.outWidth, TILE_PIXELS));
  tileRows = 1;
  if (tileColumns == s.outWidth) {
    tileRows = fitting(pixels / extentX(tileColumns, s), extentY(1, s), stepY, s.outHeight);
    tileRows = max(1, min(tileRows, TILE_PIXELS / tileColumns));
  }
  tileHeight = extentY(tileRows, s);
  tileWidth = extentX(tileColumns, s);
  return tileBytes() + roundUp(<usize>(tileRows * tileColumns) << 2, 16);
}

/** Bytes of the tile alone; the table of offsets follows. */
export function tileBytes(): u64 {
  return (<u64>tileHeight * tileWidth * pixelBytes + SLACK + 15) & ~15;
}

/** Byte offset within the tile of every output's first tap. */
export function writeOffsets(offsets: usize): void {
  for (let y = 0; y < tileRows; y++) {
    for (let x = 0; x < tileColumns; x++) {
      store<i32>(offsets, (y * stepY * tileWidth + x * stepX) * pixelBytes);
      offsets += 4;
    }
  }
}

/** Byte offset of one tap from an output's first. */
export function tapOffset(s: Shape, ky: i32, kx: i32): i32 {
  return (ky * s.dilationHeight * tileWidth + kx * s.dilationWidth) * pixelBytes;
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

@inline
function copyPixels(s: Shape, kind: i32, from: usize, pixels: i32, zeroPoint: i32, to: usize): void {
  if (kind == FLOATS) memory.copy(to, from, <usize>pixels * pixelBytes);
  else widen(kind, from, pixels * s.inChannels, zeroPoint, to);
}

/** Fills the tile for the outputs of the current unit. */
export function fillTile(s: Shape, kind: i32, a: usize, zeroPoint: i32, tile: usize): void {
  const sourcePixel = s.inChannels * (kind == FLOATS ? 4 : 1);
  const pixel = <usize>pixelBytes;
  const top = row * s.strideHeight - s.padTop;
  const left = column * s.strideWidth - s.padLeft;
  const height = extentY(rows, s);
  const width = extentX(columns, s);
  // Tile columns whose source lies inside: before..after. Where there are none, `from` could be anywhere.
  const before = min(width, left < 0 ? (-left + sourceStepX - 1) / sourceStepX : 0);
  const after = max(before, min(width, s.inWidth > left ? (s.inWidth - left + sourceStepX - 1) / sourceStepX : 0));
  for (let r = 0; r < height; r++) {
    const y = top + r * sourceStepY;
    const start = tile + <usize>r * tileWidth * pixel;
    if (before == after || y < 0 || y >= s.inHeight) {
      memory.fill(start, 0, <usize>width * pixel);
      continue;
    }
    memory.fill(start, 0, <usize>before * pixel);
    let from = a + ((<usize>image * s.inHeight + y) * s.inWidth + left + before * sourceStepX) * sourcePixel;
    let to = start + <usize>before * pixel;
    if (sourceStepX == 1) copyPixels(s, kind, from, after - before, zeroPoint, to);
    else
      for (let c = before; c < after; c++) {
        copyPixels(s, kind, from, 1, zeroPoint, to);
        from += <usize>sourceStepX * sourcePixel;
        to += pixel;
      }
    memory.fill(start + <usize>after * pixel, 0, <usize>(width - after) * pixel);
  }
}
