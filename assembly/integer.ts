import { decode, decodeWords, encodedLength } from './bits';
import { depthwiseIntegers, depthwiseScratch } from './depthwise';
import { dot } from './dot';
import { finish, outputBytes, partialWords, setEpilogue } from './epilogue';
import { FEW_ROWS, fillQuads, isPointwise, quadsBytes, rowsInPlace, rowsOfWords } from './pointwise';
import { Shape, isDepthwise, roundUp } from './shape';
import { segmentCount, segmentLength, segmentTableSize, writeSegments } from './segments';
import { fillTile, planTile, tileBytes, tileColumns, tileRows, writeOffsets } from './tile';
import { correctionOf, multiplyVector, rowProducts } from './vector';
import { COLUMNS, panelCount, panelLength } from './weights';
import { columns, endPanel, firstPanel, firstPixel, newBlock, nextUnit, rows, shareWork } from './work';

/** Integer convolution; a matrix product is one with a 1x1 kernel. */

/** Decoded bytes of a panel whose segments are rounded up to pairs. */
@inline
function segmentedLength(s: Shape): usize {
  return <usize>segmentCount(s) * ((segmentLength(s) + 1) >> 1) * 2 * COLUMNS;
}

/** Bytes of the input of a block. After planTile. */
@inline
function inputBytes(s: Shape): u64 {
  return isPointwise(s) ? max(tileBytes(), quadsBytes(tileRows * tileColumns, s.inChannels)) : tileBytes();
}

/** Bytes of a panel and, where segments are odd, of another that has them aligned; or of one decoded to int16. */
@inline
function panelBytes(s: Shape): u64 {
  const length = <u64>panelLength(s.kernelHeight * s.kernelWidth * (s.inChannels / s.groups));
  return isPointwise(s) ? 2 * length : length + roundUp(segmentedLength(s), 64);
}

/** Scratch of one thread, a float64 because an i32 would wrap: the host refuses what memory cannot hold. */
export function integerScratch(s: Shape): f64 {
  const channels = s.inChannels / s.groups;
  if (isDepthwise(channels, s.groups)) return <f64>depthwiseScratch(s);
  const offsets = planTile(s, 2) - tileBytes();
  return <f64>(inputBytes(s) + offsets + segmentTableSize(s) + panelBytes(s));
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
  outColumns: i32,
): void {
  const segmentBytes = <usize>pairs * 2 * COLUMNS;
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
      for (const end = w + segmentBytes; w < end; w += 16) {
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
        a0 += 4;
        a1 += 4;
        a2 += 4;
        a3 += 4;
      }
    }
    finish(out, outColumns, c00, c01, scale0, scale1);
    finish(out + outStride, outColumns, c10, c11, scale0, scale1);
    finish(out + 2 * outStride, outColumns, c20, c21, scale0, scale1);
    finish(out + 3 * outStride, outColumns, c30, c31, scale0, scale1);
    out += 4 * outStride;
  }
  for (; p < pixels; p++) {
    const start = tile + load<u32>(offsets + (<usize>p << 2));
    let c0 = bias0, c1 = bias1;
    let w = weights;
    for (let segment = 0; segment < count; segment++) {
      let a = start + load<u32>(segments + (<usize>segment << 2));
      for (const end = w + segmentBytes; w < end; w += 16) {
        const x = v128.load_splat<i32>(a);
        c0 = dot(c0, x, v128.load_ext<i8>(w));
        c1 = dot(c1, x, v128.load_ext<i8>(w, 8));
        a += 4;
      }
    }
    finish(out, outColumns, c0, c1, scale0, scale1);
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
      for (let c = 0; c < COLUMNS; c++) store<u8>(at + (c << 1), load<u8>(from + (c << 1)));
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
  thread: i32,
  threads: i32,
): void {
  const channels = s.inChannels / s.groups;
  const perGroup = s.outChannels / s.groups;
  setEpilogue(output, outZeroPoint, low, high);
  scratch += <usize>thread * <usize>integerScratch(s);
  if (isDepthwise(channels, s.groups)) {
    depthwiseIntegers(s, bits, kind, a, zeroPoint, packed, bias, multipliers, out, scratch, thread, threads);
    return;
  }
  const length = panelLength(s.kernelHeight * s.kernelWidth * channels);
  const size = encodedLength(length, bits);
  const count = segmentCount(s);
  const run = segmentLength(s);
  const pointwise = isPointwise(s);
  const offsets = scratch + <usize>inputBytes(s);
  const segments = offsets + roundUp(<usize>(tileRows * tileColumns) << 2, 16);
  const panel = segments + segmentTableSize(s);
  const outStride = <usize>s.outChannels * outputBytes;
  const panelsOfGroup = panelCount(s.outChannels, s.groups);
  writeOffsets(offsets);
  writeSegments(s, segments);
  shareWork(s, tileRows, tileColumns, s.groups * panelsOfGroup, thread, threads);
  let correction = 0;
  while (nextUnit(s)) {
    const pixels = rows * columns;
    const oneRow = pixels == 1 && count == 1 && s.groups == 1;
    const quads = pointwise && !oneRow;
    if (newBlock) {
      if (quads) fillQuads(a + firstPixel * channels, pixels, channels, kind, zeroPoint, scratch);
      else fillTile(s, kind, a, zeroPoint, scratch);
      if (oneRow) correction = correctionOf(scratch, run, bits);
    }
    for (let i = firstPanel; i < endPanel; i++) {
      const group = i / panelsOfGroup;
      const n = (i % panelsOfGroup) * COLUMNS;
      const outColumns = min(COLUMNS, perGroup - n);
      const channel = <usize>(group * perGroup + n);
      const tile = scratch + (<usize>(group * channels) << 1);
      const b = bias ? bias + (channel << 2) : 0;
      const m = multipliers ? multipliers + (channel << 2) : 0;
      const bias0 = partialWords(b, 0, outColumns), bias1 = partialWords(b, 4, outColumns);
      const scale0 = partialWords(m, 0, outColumns), scale1 = partialWords(m, 4, outColumns);
      const to = out + firstPixel * outStride + channel * outputBytes;
      let weights = packed + <usize>i * size;
      if (oneRow) {
        multiplyVector(tile, correction, weights, length, bits);
        const sums = rowProducts();
        finish(to, outColumns, i32x4.add(bias0, v128.load(sums)), i32x4.add(bias1, v128.load(sums, 16)), scale0, scale1);
        continue;
      }
      if (quads) {
        if (bits == 8 && pixels <= FEW_ROWS) {
          rowsInPlace(scratch, pixels, channels, weights, bias0, bias1, scale0, scale1, to, outStride, outColumns);
          continue;
        }
        decodeWords(weights, length, bits, panel);
        rowsOfWords(scratch, pixels, channels, panel, bias0, bias1, scale0, scale1, to, outStride, outColumns);
        continue;
      }
      if (bits != 8) {
        decode(weights, length, bits, panel);
        weights = panel;
      }
      if (run & 1 && count > 1) {
        alignSegments(weights, count, run, panel + length);
        weights = panel + length;
      }
      panelPixels(
        tile, offsets, pixels, segments, count, (run + 1) >> 1, weights,
        bias0, bias1, scale0, scale1, to, outStride, outColumns,
      );
    }
  }
}
