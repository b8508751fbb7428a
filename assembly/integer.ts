import { finish, outputBytes, partialWords, setEpilogue } from './epilogue';
import { Shape, isDepthwise, roundUp } from './shape';
import { fillTile, pixelOffsets, planTile, tapOffset, tileBytes, tileColumns, tileRows } from './tile';
import { COLUMNS, decode, depthwiseLength, encodedLength, panelCount, panelLength } from './weights';
import { depthwisePixels } from './depthwise';

/**
 * Integer convolution; a matrix product is one with a 1x1 kernel. The k axis of an output is cut into segments
 * that lie contiguously in the tile: a kernel row, or one tap where groups or dilation part them.
 */

@inline
function rowSegments(s: Shape): bool {
  return s.groups == 1 && s.dilationWidth == 1;
}

@inline
function segmentCount(s: Shape): i32 {
  return rowSegments(s) ? s.kernelHeight : s.kernelHeight * s.kernelWidth;
}

@inline
function segmentLength(s: Shape): i32 {
  return rowSegments(s) ? s.kernelWidth * s.inChannels : s.inChannels / s.groups;
}

/** Decoded bytes of a panel whose segments are rounded up to pairs. */
@inline
function segmentedLength(s: Shape): usize {
  return <usize>segmentCount(s) * ((segmentLength(s) + 1) >> 1) * 2 * COLUMNS;
}

export function integerScratch(s: Shape): usize {
  const taps = s.kernelHeight * s.kernelWidth;
  const depthwise = isDepthwise(s.inChannels / s.groups, s.groups);
  const weights: usize = depthwise
    ? 3 * depthwiseLength(s.outChannels, taps)
    : panelLength(taps * (s.inChannels / s.groups)) + roundUp(segmentedLength(s), 16);
  return planTile(s, depthwise, 2) + roundUp(<usize>(taps + 1) << 2, 16) + weights;
}

/** Adds x[2j] * w[2j] + x[2j+1] * w[2j+1] to lane j. */
@inline
function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}

/** The micro-kernel: all pixels of a tile times one panel, four pixels at a time. */
function panelPixels(
  tile: usize,
  offsets: usize,
  pixels: i32,
  segments: usize,
  count: i32,
  pairs: i32,
  weights: usize,
  bias0: v128,
  bias1: v128,
  scale0: v128,
  scale1: v128,
  out: usize,
  outStride: usize,
  columns: i32,
): void {
  let p = 0;
  for (; p + 4 <= pixels; p += 4) {
    const at = offsets + (<usize>p << 2);
    const o0 = tile + load<u32>(at);
    const o1 = tile + load<u32>(at, 4);
    const o2 = tile + load<u32>(at, 8);
    const o3 = tile + load<u32>(at, 12);
    let c00 = bias0, c01 = bias1, c10 = bias0, c11 = bias1;
    let c20 = bias0, c21 = bias1, c30 = bias0, c31 = bias1;
    let w = weights;
    for (let segment = 0; segment < count; segment++) {
      const shift = load<u32>(segments + (<usize>segment << 2));
      let a0 = o0 + shift;
      let a1 = o1 + shift;
      let a2 = o2 + shift;
      let a3 = o3 + shift;
      for (let i = 0; i < pairs; i++) {
        const w0 = v128.load_ext<i8>(w);
        const w1 = v128.load_ext<i8>(w, 8);
        let x = v128.load_splat<i32>(a0);
        c00 = dot(c00, x, w0);
        c01 = dot(c01, x, w1);
        x = v128.load_splat<i32>(a1);
        c10 = dot(c10, x, w0);
        c11 = dot(c11, x, w1);
        x = v128.load_splat<i32>(a2);
        c20 = dot(c20, x, w0);
        c21 = dot(c21, x, w1);
        x = v128.load_splat<i32>(a3);
        c30 = dot(c30, x, w0);
        c31 = dot(c31, x, w1);
        w += 16;
        a0 += 4;
        a1 += 4;
        a2 += 4;
        a3 += 4;
      }
    }
    finish(out, columns, c00, c01, scale0, scale1);
    finish(out + outStride, columns, c10, c11, scale0, scale1);
    finish(out + 2 * outStride, columns, c20, c21, scale0, scale1);
    finish(out + 3 * outStride, columns, c30, c31, scale0, scale1);
    out += 4 * outStride;
  }
  for (; p < pixels; p++) {
    const start = tile + load<u32>(offsets + (<usize>p << 2));
    let c0 = bias0, c1 = bias1, d0 = i32x4.splat(0), d1 = d0;
    let w = weights;
    for (let segment = 0; segment < count; segment++) {
      let a = start + load<u32>(segments + (<usize>segment << 2));
      let i = 0;
      for (; i + 2 <= pairs; i += 2) {
        let x = v128.load_splat<i32>(a);
        c0 = dot(c0, x, v128.load_ext<i8>(w));
        c1 = dot(c1, x, v128.load_ext<i8>(w, 8));
        x = v128.load_splat<i32>(a, 4);
        d0 = dot(d0, x, v128.load_ext<i8>(w, 16));
        d1 = dot(d1, x, v128.load_ext<i8>(w, 24));
        w += 32;
        a += 8;
      }
      if (i < pairs) {
        const x = v128.load_splat<i32>(a);
        c0 = dot(c0, x, v128.load_ext<i8>(w));
        c1 = dot(c1, x, v128.load_ext<i8>(w, 8));
        w += 16;
      }
    }
    finish(out, columns, i32x4.add(c0, d0), i32x4.add(c1, d1), scale0, scale1);
    out += outStride;
  }
}

/** Segments of odd length: moves a dense panel to one where every segment starts with a new pair. */
function alignSegments(dense: usize, count: i32, length: i32, to: usize): void {
  const pairs = (length + 1) >> 1;
  memory.fill(to, 0, <usize>count * pairs * 2 * COLUMNS);
  for (let segment = 0; segment < count; segment++) {
    for (let i = 0; i < length; i++) {
      const k = segment * length + i;
      const from = dense + (<usize>(k >> 1) << 4) + (k & 1);
      const at = to + (<usize>(segment * pairs + (i >> 1)) << 4) + (i & 1);
      for (let column = 0; column < COLUMNS; column++)
        store<u8>(at + (column << 1), load<u8>(from + (column << 1)));
    }
  }
}

/** All panels of all groups over one tile. */
function panels(
  s: Shape,
  bits: i32,
  packed: usize,
  bias: usize,
  multipliers: usize,
  tile: usize,
  offsets: usize,
  pixels: i32,
  segments: usize,
  panel: usize,
  out: usize,
): void {
  const channels = s.inChannels / s.groups;
  const perGroup = s.outChannels / s.groups;
  const length = panelLength(s.kernelHeight * s.kernelWidth * channels);
  const size = encodedLength(length, bits);
  const count = segmentCount(s);
  const run = segmentLength(s);
  const outStride = <usize>s.outChannels * outputBytes;
  for (let group = 0; group < s.groups; group++) {
    const groupTile = tile + (<usize>(group * channels) << 1);
    for (let n = 0; n < perGroup; n += COLUMNS) {
      const columns = min(COLUMNS, perGroup - n);
      const channel = <usize>(group * perGroup + n);
      let weights = packed;
      if (bits != 8) {
        decode(packed, length, bits, panel);
        weights = panel;
      }
      if (run & 1 && count > 1) {
        alignSegments(weights, count, run, panel + length);
        weights = panel + length;
      }
      const b = bias ? bias + (channel << 2) : 0;
      const m = multipliers ? multipliers + (channel << 2) : 0;
      panelPixels(
        groupTile, offsets, pixels, segments, count, (run + 1) >> 1, weights,
        partialWords(b, 0, columns), partialWords(b, 4, columns),
        partialWords(m, 0, columns), partialWords(m, 4, columns),
        out + channel * outputBytes, outStride, columns,
      );
      packed += size;
    }
  }
}

export function conv(
  s: Shape,
  bits: i32,
  kind: i32,
  a: usize,
  zeroPoint: i32,
  packed: usize,
  bias: usize,
  multipliers: usize,
  output: i32,
  outZeroPoint: i32,
  low: i32,
  high: i32,
  out: usize,
  scratch: usize,
): void {
  const taps = s.kernelHeight * s.kernelWidth;
  const depthwise = isDepthwise(s.inChannels / s.groups, s.groups);
  setEpilogue(output, outZeroPoint, low, high);
  planTile(s, depthwise, 2);
  const tile = scratch;
  const offsets = tile + tileBytes();
  const segments = offsets + roundUp(<usize>(tileRows * tileColumns) << 2, 16);
  const panel = segments + roundUp(<usize>(taps + 1) << 2, 16);
  pixelOffsets(offsets);
  const perRow = !depthwise && rowSegments(s) ? 1 : s.kernelWidth;
  for (let tap = 0; tap < s.kernelHeight * perRow; tap++)
    store<i32>(segments + (<usize>tap << 2), tapOffset(tap / perRow, tap % perRow));
  // The second tap of the last pair of a depthwise kernel with an odd number of taps: its weights are zero.
  if (depthwise) store<i32>(segments + (<usize>taps << 2), 0);
  let weights = panel;
  if (depthwise) {
    const length = depthwiseLength(s.outChannels, taps);
    let bytes = packed;
    if (bits != 8) decode(packed, length, bits, bytes = panel + 2 * length);
    for (let i: usize = 0; i < length; i += 8) v128.store(weights + 2 * i, v128.load_ext<i8>(bytes + i));
  }
  for (let image = 0; image < s.batch; image++) {
    for (let row = 0; row < s.outHeight; row += tileRows) {
      const rows = min(tileRows, s.outHeight - row);
      for (let column = 0; column < s.outWidth; column += tileColumns) {
        const pixels = rows * min(tileColumns, s.outWidth - column);
        fillTile(s, kind, a, image, row, column, rows, zeroPoint, tile);
        const first = (<usize>image * s.outHeight + row) * s.outWidth + column;
        const to = out + first * s.outChannels * outputBytes;
        if (depthwise)
          depthwisePixels(s.outChannels, tile, offsets, pixels, segments, (taps + 1) >> 1, weights, bias, multipliers, to);
        else panels(s, bits, packed, bias, multipliers, tile, offsets, pixels, segments, panel, to);
      }
    }
  }
}
