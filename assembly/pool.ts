import { limit, roundSmallScalar, roundToBytes } from './rounding';
import { Shape } from './shape';

/** Taps of the window that lie inside the input, for the output that is being computed. */
let fromY: i32 = 0;
let toY: i32 = 0;
let fromX: i32 = 0;
let toX: i32 = 0;
let startY: i32 = 0;
let startX: i32 = 0;

@inline
function firstInside(start: i32, dilation: i32): i32 {
  return start >= 0 ? 0 : (-start + dilation - 1) / dilation;
}

@inline
function lastInside(start: i32, dilation: i32, taps: i32, size: i32): i32 {
  return start >= size ? 0 : min(taps, (size - 1 - start) / dilation + 1);
}

function window(s: Shape, y: i32, x: i32): void {
  startY = y * s.strideHeight - s.padTop;
  startX = x * s.strideWidth - s.padLeft;
  fromY = firstInside(startY, s.dilationHeight);
  fromX = firstInside(startX, s.dilationWidth);
  toY = lastInside(startY, s.dilationHeight, s.kernelHeight, s.inHeight);
  toX = lastInside(startX, s.dilationWidth, s.kernelWidth, s.inWidth);
}

@inline
function tapIndex(s: Shape, image: i32, ky: i32, kx: i32): usize {
  const y = startY + ky * s.dilationHeight;
  const x = startX + kx * s.dilationWidth;
  return ((<usize>image * s.inHeight + y) * s.inWidth + x) * s.inChannels;
}

const NEGATIVE_INFINITY: f32 = -Infinity;

/** What a pool does with a window; the channels of a tap are vectors. */
const MAXIMUM: i32 = 0;
const AVERAGE: i32 = 1;

@inline
function floatWindow(s: Shape, a: usize, image: i32, mode: i32, divisor: f32, out: usize): void {
  let c = 0;
  for (; c + 4 <= s.inChannels; c += 4) {
    let sum = f32x4.splat(mode == MAXIMUM ? NEGATIVE_INFINITY : 0);
    for (let ky = fromY; ky < toY; ky++)
      for (let kx = fromX; kx < toX; kx++) {
        const v = v128.load(a + ((tapIndex(s, image, ky, kx) + c) << 2));
        sum = mode == MAXIMUM ? f32x4.max(sum, v) : f32x4.add(sum, v);
      }
    v128.store(out + (<usize>c << 2), mode == MAXIMUM ? sum : f32x4.div(sum, f32x4.splat(divisor)));
  }
  for (; c < s.inChannels; c++) {
    let sum: f32 = mode == MAXIMUM ? NEGATIVE_INFINITY : 0;
    for (let ky = fromY; ky < toY; ky++)
      for (let kx = fromX; kx < toX; kx++) {
        const v = load<f32>(a + ((tapIndex(s, image, ky, kx) + c) << 2));
        sum = mode == MAXIMUM ? max(sum, v) : sum + v;
      }
    store<f32>(out + (<usize>c << 2), mode == MAXIMUM ? sum : sum / divisor);
  }
}

export function maxPool(s: Shape, a: usize, out: usize): void {
  for (let image = 0; image < s.batch; image++)
    for (let y = 0; y < s.outHeight; y++)
      for (let x = 0; x < s.outWidth; x++) {
        window(s, y, x);
        floatWindow(s, a, image, MAXIMUM, 1, out);
        out += <usize>s.inChannels << 2;
      }
}

export function averagePool(s: Shape, a: usize, countPadding: bool, out: usize): void {
  for (let image = 0; image < s.batch; image++)
    for (let y = 0; y < s.outHeight; y++)
      for (let x = 0; x < s.outWidth; x++) {
        window(s, y, x);
        const inside = max(0, toY - fromY) * max(0, toX - fromX);
        const count = countPadding ? s.kernelHeight * s.kernelWidth : inside;
        floatWindow(s, a, image, AVERAGE, <f32>count, out);
        out += <usize>s.inChannels << 2;
      }
}

export function quantizedMaxPool(s: Shape, a: usize, out: usize): void {
  for (let image = 0; image < s.batch; image++)
    for (let y = 0; y < s.outHeight; y++)
      for (let x = 0; x < s.outWidth; x++) {
        window(s, y, x);
        let c = 0;
        for (; c + 16 <= s.inChannels; c += 16) {
          let most = i8x16.splat(0);
          for (let ky = fromY; ky < toY; ky++)
            for (let kx = fromX; kx < toX; kx++)
              most = i8x16.max_u(most, v128.load(a + tapIndex(s, image, ky, kx) + c));
          v128.store(out + c, most);
        }
        for (; c < s.inChannels; c++) {
          let most: u32 = 0;
          for (let ky = fromY; ky < toY; ky++)
            for (let kx = fromX; kx < toX; kx++)
              most = max(most, <u32>load<u8>(a + tapIndex(s, image, ky, kx) + c));
          store<u8>(out + c, <u8>most);
        }
        out += s.inChannels;
      }
}

export function quantizedGlobalAverage(
  a: usize,
  batch: i32,
  pixels: i32,
  channels: i32,
  zeroPoint: i32,
  multiplier: f32,
  outZeroPoint: i32,
  low: i32,
  high: i32,
  out: usize,
): void {
  const start = -pixels * zeroPoint;
  const least = <f32>(low - outZeroPoint);
  const most = <f32>(high - outZeroPoint);
  const m = f32x4.splat(multiplier);
  const zero = i8x16.splat(<i8>outZeroPoint);
  for (let image = 0; image < batch; image++) {
    let c = 0;
    for (; c + 8 <= channels; c += 8) {
      let s0 = i32x4.splat(start), s1 = s0;
      let at = a + c;
      for (let p = 0; p < pixels; p++) {
        const v = v128.load_ext<u8>(at);
        s0 = i32x4.add(s0, i32x4.extend_low_i16x8_u(v));
        s1 = i32x4.add(s1, i32x4.extend_high_i16x8_u(v));
        at += channels;
      }
      const f0 = limit(f32x4.mul(f32x4.convert_i32x4_s(s0), m), f32x4.splat(least), f32x4.splat(most));
      const f1 = limit(f32x4.mul(f32x4.convert_i32x4_s(s1), m), f32x4.splat(least), f32x4.splat(most));
      v128.store_lane<u64>(out + c, roundToBytes(f0, f1, f0, f1, zero), 0);
    }
    for (; c < channels; c++) {
      let sum = start;
      let at = a + c;
      for (let p = 0; p < pixels; p++) {
        sum += load<u8>(at);
        at += channels;
      }
      const value = min(max(<f32>sum * multiplier, least), most);
      store<u8>(out + c, <u8>(<i32>roundSmallScalar(value) + outZeroPoint));
    }
    a += <usize>pixels * channels;
    out += channels;
  }
}
