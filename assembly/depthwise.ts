import { decode } from './bits';
import { floatOutputs, integerOutputs, setKernel } from './depthwise-kernel';
import { VECTOR, depthwiseColumns, depthwiseRows, fillDepthwise, halfBytes, planDepthwise, rowBytes } from './depthwise-tile';
import { outputBytes, partialWords } from './epilogue';
import { Shape, roundUp } from './shape';
import { FLOATS } from './tile';
import { COLUMNS, depthwiseLength } from './weights';
import { columns, endPanel, firstPanel, firstPixel, nextUnit, rows, shareWork } from './work';

/** One input channel per output: nothing to sum over channels, so channels are the lanes. */
const HALF: i32 = 4;

@inline
function channelRow(s: Shape): usize {
  return roundUp(s.outChannels, COLUMNS);
}

@inline
function rowPairs(s: Shape): i32 {
  return (s.kernelHeight + 1) >> 1;
}

/** Scratch of one thread for integers: the tile, decoded weights and pairs of them. */
export function depthwiseScratch(s: Shape): u64 {
  const pairs = <usize>(rowPairs(s) * s.kernelWidth) * (channelRow(s) << 2);
  return planDepthwise(s, false) + depthwiseLength(s.outChannels, s.kernelHeight * s.kernelWidth) + roundUp(pairs, 64);
}

/** Bytes [ky][kx][channel] to int16 [pair of ky][kx][channel][2]; an odd last row is paired with zeros. */
function pairRows(s: Shape, weights: usize, to: usize): void {
  const row = channelRow(s);
  for (let pair = 0; pair < rowPairs(s); pair++) {
    const hasLower = 2 * pair + 1 < s.kernelHeight;
    for (let kx = 0; kx < s.kernelWidth; kx++) {
      const upper = weights + <usize>(2 * pair * s.kernelWidth + kx) * row;
      for (let n: usize = 0; n < row; n += 8) {
        const u = v128.load_ext<i8>(upper + n);
        const l = hasLower ? v128.load_ext<i8>(upper + <usize>s.kernelWidth * row + n) : i16x8.splat(0);
        v128.store(to, v128.shuffle<i16>(u, l, 0, 8, 1, 9, 2, 10, 3, 11));
        v128.store(to, v128.shuffle<i16>(u, l, 4, 12, 5, 13, 6, 14, 7, 15), 16);
        to += 32;
      }
    }
  }
}

/** All units of this thread; `kind` says what the input is, weights are rows of 4 bytes per channel. */
function allOutputs(
  s: Shape, kind: i32, a: usize, zeroPoint: i32, weights: usize, bias: usize, multipliers: usize, out: usize,
  elementBytes: i32, tile: usize, thread: i32, threads: i32,
): void {
  const outStride = <usize>s.outChannels * elementBytes;
  const together = kind == FLOATS ? 1 : 2;
  const zero = i32x4.splat(0);
  setKernel(
    kind == FLOATS ? s.kernelHeight : rowPairs(s), s.kernelWidth, <usize>(together * s.dilationHeight) * rowBytes,
    <usize>s.dilationWidth * VECTOR, <usize>s.strideWidth * VECTOR, channelRow(s) << 2, outStride,
  );
  shareWork(s, depthwiseRows, depthwiseColumns, (s.outChannels + COLUMNS - 1) / COLUMNS, thread, threads);
  while (nextUnit(s)) {
    for (let panel = firstPanel; panel < endPanel; panel++) {
      const channels = min(COLUMNS, s.outChannels - panel * COLUMNS);
      fillDepthwise(s, kind, a, zeroPoint, panel * COLUMNS, channels, tile);
      for (let half = 0; half * HALF < channels; half++) {
        const channel = <usize>(panel * COLUMNS + half * HALF);
        const count = min(HALF, channels - half * HALF);
        const b = partialWords(bias ? bias + (channel << 2) : 0, 0, count);
        const m = partialWords(multipliers ? multipliers + (channel << 2) : 0, 0, count);
        const w = weights + (channel << 2);
        let line = tile + <usize>half * halfBytes;
        let to = out + firstPixel * outStride + channel * elementBytes;
        for (let y = 0; y < rows; y++) {
          if (kind == FLOATS) floatOutputs(line, columns, count, w, zero, b, to);
          else integerOutputs(line, columns, count, w, b, m, to);
          line += <usize>s.strideHeight * rowBytes;
          to += <usize>s.outWidth * outStride;
        }
      }
    }
  }
}

/** As conv of integer.ts, which sets the epilogue; scratch of this thread. */
export function depthwiseIntegers(
  s: Shape, bits: i32, kind: i32, a: usize, zeroPoint: i32, packed: usize, bias: usize, multipliers: usize, out: usize,
  scratch: usize, thread: i32, threads: i32,
): void {
  const length = depthwiseLength(s.outChannels, s.kernelHeight * s.kernelWidth);
  const decoded = scratch + <usize>planDepthwise(s, false);
  const paired = decoded + length;
  if (bits != 8) decode(packed, length, bits, decoded);
  pairRows(s, bits == 8 ? packed : decoded, paired);
  allOutputs(s, kind, a, zeroPoint, paired, bias, multipliers, out, outputBytes, scratch, thread, threads);
}

/** As floatConv of float.ts. */
export function depthwiseFloats(
  s: Shape, a: usize, packed: usize, bias: usize, out: usize, scratch: usize, thread: i32, threads: i32,
): void {
  planDepthwise(s, true);
  allOutputs(s, FLOATS, a, 0, packed, bias, 0, out, 4, scratch, thread, threads);
}
