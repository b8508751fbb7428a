import { own as lanes } from './own';
import { limitFloats } from './rounding';
import { isDepthwise, roundUp, Shape } from './shape';
import { fold } from './statistics';

/**
 * What training adds. The gradient of weights: runs of positions, each with sums of its own; a round of patches is
 * gathered as rows, then every tile of the sums takes all of them in order. Threads share the runs.
 */
const MOST_RUNS: i64 = 16;
const LEAST_RUN: i64 = 64;
const RUN_SUMS: i64 = 1 << 22;
const ROUND: i32 = 64;
const TILE: i32 = 4;

@inline
function depthOf(s: Shape): i32 {
  return s.kernelHeight * s.kernelWidth * (s.inChannels / s.groups);
}

@inline
function paddedDepth(s: Shape): i32 {
  return <i32>roundUp(depthOf(s), TILE);
}

@inline
function isSeparable(s: Shape): bool {
  return isDepthwise(s.inChannels / s.groups, s.groups) && s.outChannels == s.inChannels;
}

function runOf(s: Shape): i64 {
  const positions = <i64>s.batch * s.outHeight * s.outWidth;
  const most = min(MOST_RUNS, min(RUN_SUMS / (<i64>s.outChannels * depthOf(s)), (positions + LEAST_RUN - 1) / LEAST_RUN));
  return (positions + max<i64>(most, 1) - 1) / max<i64>(most, 1);
}

function runsOf(s: Shape): i64 {
  const positions = <i64>s.batch * s.outHeight * s.outWidth;
  return (positions + runOf(s) - 1) / runOf(s);
}

/** Floats of one run's sums. */
function runSums(s: Shape): usize {
  return isSeparable(s)
    ? <usize>depthOf(s) * roundUp(s.inChannels, TILE)
    : <usize>s.outChannels * paddedDepth(s);
}

/** The sums of all runs, then a round of patches per thread. */
export function gradientScratch(s: Shape, threads: i32): usize {
  return (<usize>runsOf(s) * runSums(s) + <usize>threads * ROUND * paddedDepth(s)) << 2;
}

/** The patch of one output position and group, zeros where the input ends. */
function gather(s: Shape, x: usize, position: i32, group: i32, to: usize): void {
  const channels = s.inChannels / s.groups;
  const column = position % s.outWidth;
  const row = (position / s.outWidth) % s.outHeight;
  const image = position / (s.outWidth * s.outHeight);
  memory.fill(to, 0, <usize>paddedDepth(s) << 2);
  for (let ky = 0; ky < s.kernelHeight; ky++) {
    const y = row * s.strideHeight - s.padTop + ky * s.dilationHeight;
    for (let kx = 0; kx < s.kernelWidth; kx++) {
      const sx = column * s.strideWidth - s.padLeft + kx * s.dilationWidth;
      if (y >= 0 && y < s.inHeight && sx >= 0 && sx < s.inWidth) {
        const pixel = (<usize>image * s.inHeight + y) * s.inWidth + sx;
        memory.copy(to, x + ((pixel * s.inChannels + group * channels) << 2), <usize>channels << 2);
      }
      to += <usize>channels << 2;
    }
  }
}

/** Four output channels times eight weights; bytes between rows of g, x and sums. */
function tile(g: usize, ldg: usize, x: usize, ldx: usize, count: i32, sums: usize, lds: usize): void {
  const r1 = sums + lds, r2 = r1 + lds, r3 = r2 + lds;
  let c00 = v128.load(sums), c01 = v128.load(sums, 16);
  let c10 = v128.load(r1), c11 = v128.load(r1, 16);
  let c20 = v128.load(r2), c21 = v128.load(r2, 16);
  let c30 = v128.load(r3), c31 = v128.load(r3, 16);
  for (let p = 0; p < count; p++) {
    const a = v128.load(x), b = v128.load(x, 16);
    let f = v128.load_splat<f32>(g);
    c00 = f32x4.add(c00, f32x4.mul(f, a));
    c01 = f32x4.add(c01, f32x4.mul(f, b));
    f = v128.load_splat<f32>(g, 4);
    c10 = f32x4.add(c10, f32x4.mul(f, a));
    c11 = f32x4.add(c11, f32x4.mul(f, b));
    f = v128.load_splat<f32>(g, 8);
    c20 = f32x4.add(c20, f32x4.mul(f, a));
    c21 = f32x4.add(c21, f32x4.mul(f, b));
    f = v128.load_splat<f32>(g, 12);
    c30 = f32x4.add(c30, f32x4.mul(f, a));
    c31 = f32x4.add(c31, f32x4.mul(f, b));
    g += ldg;
    x += ldx;
  }
  v128.store(sums, c00);
  v128.store(sums, c01, 16);
  v128.store(r1, c10);
  v128.store(r1, c11, 16);
  v128.store(r2, c20);
  v128.store(r2, c21, 16);
  v128.store(r3, c30);
  v128.store(r3, c31, 16);
}

/** One output channel times four weights. */
function strip(g: usize, ldg: usize, x: usize, ldx: usize, count: i32, sums: usize): void {
  let sum = v128.load(sums);
  for (let p = 0; p < count; p++) {
    sum = f32x4.add(sum, f32x4.mul(v128.load_splat<f32>(g), v128.load(x)));
    g += ldg;
    x += ldx;
  }
  v128.store(sums, sum);
}

function productsOf(s: Shape, g: usize, patches: usize, count: i32, sums: usize): void {
  const rows = s.outChannels / s.groups;
  const bytes = <usize>paddedDepth(s) << 2, ldg = <usize>s.outChannels << 2;
  for (let row = 0; row < rows; ) {
    const height = row + TILE <= rows ? TILE : 1;
    const from = g + (<usize>row << 2), to = sums + <usize>row * bytes;
    let at: usize = 0;
    if (height == TILE) for (; at + 32 <= bytes; at += 32) tile(from, ldg, patches + at, bytes, count, to + at, bytes);
    for (; at < bytes; at += 16)
      for (let r = 0; r < height; r++)
        strip(from + (<usize>r << 2), ldg, patches + at, bytes, count, to + <usize>r * bytes + at);
    row += height;
  }
}

/** sums [tap][channels in whole vectors] += x * g at one position. */
function separable(s: Shape, x: usize, g: usize, position: i32, sums: usize): void {
  const column = position % s.outWidth;
  const row = (position / s.outWidth) % s.outHeight;
  const image = position / (s.outWidth * s.outHeight);
  const bytes = <usize>s.inChannels << 2, width = roundUp(s.inChannels, TILE) << 2;
  g += <usize>position * bytes;
  for (let ky = 0; ky < s.kernelHeight; ky++) {
    const y = row * s.strideHeight - s.padTop + ky * s.dilationHeight;
    for (let kx = 0; kx < s.kernelWidth; kx++, sums += width) {
      const sx = column * s.strideWidth - s.padLeft + kx * s.dilationWidth;
      if (y < 0 || y >= s.inHeight || sx < 0 || sx >= s.inWidth) continue;
      const from = x + ((<usize>image * s.inHeight + y) * s.inWidth + sx) * bytes;
      let at: usize = 0;
      for (; at + 16 <= bytes; at += 16)
        v128.store(
          sums + at,
          f32x4.add(v128.load(sums + at), f32x4.mul(v128.load(from + at), v128.load(g + at))),
        );
      for (; at < bytes; at += 4)
        store<f32>(sums + at, load<f32>(sums + at) + load<f32>(from + at) * load<f32>(g + at));
    }
  }
}

/** A thread's share of the runs; `addRuns` makes one of them when all are done. */
export function gradientRuns(s: Shape, x: usize, g: usize, scratch: usize, thread: i32, threads: i32): void {
  const positions = <i64>s.batch * s.outHeight * s.outWidth;
  const run = runOf(s), runs = runsOf(s);
  const floats = runSums(s), rows = s.outChannels / s.groups;
  const patchBytes = <usize>paddedDepth(s) << 2;
  const patches = scratch + ((<usize>runs * floats) << 2) + <usize>thread * ROUND * patchBytes;
  for (let r = (runs * thread) / threads; r < (runs * (thread + 1)) / threads; r++) {
    const sums = scratch + ((<usize>r * floats) << 2);
    memory.fill(sums, 0, floats << 2);
    const last = min(positions, (r + 1) * run);
    if (isSeparable(s)) {
      for (let position = r * run; position < last; position++) separable(s, x, g, <i32>position, sums);
      continue;
    }
    for (let group = 0; group < s.groups; group++)
      for (let position = r * run; position < last; ) {
        const from = g + ((<usize>position * s.outChannels + group * rows) << 2);
        let count = 0;
        for (; count < ROUND && position < last; position++)
          gather(s, x, <i32>position, group, patches + patchBytes * count++);
        productsOf(s, from, patches, count, sums + <usize>group * rows * patchBytes);
      }
  }
}

export function addRuns(s: Shape, scratch: usize, gradient: usize): void {
  const floats = runSums(s) << 2, runs = runsOf(s);
  const k = depthOf(s), padded = paddedDepth(s), width = <i32>roundUp(s.inChannels, TILE);
  const separated = isSeparable(s);
  for (let n = 0; n < s.outChannels; n++)
    for (let i = 0; i < k; i++, gradient += 4) {
      const at = scratch + (<usize>(separated ? i * width + n : n * padded + i) << 2);
      let sum: f32 = runs > 0 ? load<f32>(at) : 0;
      for (let r: i64 = 1; r < runs; r++) sum += load<f32>(at + <usize>r * floats);
      store<f32>(gradient, sum);
    }
}

/** Rows of a block of sumChannels, elements of a block of quantizeGradient. */
const SUM_ROWS: i32 = 1024;
const GRADIENT_BLOCK: i32 = 65536;

/** scratch [2][channels] float64. */
export function sumChannels(a: usize, b: usize, n: i32, channels: i32, sums: usize, scratch: usize): void {
  const bytes = <usize>channels << 4;
  memory.fill(sums, 0, bytes);
  const products = scratch + (<usize>channels << 3);
  const rows = n / channels;
  for (let first = 0; first < rows; first += SUM_ROWS) {
    memory.fill(scratch, 0, bytes);
    const last = min(rows, first + SUM_ROWS);
    for (let row = first; row < last; row++) {
      let c: usize = 0;
      for (; c + 2 <= <usize>channels; c += 2, a += 8, b += 8) {
        const x = f64x2.promote_low_f32x4(v128.load64_zero(a)), y = f64x2.promote_low_f32x4(v128.load64_zero(b));
        const at = c << 3;
        v128.store(scratch + at, f64x2.add(v128.load(scratch + at), x));
        v128.store(products + at, f64x2.add(v128.load(products + at), f64x2.mul(x, y)));
      }
      if (c < <usize>channels) {
        const x = <f64>load<f32>(a), y = <f64>load<f32>(b), at = c << 3;
        store<f64>(scratch + at, load<f64>(scratch + at) + x);
        store<f64>(products + at, load<f64>(products + at) + x * y);
        a += 4;
        b += 4;
      }
    }
    for (let at: usize = 0; at < bytes; at += 8) store<f64>(sums + at, load<f64>(sums + at) + load<f64>(scratch + at));
  }
}

export function affineChannels(
  x: usize,
  n: i32,
  scales: usize,
  shifts: usize,
  channels: i32,
  low: f32,
  high: f32,
  out: usize,
): void {
  const l = f32x4.splat(low), h = f32x4.splat(high), bytes = <usize>channels << 2;
  for (const end = x + (<usize>n << 2); x < end; x += bytes, out += bytes) {
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) {
      const scaled = f32x4.mul(v128.load(x + at), v128.load(scales + at));
      v128.store(out + at, limitFloats(f32x4.add(scaled, v128.load(shifts + at)), l, h));
    }
    for (; at < bytes; at += 4)
      store<f32>(out + at, min(max(load<f32>(x + at) * load<f32>(scales + at) + load<f32>(shifts + at), low), high));
  }
}

export function combineChannels(
  x: usize,
  y: usize,
  n: i32,
  a: usize,
  b: usize,
  shifts: usize,
  channels: i32,
  out: usize,
): void {
  const bytes = <usize>channels << 2;
  for (const end = x + (<usize>n << 2); x < end; x += bytes, y += bytes, out += bytes) {
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) {
      const left = f32x4.mul(v128.load(x + at), v128.load(a + at));
      const right = f32x4.mul(v128.load(y + at), v128.load(b + at));
      v128.store(out + at, f32x4.add(f32x4.add(left, right), v128.load(shifts + at)));
    }
    for (; at < bytes; at += 4)
      store<f32>(
        out + at,
        load<f32>(x + at) * load<f32>(a + at) + load<f32>(y + at) * load<f32>(b + at) + load<f32>(shifts + at),
      );
  }
}

export function clampGradient(y: usize, gradient: usize, n: i32, low: f32, high: f32, out: usize): void {
  const l = f32x4.splat(low), h = f32x4.splat(high);
  let i: usize = 0;
  const end = <usize>n << 2;
  for (; i + 16 <= end; i += 16) {
    const v = v128.load(y + i);
    v128.store(out + i, v128.and(v128.load(gradient + i), v128.and(f32x4.gt(v, l), f32x4.lt(v, h))));
  }
  for (; i < end; i += 4) {
    const v = load<f32>(y + i);
    store<f32>(out + i, v > low && v < high ? load<f32>(gradient + i) : 0);
  }
}

/** low and high without the zero point. */
export function quantizeGradient(
  x: usize,
  gradient: usize,
  n: i32,
  scale: f32,
  low: f32,
  high: f32,
  out: usize,
): f64 {
  let sum: f64 = 0;
  for (let first = 0; first < n; first += GRADIENT_BLOCK) {
    const last = min(n, first + GRADIENT_BLOCK);
    memory.fill(lanes, 0, 128);
    for (let i = first; i < last; i++, x += 4, gradient += 4, out += 4) {
      const r = load<f32>(x) / scale, g = load<f32>(gradient);
      const level = nearest<f32>(r);
      const inside = level >= low && level <= high;
      store<f32>(out, inside ? g : 0);
      const term = g * (inside ? level - r : level < low ? low : high);
      const at = lanes + (<usize>((i - first) & 15) << 3);
      store<f64>(at, load<f64>(at) + <f64>term);
    }
    sum += fold(lanes);
  }
  return sum;
}
