import { limit, limitFloats, roundSmallScalar, roundToBytes } from './rounding';

export function add(a: usize, b: usize, n: i32, low: f32, high: f32, out: usize): void {
  const l = f32x4.splat(low);
  const h = f32x4.splat(high);
  let i: usize = 0;
  const end = <usize>n << 2;
  for (; i + 16 <= end; i += 16)
    v128.store(out + i, limitFloats(f32x4.add(v128.load(a + i), v128.load(b + i)), l, h));
  for (; i < end; i += 4) store<f32>(out + i, min(max(load<f32>(a + i) + load<f32>(b + i), low), high));
}

/** NaN becomes the lower limit. */
export function clamp(x: usize, n: i32, low: f32, high: f32, out: usize): void {
  const l = f32x4.splat(low);
  const h = f32x4.splat(high);
  let i: usize = 0;
  const end = <usize>n << 2;
  for (; i + 16 <= end; i += 16) {
    const v = v128.load(x + i);
    v128.store(out + i, f32x4.pmin(v128.bitselect(v, l, f32x4.gt(v, l)), h));
  }
  for (; i < end; i += 4) {
    const v = load<f32>(x + i);
    store<f32>(out + i, min(v > low ? v : low, high));
  }
}

@inline
function floats(words: v128): v128 {
  return f32x4.convert_i32x4_s(words);
}

/** fl(q * ratio + addend) of four integers, summed in float64 where the products are exact. */
// @ts-ignore: decorator
@inline
function multiplyAdd(q: v128, ratio: v128, addend: v128): v128 {
  const upper = v128.shuffle<i32>(addend, addend, 2, 3, 2, 3);
  const low = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(q), ratio), f64x2.promote_low_f32x4(addend));
  const high = f64x2.add(
    f64x2.mul(f64x2.convert_low_i32x4_s(v128.shuffle<i32>(q, q, 2, 3, 2, 3)), ratio),
    f64x2.promote_low_f32x4(upper),
  );
  return v128.shuffle<i32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}

export function quantizedAdd(
  a: usize,
  scaleA: f32,
  zeroA: i32,
  b: usize,
  scaleB: f32,
  zeroB: i32,
  n: i32,
  scaleOut: f32,
  outZeroPoint: i32,
  low: i32,
  high: i32,
  out: usize,
): void {
  const ra = scaleA / scaleOut;
  const rb = scaleB / scaleOut;
  const fixed = <f32>outZeroPoint - <f32>(<f64>zeroA * <f64>ra + <f64>(rb * <f32>zeroB));
  const va = f64x2.splat(ra);
  const vb = f64x2.splat(rb);
  const f = f32x4.splat(fixed);
  const l = f32x4.splat(<f32>low);
  const h = f32x4.splat(<f32>high);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const x = v128.load_ext<u8>(a + i);
    const y = v128.load_ext<u8>(b + i);
    const y0 = multiplyAdd(i32x4.extend_low_i16x8_u(y), vb, f);
    const y1 = multiplyAdd(i32x4.extend_high_i16x8_u(y), vb, f);
    const s0 = limit(multiplyAdd(i32x4.extend_low_i16x8_u(x), va, y0), l, h);
    const s1 = limit(multiplyAdd(i32x4.extend_high_i16x8_u(x), va, y1), l, h);
    v128.store_lane<u64>(out + i, roundToBytes(s0, s1, s0, s1, i8x16.splat(0)), 0);
  }
  for (; i < n; i++) {
    const y = <f32>(<f64>load<u8>(b + i) * <f64>rb + <f64>fixed);
    const sum = <f32>(<f64>load<u8>(a + i) * <f64>ra + <f64>y);
    store<u8>(out + i, <u8><i32>roundSmallScalar(min(max(sum, <f32>low), <f32>high)));
  }
}

export function lookup(a: usize, n: i32, table: usize, out: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const word = load<u32>(a + i);
    store<u32>(
      out + i,
      <u32>load<u8>(table + (word & 255)) |
        (<u32>load<u8>(table + ((word >> 8) & 255)) << 8) |
        (<u32>load<u8>(table + ((word >> 16) & 255)) << 16) |
        (<u32>load<u8>(table + (word >> 24)) << 24),
    );
  }
  for (; i < n; i++) store<u8>(out + i, load<u8>(table + load<u8>(a + i)));
}
