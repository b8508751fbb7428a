import { QUAD, VECTOR } from './depthwise-tile';
import { finishFour } from './epilogue';
import { finishFourFloats } from './float-epilogue';

/**
 * One row of depthwise outputs for four channels, four pixels at a time (more sums, and V8 spills them). A vector of
 * the tile and one of the weights add to four sums: two taps by a dot product, or one by multiply and add.
 */
const INTEGERS: i32 = 0;
const FLOATS: i32 = 1;

/** Geometry of the running call, in bytes: from kernel row to row, tap to tap and output to output in the tile. */
let kernelRows: i32 = 0;
let kernelWidth: i32 = 0;
let rowStep: usize = 0;
let tapStep: usize = 0;
let outputStep: usize = 0;
/** From tap to tap of the weights, and from pixel to pixel of the output. */
let weightStep: usize = 0;
let outStride: usize = 0;

export function setKernel(
  rows: i32,
  width: i32,
  stepOfRows: usize,
  stepOfTaps: usize,
  stepOfOutputs: usize,
  stepOfWeights: usize,
  strideOut: usize,
): void {
  kernelRows = rows;
  kernelWidth = width;
  rowStep = stepOfRows;
  tapStep = stepOfTaps;
  outputStep = stepOfOutputs;
  weightStep = stepOfWeights;
  outStride = strideOut;
}

@inline
function accumulate(kind: i32, c: v128, x: v128, w: v128): v128 {
  return kind == INTEGERS ? i32x4.add(c, i32x4.dot_i16x8_s(x, w)) : f32x4.add(c, f32x4.mul(x, w));
}

/**
 * `start` is what sums begin with; `factor` what the epilogue wants (multipliers, or the bias of floats). With
 * `three` a row of the kernel is three neighbouring pixels and so are outputs: every pixel is loaded once.
 */
@inline
function outputs(
  kind: i32, three: bool, line: usize, pixels: i32, count: i32, weights: usize, start: v128, factor: v128, out: usize,
): void {
  const rows = kernelRows, width = kernelWidth, nextRow = rowStep, nextTap = tapStep, step = outputStep;
  const nextWeight = weightStep, stride = outStride;
  for (; pixels > 0; pixels -= QUAD) {
    let c0 = start, c1 = start, c2 = start, c3 = start;
    let w = weights;
    let a = line;
    for (let ky = 0; ky < rows; ky++) {
      if (three) {
        const w0 = v128.load(w), w1 = v128.load(w + nextWeight), w2 = v128.load(w + 2 * nextWeight);
        let x = v128.load(a);
        c0 = accumulate(kind, c0, x, w0);
        x = v128.load(a, 16);
        c0 = accumulate(kind, c0, x, w1);
        c1 = accumulate(kind, c1, x, w0);
        x = v128.load(a, 32);
        c0 = accumulate(kind, c0, x, w2);
        c1 = accumulate(kind, c1, x, w1);
        c2 = accumulate(kind, c2, x, w0);
        x = v128.load(a, 48);
        c1 = accumulate(kind, c1, x, w2);
        c2 = accumulate(kind, c2, x, w1);
        c3 = accumulate(kind, c3, x, w0);
        x = v128.load(a, 64);
        c2 = accumulate(kind, c2, x, w2);
        c3 = accumulate(kind, c3, x, w1);
        c3 = accumulate(kind, c3, v128.load(a, 80), w2);
        w += 3 * nextWeight;
      } else {
        let tap = a;
        for (let kx = 0; kx < width; kx++) {
          const w0 = v128.load(w);
          c0 = accumulate(kind, c0, v128.load(tap), w0);
          c1 = accumulate(kind, c1, v128.load(tap + step), w0);
          c2 = accumulate(kind, c2, v128.load(tap + 2 * step), w0);
          c3 = accumulate(kind, c3, v128.load(tap + 3 * step), w0);
          tap += nextTap;
          w += nextWeight;
        }
      }
      a += nextRow;
    }
    if (kind == INTEGERS) finishFour(out, stride, pixels, count, c0, c1, c2, c3, factor);
    else finishFourFloats(out, stride, pixels, count, c0, c1, c2, c3, factor);
    line += <usize>QUAD * step;
    out += <usize>QUAD * stride;
  }
}

@inline
function neighbours(): bool {
  return kernelWidth == 3 && tapStep == VECTOR && outputStep == VECTOR;
}

export function integerOutputs(
  line: usize, pixels: i32, count: i32, weights: usize, start: v128, factor: v128, out: usize,
): void {
  if (neighbours()) outputs(INTEGERS, true, line, pixels, count, weights, start, factor, out);
  else outputs(INTEGERS, false, line, pixels, count, weights, start, factor, out);
}

export function floatOutputs(
  line: usize, pixels: i32, count: i32, weights: usize, start: v128, factor: v128, out: usize,
): void {
  if (neighbours()) outputs(FLOATS, true, line, pixels, count, weights, start, factor, out);
  else outputs(FLOATS, false, line, pixels, count, weights, start, factor, out);
}
