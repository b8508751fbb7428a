import { depthwiseFloats } from './depthwise';
import { planDepthwise } from './depthwise-tile';
import { partialWords } from './epilogue';
import { finishFloat, setRange } from './float-epilogue';
import { segmentCount, segmentLength, segmentTableSize, writeSegments } from './segments';
import { Shape, isDepthwise, roundUp } from './shape';
import { fillTile, FLOATS, planTile, tileBytes, tileColumns, tileRows, writeOffsets } from './tile';
import { COLUMNS, panelCount } from './weights';
import { columns, endPanel, firstPanel, firstPixel, newBlock, nextUnit, rows, shareWork } from './work';

/**
 * Float convolution and matrix product: multiply, then add, one accumulator per output, k ascending. Packed weights
 * are panels [k][8 columns], of a depthwise convolution [tap][channels rounded up to 8].
 */

export function floatWeightsSize(outChannels: i32, taps: i32, channels: i32, groups: i32): usize {
  if (isDepthwise(channels, groups)) return <usize>taps * roundUp(outChannels, COLUMNS) * 4;
  return <usize>groups * panelCount(outChannels, groups) * taps * channels * COLUMNS * 4;
}

export function packFloatWeights(
  w: usize,
  outChannels: i32,
  taps: i32,
  channels: i32,
  groups: i32,
  packed: usize,
): void {
  memory.fill(packed, 0, floatWeightsSize(outChannels, taps, channels, groups));
  const depthwise = isDepthwise(channels, groups);
  const depth = taps * channels;
  const perGroup = outChannels / groups;
  const panel = <usize>depth * COLUMNS * 4;
  const row = depthwise ? roundUp(outChannels, COLUMNS) * 4 : COLUMNS * 4;
  for (let n = 0; n < outChannels; n++) {
    const within = n % perGroup;
    const group = n / perGroup;
    let to = packed;
    if (depthwise) to += <usize>n << 2;
    else to += (<usize>group * panelCount(outChannels, groups) + within / COLUMNS) * panel + ((within % COLUMNS) << 2);
    for (let k = 0; k < depth; k++) {
      store<f32>(to, load<f32>(w));
      to += row;
      w += 4;
    }
  }
}

/** A 1x1 kernel over everything reads its input where it lies. */
@inline
function inPlace(s: Shape): bool {
  return (
    s.kernelHeight == 1 && s.kernelWidth == 1 && s.strideHeight == 1 && s.strideWidth == 1 &&
    s.padTop == 0 && s.padLeft == 0 && s.outHeight == s.inHeight && s.outWidth == s.inWidth
  );
}

/** Scratch of one thread, as of integer.ts. */
export function floatScratch(s: Shape): f64 {
  const depthwise = isDepthwise(s.inChannels / s.groups, s.groups);
  const bytes = depthwise ? planDepthwise(s, true) : planTile(s, 4) + segmentTableSize(s);
  return <f64>((bytes + 63) & ~63);
}

@inline
function accumulate(c: v128, x: v128, w: v128): v128 {
  return f32x4.add(c, f32x4.mul(x, w));
}

/**
 * One pixel times a panel, or times it and the next where `pair`, which both are full then: four sums hide each other's
 * latency.
 */
@inline
function onePixel(
  pair: bool, start: usize, segments: usize, count: i32, run: i32, weights: usize, panel: usize,
  bias0: v128, bias1: v128, bias2: v128, bias3: v128, out: usize, outColumns: i32,
): void {
  const zero = f32x4.splat(0);
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let w = weights;
  for (let segment = 0; segment < count; segment++) {
    let a = start + load<u32>(segments + (<usize>segment << 2));
    for (const end = w + (<usize>run << 5); w < end; w += 32) {
      const x = v128.load_splat<f32>(a);
      c0 = accumulate(c0, x, v128.load(w));
      c1 = accumulate(c1, x, v128.load(w, 16));
      if (pair) {
        c2 = accumulate(c2, x, v128.load(w + panel));
        c3 = accumulate(c3, x, v128.load(w + panel, 16));
      }
      a += 4;
    }
  }
  finishFloat(out, outColumns, c0, c1, bias0, bias1);
  if (pair) finishFloat(out + COLUMNS * 4, COLUMNS, c2, c3, bias2, bias3);
}

/** See onePixel. */
function panelPair(
  start: usize, segments: usize, count: i32, run: i32, weights: usize, panel: usize,
  bias0: v128, bias1: v128, bias2: v128, bias3: v128, out: usize,
): void {
  onePixel(true, start, segments, count, run, weights, panel, bias0, bias1, bias2, bias3, out, COLUMNS);
}

/** The micro-kernel: all pixels of a tile times one panel, four pixels at a time. */
function panelPixels(
  tile: usize,
  offsets: usize,
  pixels: i32,
  segments: usize,
  count: i32,
  run: i32,
  weights: usize,
  bias0: v128,
  bias1: v128,
  out: usize,
  outStride: usize,
  outColumns: i32,
): void {
  const zero = f32x4.splat(0);
  let p = 0;
  for (; p + 4 <= pixels; p += 4) {
    const at = offsets + (<usize>p << 2);
    const o0 = tile + load<u32>(at);
    const o1 = tile + load<u32>(at, 4);
    const o2 = tile + load<u32>(at, 8);
    const o3 = tile + load<u32>(at, 12);
    let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
    let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
    let w = weights;
    for (let segment = 0; segment < count; segment++) {
      const shift = load<u32>(segments + (<usize>segment << 2));
      let a0 = o0 + shift;
      let a1 = o1 + shift;
      let a2 = o2 + shift;
      let a3 = o3 + shift;
      for (const end = w + (<usize>run << 5); w < end; w += 32) {
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        let x = v128.load_splat<f32>(a0);
        c00 = accumulate(c00, x, w0);
        c01 = accumulate(c01, x, w1);
        x = v128.load_splat<f32>(a1);
        c10 = accumulate(c10, x, w0);
        c11 = accumulate(c11, x, w1);
        x = v128.load_splat<f32>(a2);
        c20 = accumulate(c20, x, w0);
        c21 = accumulate(c21, x, w1);
        x = v128.load_splat<f32>(a3);
        c30 = accumulate(c30, x, w0);
        c31 = accumulate(c31, x, w1);
        a0 += 4;
        a1 += 4;
        a2 += 4;
        a3 += 4;
      }
    }
    finishFloat(out, outColumns, c00, c01, bias0, bias1);
    finishFloat(out + outStride, outColumns, c10, c11, bias0, bias1);
    finishFloat(out + 2 * outStride, outColumns, c20, c21, bias0, bias1);
    finishFloat(out + 3 * outStride, outColumns, c30, c31, bias0, bias1);
    out += 4 * outStride;
  }
  for (; p < pixels; p++) {
    const start = tile + load<u32>(offsets + (<usize>p << 2));
    onePixel(false, start, segments, count, run, weights, 0, bias0, bias1, zero, zero, out, outColumns);
    out += outStride;
  }
}

export function floatConv(
  s: Shape,
  a: usize,
  packed: usize,
  bias: usize,
  low: f32,
  high: f32,
  out: usize,
  scratch: usize,
  thread: i32,
  threads: i32,
): void {
  const channels = s.inChannels / s.groups;
  const perGroup = s.outChannels / s.groups;
  setRange(low, high);
  scratch += <usize>thread * <usize>floatScratch(s);
  if (isDepthwise(channels, s.groups)) {
    depthwiseFloats(s, a, packed, bias, out, scratch, thread, threads);
    return;
  }
  const count = segmentCount(s);
  const run = segmentLength(s);
  const offsets = scratch + <usize>tileBytes();
  const segments = offsets + roundUp(<usize>(tileRows * tileColumns) << 2, 16);
  const outStride = <usize>s.outChannels << 2;
  const panelsOfGroup = panelCount(s.outChannels, s.groups);
  const panel = <usize>(count * run) * COLUMNS * 4;
  const direct = inPlace(s);
  writeOffsets(offsets);
  writeSegments(s, segments);
  shareWork(s, tileRows, tileColumns, s.groups * panelsOfGroup, thread, threads);
  while (nextUnit(s)) {
    let tile = scratch;
    if (direct) tile = a + ((firstPixel * s.inChannels) << 2);
    else if (newBlock) fillTile(s, FLOATS, a, 0, tile);
    for (let i = firstPanel; i < endPanel; i++) {
      const group = i / panelsOfGroup;
      const n = (i % panelsOfGroup) * COLUMNS;
      const outColumns = min(COLUMNS, perGroup - n);
      const channel = <usize>(group * perGroup + n) << 2;
      const b = bias ? bias + channel : 0;
      const input = tile + (<usize>(group * channels) << 2);
      if (rows * columns == 1 && i + 1 < endPanel && n + 2 * COLUMNS <= perGroup) {
        panelPair(
          input + load<u32>(offsets), segments, count, run, packed + <usize>i * panel, panel,
          partialWords(b, 0, COLUMNS), partialWords(b, 4, COLUMNS),
          partialWords(b, 8, 2 * COLUMNS), partialWords(b, 12, 2 * COLUMNS), out + firstPixel * outStride + channel,
        );
        i++;
        continue;
      }
      panelPixels(
        input, offsets, rows * columns, segments, count, run, packed + <usize>i * panel,
        partialWords(b, 0, outColumns), partialWords(b, 4, outColumns),
        out + firstPixel * outStride + channel, outStride, outColumns,
      );
    }
  }
}
