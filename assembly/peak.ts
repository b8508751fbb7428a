import { own } from './own';

/** Chains of dependent steps: latency times throughput of a product and its addition, within 16 registers. */
const CHAINS: i32 = 10;
/** Multiply-adds of a step: eight pairs, or four floats. */
const DOT_PRODUCTS: i32 = 8;
const FLOAT_PRODUCTS: i32 = 4;

/** Each step takes its own result and each chain starts elsewhere, so that nothing leaves the loop or is shared. */
@inline
function dotStep(x: v128, w: v128): v128 {
  return i32x4.add(x, i32x4.dot_i16x8_s(x, w));
}

@inline
function floatStep(x: v128, half: v128): v128 {
  return f32x4.add(f32x4.mul(x, half), half);
}

function dotChains(rounds: i32): void {
  const w = i16x8.splat(3);
  let c0 = i16x8.splat(1), c1 = i16x8.splat(2), c2 = i16x8.splat(3), c3 = i16x8.splat(4), c4 = i16x8.splat(5);
  let c5 = i16x8.splat(6), c6 = i16x8.splat(7), c7 = i16x8.splat(8), c8 = i16x8.splat(9), c9 = i16x8.splat(10);
  for (let r = 0; r < rounds; r++) {
    c0 = dotStep(c0, w);
    c1 = dotStep(c1, w);
    c2 = dotStep(c2, w);
    c3 = dotStep(c3, w);
    c4 = dotStep(c4, w);
    c5 = dotStep(c5, w);
    c6 = dotStep(c6, w);
    c7 = dotStep(c7, w);
    c8 = dotStep(c8, w);
    c9 = dotStep(c9, w);
  }
  keep(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9);
}

function floatChains(rounds: i32): void {
  const half = f32x4.splat(0.5);
  let c0 = f32x4.splat(1), c1 = f32x4.splat(2), c2 = f32x4.splat(3), c3 = f32x4.splat(4), c4 = f32x4.splat(5);
  let c5 = f32x4.splat(6), c6 = f32x4.splat(7), c7 = f32x4.splat(8), c8 = f32x4.splat(9), c9 = f32x4.splat(10);
  for (let r = 0; r < rounds; r++) {
    c0 = floatStep(c0, half);
    c1 = floatStep(c1, half);
    c2 = floatStep(c2, half);
    c3 = floatStep(c3, half);
    c4 = floatStep(c4, half);
    c5 = floatStep(c5, half);
    c6 = floatStep(c6, half);
    c7 = floatStep(c7, half);
    c8 = floatStep(c8, half);
    c9 = floatStep(c9, half);
  }
  keep(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9);
}

/** What is written cannot be left out. */
@inline
function keep(
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128, c8: v128, c9: v128,
): void {
  const low = v128.xor(v128.xor(c0, c1), v128.xor(v128.xor(c2, c3), c4));
  const high = v128.xor(v128.xor(c5, c6), v128.xor(v128.xor(c7, c8), c9));
  v128.store(own, v128.xor(low, high));
}

/** Multiply-adds of a round. */
export function peakProducts(bits: i32): i32 {
  return CHAINS * (bits <= 8 ? DOT_PRODUCTS : FLOAT_PRODUCTS);
}

/** Every thread does all the rounds. */
export function peak(bits: i32, rounds: i32, thread: i32, threads: i32): void {
  if (bits <= 8) dotChains(rounds);
  else floatChains(rounds);
}

/** This thread's share of n words: whole cache lines, the last one shorter. */
@inline
function shareOf(n: i32, threads: i32): i32 {
  return (((n + threads - 1) / threads) + 15) & ~15;
}

/** Writes the wrapping sum of the thread's share of n words to its place in `sums`. */
export function readWords(x: usize, n: i32, sums: usize, thread: i32, threads: i32): void {
  const share = shareOf(n, threads);
  const first = min(n, thread * share), last = min(n, first + share);
  let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = x + (<usize>last << 2);
  let at = x + (<usize>first << 2);
  const whole = at + ((<usize>(last - first) >> 4) << 6);
  for (; at < whole; at += 64) {
    s0 = i32x4.add(s0, v128.load(at));
    s1 = i32x4.add(s1, v128.load(at, 16));
    s2 = i32x4.add(s2, v128.load(at, 32));
    s3 = i32x4.add(s3, v128.load(at, 48));
  }
  const s = i32x4.add(i32x4.add(s0, s1), i32x4.add(s2, s3));
  let sum =
    i32x4.extract_lane(s, 0) + i32x4.extract_lane(s, 1) + i32x4.extract_lane(s, 2) + i32x4.extract_lane(s, 3);
  for (; at < end; at += 4) sum += load<i32>(at);
  store<i32>(sums + (<usize>thread << 2), sum);
}

export function copyWords(from: usize, to: usize, n: i32, thread: i32, threads: i32): void {
  const share = shareOf(n, threads);
  const first = min(n, thread * share), last = min(n, first + share);
  memory.copy(to + (<usize>first << 2), from + (<usize>first << 2), <usize>(last - first) << 2);
}
