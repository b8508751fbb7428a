import { own } from './own';
import { Shape, roundUp } from './shape';
import { FLOATS, SIGNED_BYTES, fitting } from './tile';
import { column, columns, image, row, rows } from './work';

/**
 * The input of a block of outputs for eight neighbouring channels, as two halves of four channels; a pixel of a half is
 * one vector: four floats, or four int16 of a row (less the zero point) interleaved with four of the row a kernel row
 * below, so that one dot product takes two taps.
 */
export const VECTOR: i32 = 16;
/** Outputs per step of the micro-kernel. It may read the input of as many without writing them. */
export const QUAD: i32 = 4;

/** Both halves stay in the second-level cache, and rows that two blocks share are few. */
const TILE_BYTES: u64 = 96 * 1024;
/** Where in `own` a pixel of padding is: beyond what the epilogue uses. */
const PADDING: usize = 512;

/** Outputs of a block; valid from planDepthwise to the end of the call, as is all that follows. */
export let depthwiseRows: i32 = 0;
export let depthwiseColumns: i32 = 0;
/** Bytes of a row and of a half. */
export let rowBytes: usize = 0;
export let halfBytes: usize = 0;
/** Kernel rows per vector: a pair of them, or one. */
let together: i32 = 1;

@inline
function extentX(s: Shape, outputs: i32): i32 {
  return (outputs - 1) * s.strideWidth + (s.kernelWidth - 1) * s.dilationWidth + 1;
}

@inline
function extentY(s: Shape, outputs: i32): i32 {
  return (outputs - 1) * s.strideHeight + (s.kernelHeight - 1) * s.dilationHeight + 1;
}

/** Chooses the block; returns the bytes of its tile, under a dilated kernel perhaps more than an address counts. */
export function planDepthwise(s: Shape, floats: bool): u64 {
  together = floats ? 1 : 2;
  const pixels = TILE_BYTES / (2 * VECTOR);
  depthwiseColumns = fitting(pixels / extentY(s, 1), extentX(s, QUAD), s.strideWidth, s.outWidth);
  const width = extentX(s, <i32>roundUp(depthwiseColumns, QUAD));
  depthwiseRows =
    depthwiseColumns == s.outWidth ? fitting(pixels / width, extentY(s, 1), s.strideHeight, s.outHeight) : 1;
  rowBytes = <usize>width * VECTOR;
  const bytes = <u64>width * VECTOR * extentY(s, depthwiseRows);
  halfBytes = <usize>bytes;
  return 2 * bytes;
}

/** Whether the r-th row of the tile is the first (or only) kernel row of a vector for some output. */
function isNeeded(s: Shape, r: i32): bool {
  for (let ky = 0; ky < s.kernelHeight; ky += together) {
    const first = r - ky * s.dilationHeight;
    if (first >= 0 && first % s.strideHeight == 0) return true;
  }
  return false;
}

@inline
function widened(kind: i32, from: usize): i32 {
  return kind == SIGNED_BYTES ? <i32>load<i8>(from) : <i32>load<u8>(from);
}

/** Any channels, one by one: `count` outputs from `channel` on, `repeats` of them per input channel; 0 is padding. */
function gatherPixel(kind: i32, upper: usize, lower: usize, channel: i32, repeats: i32, count: i32, z: i32, to: usize): void {
  for (let i = 0; i < count; i++) {
    const from = (channel + i) / repeats;
    const at = to + <usize>(i >> 2) * halfBytes + ((i & 3) << 2);
    if (kind == FLOATS) store<f32>(at, load<f32>(upper + (<usize>from << 2)));
    else {
      store<i16>(at, upper ? <i16>(widened(kind, upper + from) - z) : 0);
      store<i16>(at, lower ? <i16>(widened(kind, lower + from) - z) : 0, 2);
    }
  }
}

/** Eight channels of `n` neighbouring pixels. */
@inline
function copyPixels(kind: i32, upper: usize, upperStep: usize, lower: usize, lowerStep: usize, n: i32, z: v128, to: usize): void {
  for (const end = to + <usize>n * VECTOR; to < end; to += VECTOR) {
    if (kind == FLOATS) {
      v128.store(to, v128.load(upper));
      v128.store(to + halfBytes, v128.load(upper, 16));
    } else {
      const pairs = v128.shuffle<i8>(
        v128.load64_zero(upper), v128.load64_zero(lower), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
      );
      const low = kind == SIGNED_BYTES ? i16x8.extend_low_i8x16_s(pairs) : i16x8.extend_low_i8x16_u(pairs);
      const high = kind == SIGNED_BYTES ? i16x8.extend_high_i8x16_s(pairs) : i16x8.extend_high_i8x16_u(pairs);
      v128.store(to, i16x8.sub(low, z));
      v128.store(to + halfBytes, i16x8.sub(high, z));
    }
    upper += upperStep;
    lower += lowerStep;
  }
}

function copySigned(upper: usize, upperStep: usize, lower: usize, lowerStep: usize, n: i32, z: v128, to: usize): void {
  copyPixels(SIGNED_BYTES, upper, upperStep, lower, lowerStep, n, z, to);
}
function copyUnsigned(upper: usize, upperStep: usize, lower: usize, lowerStep: usize, n: i32, z: v128, to: usize): void {
  copyPixels(0, upper, upperStep, lower, lowerStep, n, z, to);
}
function copyFloats(upper: usize, upperStep: usize, n: i32, to: usize): void {
  copyPixels(FLOATS, upper, upperStep, 0, 0, n, i32x4.splat(0), to);
}

@inline
function clear(to: usize, pixels: i32): void {
  for (const end = to + <usize>pixels * VECTOR; to < end; to += VECTOR) {
    v128.store(to, i32x4.splat(0));
    v128.store(to + halfBytes, i32x4.splat(0));
  }
}

/** Fills the tile with the input of the current unit for the output channels channel .. channel + count - 1. */
export function fillDepthwise(s: Shape, kind: i32, a: usize, zeroPoint: i32, channel: i32, count: i32, tile: usize): void {
  const element = kind == FLOATS ? 4 : 1;
  const pixel = <usize>s.inChannels * element;
  const repeats = s.outChannels / s.groups;
  const vectors = repeats == 1 && count == 8;
  const left = column * s.strideWidth - s.padLeft;
  const width = extentX(s, columns);
  const before = min(width, max(0, -left));
  const after = max(before, min(width, s.inWidth - left));
  const inside = after - before;
  const padding = own + PADDING;
  memory.fill(padding, <u8>zeroPoint, 8);
  for (let r = 0, height = extentY(s, rows); r < height; r++) {
    if (!isNeeded(s, r)) continue;
    const y = row * s.strideHeight - s.padTop + r;
    const below = y + s.dilationHeight;
    const hasUpper = inside > 0 && y >= 0 && y < s.inHeight;
    const hasLower = inside > 0 && together == 2 && below >= 0 && below < s.inHeight;
    let to = tile + <usize>r * rowBytes;
    if (!hasUpper && !hasLower) {
      clear(to, width);
      continue;
    }
    clear(to, before);
    clear(to + <usize>after * VECTOR, width - after);
    to += <usize>before * VECTOR;
    const line = a + (<usize>image * s.inHeight * s.inWidth + left + before) * pixel;
    const first = vectors ? <usize>channel * element : 0;
    const outside = vectors ? padding : 0;
    let upper = hasUpper ? line + <usize>(y * s.inWidth) * pixel + first : outside;
    let lower = hasLower ? line + <usize>(below * s.inWidth) * pixel + first : outside;
    const upperStep = hasUpper ? pixel : 0;
    const lowerStep = hasLower ? pixel : 0;
    const z = i16x8.splat(<i16>zeroPoint);
    if (!vectors)
      for (let x = 0; x < inside; x++) {
        gatherPixel(kind, upper, lower, channel, repeats, count, zeroPoint, to + <usize>x * VECTOR);
        upper += upperStep;
        lower += lowerStep;
      }
    else if (kind == FLOATS) copyFloats(upper, upperStep, inside, to);
    else if (kind == SIGNED_BYTES) copySigned(upper, upperStep, lower, lowerStep, inside, z, to);
    else copyUnsigned(upper, upperStep, lower, lowerStep, inside, z, to);
  }
}
