import { log } from './logarithm';
import { own as lanes } from './own';
import { limit, roundSmallFloat, roundSmallScalar, withoutNaN } from './rounding';

/** Sums in float64: element i belongs to lane i mod 16, the lanes are folded by halves. */
const LANES: i32 = 16;
const LANE_BYTES: usize = 128;
/** Elements per pass of moments: they stay in the first-level cache while every quarter of the lanes reads them. */
const PASS: i32 = 4096;

export function fold(at: usize): f64 {
  for (let half: usize = 64; half >= 8; half >>= 1)
    for (let j: usize = 0; j < half; j += 8) store<f64>(at + j, load<f64>(at + j) + load<f64>(at + j + half));
  return load<f64>(at);
}

@inline
function put(lane: i32, term: f64): void {
  const at = lanes + (<usize>(lane & (LANES - 1)) << 3);
  store<f64>(at, load<f64>(at) + term);
}

@inline
function lowDoubles(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

@inline
function highDoubles(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
}

@inline
function sumInto(at: usize, low: v128, high: v128): void {
  v128.store(at, low);
  v128.store(at, high, 16);
}

/** Lanes 4*quarter .. 4*quarter + 3 of the four powers, for whole rows of 16 elements. */
function powers(x: usize, rows: i32, quarter: i32): void {
  const at = lanes + (<usize>quarter << 5);
  let a0 = v128.load(at), a1 = v128.load(at, 16);
  let b0 = v128.load(at, 128), b1 = v128.load(at, 144);
  let c0 = v128.load(at, 256), c1 = v128.load(at, 272);
  let d0 = v128.load(at, 384), d1 = v128.load(at, 400);
  let from = x + (<usize>quarter << 4);
  for (let row = 0; row < rows; row++) {
    const v = v128.load(from);
    const l = lowDoubles(v), h = highDoubles(v);
    const l2 = f64x2.mul(l, l), h2 = f64x2.mul(h, h);
    a0 = f64x2.add(a0, l);
    a1 = f64x2.add(a1, h);
    b0 = f64x2.add(b0, l2);
    b1 = f64x2.add(b1, h2);
    c0 = f64x2.add(c0, f64x2.mul(l2, l));
    c1 = f64x2.add(c1, f64x2.mul(h2, h));
    d0 = f64x2.add(d0, f64x2.mul(l2, l2));
    d1 = f64x2.add(d1, f64x2.mul(h2, h2));
    from += 64;
  }
  sumInto(at, a0, a1);
  sumInto(at + 128, b0, b1);
  sumInto(at + 256, c0, c1);
  sumInto(at + 384, d0, d1);
}

@inline
function least(x: v128): f32 {
  const a = min(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1));
  return min(a, min(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

@inline
function most(x: v128): f32 {
  const a = max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1));
  return max(a, max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

/**
 * f32x4.min and f32x4.max, which order -0 and +0, are long sequences on x86; pmin and pmax are one instruction. They
 * leave open which zero: a least 0 is -0 where any sign bit is set, a greatest 0 is -0 where all are.
 */
function extremes(x: usize, n: i32, into: usize): void {
  let low = f32x4.splat(Infinity), high = f32x4.splat(-Infinity);
  let low2 = low, high2 = high;
  let some = i32x4.splat(0), all = i32x4.splat(-1);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = x + (<usize>i << 2);
    const a = v128.load(at), b = v128.load(at, 16);
    low = f32x4.pmin(low, a);
    high = f32x4.pmax(high, a);
    low2 = f32x4.pmin(low2, b);
    high2 = f32x4.pmax(high2, b);
    some = v128.or(some, v128.or(a, b));
    all = v128.and(all, v128.and(a, b));
  }
  for (; i < n; i++) {
    const v = v128.load_splat<f32>(x + (<usize>i << 2));
    low = f32x4.pmin(low, v);
    high = f32x4.pmax(high, v);
    some = v128.or(some, v);
    all = v128.and(all, v);
  }
  const l = least(f32x4.pmin(low, low2)), h = most(f32x4.pmax(high, high2));
  const anyNegative = i32x4.bitmask(some) != 0, allNegative = i32x4.bitmask(all) == 15;
  store<f64>(into, l != 0 ? <f64>l : anyNegative ? -0.0 : 0.0);
  store<f64>(into, h != 0 ? <f64>h : allNegative ? -0.0 : 0.0, 8);
}

export function moments(x: usize, n: i32, into: usize): void {
  extremes(x, n, into);
  memory.fill(lanes, 0, 4 * LANE_BYTES);
  let i = 0;
  for (; i + LANES <= n; i += PASS) {
    const rows = min(PASS, n - i) / LANES;
    for (let quarter = 0; quarter < 4; quarter++) powers(x + (<usize>i << 2), rows, quarter);
  }
  for (i = n & ~(LANES - 1); i < n; i++) {
    const d = <f64>load<f32>(x + (<usize>i << 2));
    const d2 = d * d;
    put(i, d);
    const at = lanes + (<usize>(i & (LANES - 1)) << 3);
    store<f64>(at, load<f64>(at, 128) + d2, 128);
    store<f64>(at, load<f64>(at, 256) + d2 * d, 256);
    store<f64>(at, load<f64>(at, 384) + d2 * d2, 384);
  }
  for (let power: usize = 0; power < 4; power++) store<f64>(into + 16 + (power << 3), fold(lanes + power * LANE_BYTES));
}

/** Whole numbers below this are exact after 2^23 is added, and stand in the low bits. */
const EXACT: i32 = 1 << 22;
const TWO_23: f32 = 8388608.0;

/** Sub-tables, so that equal values in a row do not wait for one another's counter. */
const TABLES: i32 = 4;

export function histogramScratch(bins: i32): usize {
  return <usize>bins * TABLES * 4;
}

@inline
function count(table: usize, bin: i32): void {
  const at = table + (<usize>bin << 2);
  store<u32>(at, load<u32>(at) + 1);
}

export function histogram(x: usize, n: i32, low: f32, high: f32, bins: i32, counts: usize, scratch: usize): void {
  const inverse = <f32>bins / (high - low);
  const last = <f32>(bins - 1);
  const from = f32x4.splat(low);
  const factor = f32x4.splat(inverse);
  const zero = f32x4.splat(0);
  const most = f32x4.splat(last);
  const table = <usize>bins << 2;
  memory.fill(scratch, 0, histogramScratch(bins));
  let i = 0;
  // f32x4 to i32x4 directly is a long sequence on x86.
  if (bins <= EXACT) for (; i + 4 <= n; i += 4) {
    const position = f32x4.mul(f32x4.sub(v128.load(x + (<usize>i << 2)), from), factor);
    const whole = f32x4.add(f32x4.floor(limit(position, zero, most)), f32x4.splat(TWO_23));
    const bin = v128.and(whole, i32x4.splat(EXACT - 1));
    count(scratch, i32x4.extract_lane(bin, 0));
    count(scratch + table, i32x4.extract_lane(bin, 1));
    count(scratch + 2 * table, i32x4.extract_lane(bin, 2));
    count(scratch + 3 * table, i32x4.extract_lane(bin, 3));
  }
  for (; i < n; i++)
    count(scratch, <i32>min(max((load<f32>(x + (<usize>i << 2)) - low) * inverse, 0), last));
  for (let bin = 0; bin < bins; bin++) {
    const at = scratch + (<usize>bin << 2);
    const to = counts + (<usize>bin << 3);
    const sum = load<u32>(at) + load<u32>(at + table) + load<u32>(at + 2 * table) + load<u32>(at + 3 * table);
    store<f64>(to, load<f64>(to) + <f64>sum);
  }
}

function smoothedTotal(p: usize, n: i32, smoothing: f64): f64 {
  memory.fill(lanes, 0, LANE_BYTES);
  for (let i = 0; i < n; i++) put(i, load<f64>(p + (<usize>i << 3)) + smoothing);
  return fold(lanes);
}

export function divergence(p: usize, q: usize, n: i32, smoothing: f64): f64 {
  const totalP = smoothedTotal(p, n, smoothing);
  const totalQ = smoothedTotal(q, n, smoothing);
  memory.fill(lanes, 0, LANE_BYTES);
  for (let i = 0; i < n; i++) {
    const share = (load<f64>(p + (<usize>i << 3)) + smoothing) / totalP;
    if (share == 0) continue;
    put(i, share * (log(share) - log((load<f64>(q + (<usize>i << 3)) + smoothing) / totalQ)));
  }
  return fold(lanes);
}

@inline
function square(x: v128): v128 {
  return f64x2.mul(x, x);
}

export function squaredError(a: usize, b: usize, n: i32): f64 {
  memory.fill(lanes, 0, LANE_BYTES);
  const rows = n / LANES;
  for (let quarter: usize = 0; quarter < 4; quarter++) {
    let low = f64x2.splat(0), high = low;
    let at = quarter << 4;
    for (let row = 0; row < rows; row++) {
      const x = v128.load(a + at), y = v128.load(b + at);
      low = f64x2.add(low, square(f64x2.sub(lowDoubles(x), lowDoubles(y))));
      high = f64x2.add(high, square(f64x2.sub(highDoubles(x), highDoubles(y))));
      at += 64;
    }
    sumInto(lanes + (quarter << 5), low, high);
  }
  for (let i = rows * LANES; i < n; i++) {
    const at = <usize>i << 2;
    const d = <f64>load<f32>(a + at) - <f64>load<f32>(b + at);
    put(i, d * d);
  }
  return fold(lanes);
}

export function quantizeError(
  x: usize,
  importance: usize,
  n: i32,
  scale: f32,
  zeroPoint: i32,
  low: i32,
  high: i32,
): f64 {
  memory.fill(lanes, 0, LANE_BYTES);
  const least = <f32>(low - zeroPoint);
  const most = <f32>(high - zeroPoint);
  const s = f32x4.splat(scale);
  const rows = n / LANES;
  for (let quarter: usize = 0; quarter < 4; quarter++) {
    let sumLow = f64x2.splat(0), sumHigh = sumLow;
    let at = quarter << 4;
    for (let row = 0; row < rows; row++) {
      const v = v128.load(x + at);
      const level = roundSmallFloat(limit(withoutNaN(f32x4.div(v, s)), f32x4.splat(least), f32x4.splat(most)));
      const back = f32x4.mul(level, s);
      let l = square(f64x2.sub(lowDoubles(v), lowDoubles(back)));
      let h = square(f64x2.sub(highDoubles(v), highDoubles(back)));
      if (importance) {
        const weight = v128.load(importance + at);
        l = f64x2.mul(l, lowDoubles(weight));
        h = f64x2.mul(h, highDoubles(weight));
      }
      sumLow = f64x2.add(sumLow, l);
      sumHigh = f64x2.add(sumHigh, h);
      at += 64;
    }
    sumInto(lanes + (quarter << 5), sumLow, sumHigh);
  }
  for (let i = rows * LANES; i < n; i++) {
    const at = <usize>i << 2;
    const v = load<f32>(x + at);
    const back = roundSmallScalar(min(max(v / scale, least), most)) * scale;
    const d = <f64>v - <f64>back;
    put(i, importance ? d * d * <f64>load<f32>(importance + at) : d * d);
  }
  return fold(lanes);
}
