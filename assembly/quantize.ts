import { limit, roundSmallScalar, roundToBytes, withoutNaN } from './rounding';

@inline
function level(x: usize, scale: v128, low: v128, high: v128): v128 {
  return limit(withoutNaN(f32x4.div(v128.load(x), scale)), low, high);
}

/** The limits are moved by the zero point, so that the clamp is done in float before the conversion. */
export function quantize(x: usize, n: i32, scale: f32, zeroPoint: i32, low: i32, high: i32, q: usize): void {
  const least = <f32>(low - zeroPoint);
  const most = <f32>(high - zeroPoint);
  const s = f32x4.splat(scale);
  const l = f32x4.splat(least);
  const h = f32x4.splat(most);
  const z = i8x16.splat(<i8>zeroPoint);
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    const p = x + (<usize>i << 2);
    v128.store(
      q + i,
      roundToBytes(level(p, s, l, h), level(p + 16, s, l, h), level(p + 32, s, l, h), level(p + 48, s, l, h), z),
    );
  }
  for (; i < n; i++) {
    let v = load<f32>(x + (<usize>i << 2)) / scale;
    if (v != v) v = 0;
    store<u8>(q + i, <u8>(<i32>roundSmallScalar(min(max(v, least), most)) + zeroPoint));
  }
}

export function quantizeChannels(
  x: usize,
  n: i32,
  scales: usize,
  zeroPoints: usize,
  channels: i32,
  inner: i32,
  low: i32,
  high: i32,
  q: usize,
): void {
  let c = 0;
  for (let i = 0; i < n; i += inner) {
    const at = <usize>c << 2;
    quantize(x + (<usize>i << 2), inner, load<f32>(scales + at), load<i32>(zeroPoints + at), low, high, q + i);
    if (++c == channels) c = 0;
  }
}

@inline
function scaled(q: v128, zero: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(q, zero)), scale);
}

export function dequantize(q: usize, n: i32, signed: bool, scale: f32, zeroPoint: i32, x: usize): void {
  const s = f32x4.splat(scale);
  const z = i32x4.splat(zeroPoint);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const p = x + (<usize>i << 2);
    const wide = signed ? v128.load_ext<i8>(q + i) : v128.load_ext<u8>(q + i);
    v128.store(p, scaled(i32x4.extend_low_i16x8_s(wide), z, s));
    v128.store(p, scaled(i32x4.extend_high_i16x8_s(wide), z, s), 16);
  }
  for (; i < n; i++) {
    const level = signed ? <i32>load<i8>(q + i) : <i32>load<u8>(q + i);
    store<f32>(x + (<usize>i << 2), <f32>(level - zeroPoint) * scale);
  }
}

export function dequantizeChannels(
  q: usize,
  n: i32,
  signed: bool,
  scales: usize,
  zeroPoints: usize,
  channels: i32,
  inner: i32,
  x: usize,
): void {
  let c = 0;
  for (let i = 0; i < n; i += inner) {
    const at = <usize>c << 2;
    dequantize(q + i, inner, signed, load<f32>(scales + at), load<i32>(zeroPoints + at), x + (<usize>i << 2));
    if (++c == channels) c = 0;
  }
}

/** Eight elements fill exactly `bits` bytes. */
export function pack(q: usize, n: i32, bits: i32, packed: usize): void {
  const mask: u64 = (1 << bits) - 1;
  for (let i = 0; i < n; i += 8) {
    const count = min(8, n - i);
    let word: u64 = 0;
    for (let j = 0; j < count; j++) word |= (<u64>load<u8>(q + i + j) & mask) << (j * bits);
    for (let left = count * bits; left > 0; left -= 8) {
      store<u8>(packed++, <u8>word);
      word >>= 8;
    }
  }
}

export function unpack(packed: usize, bits: i32, n: i32, signed: bool, q: usize): void {
  const mask: u64 = (1 << bits) - 1;
  const spare = 32 - bits;
  for (let i = 0; i < n; i += 8) {
    const count = min(8, n - i);
    const used = (count * bits + 7) >> 3;
    let word: u64 = 0;
    for (let j = 0; j < used; j++) word |= <u64>load<u8>(packed + j) << (j << 3);
    packed += used;
    for (let j = 0; j < count; j++) {
      const value = <i32>(word & mask);
      store<u8>(q + i + j, <u8>(signed ? (value << spare) >> spare : value));
      word >>= bits;
    }
  }
}
