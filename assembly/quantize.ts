import { own } from './own';
import { limit, MAGIC, roundSmallScalar, roundToBytes, withoutNaN } from './rounding';

@inline
function level(x: usize, scale: v128, low: v128, high: v128): v128 {
  return limit(withoutNaN(f32x4.div(v128.load(x), scale)), low, high);
}

/** Scales outside have no reciprocal that is as exact as theirs. */
const LEAST_SCALE: f32 = 1e-18;
const MOST_SCALE: f32 = 1e18;

/** Bits of 1.5 * 2^23: what a float in its range has more is the whole number that was added. */
const MAGIC_BITS: i32 = 0x4b400000;

/** Where `multiply` has its constants: V8 would make those of the code anew wherever they are used. */
const RECIPROCAL: usize = 0, MAGIC_AT: usize = 16, LEAST_AT: usize = 32, FRACTION: usize = 48;
const FAR: usize = 64, RANGE: usize = 80, LOW: usize = 96;

function setConstants(scale: f32, zeroPoint: i32, low: i32, high: i32): void {
  v128.store(own + RECIPROCAL, f32x4.splat((1 / scale) * 4096));
  v128.store(own + MAGIC_AT, f32x4.splat(MAGIC));
  v128.store(own + LEAST_AT, i32x4.splat(MAGIC_BITS + ((low - zeroPoint) << 12) - 2048));
  v128.store(own + FRACTION, i32x4.splat(4095));
  v128.store(own + FAR, i16x8.splat(<i16>0xf800));
  v128.store(own + RANGE, i8x16.splat(<i8>(high - low)));
  v128.store(own + LOW, i8x16.splat(<i8>low));
}

/**
 * Levels of x by products in place of divisions, sixteen at a time, as whole numbers of 1/4096 counted from half a level
 * below the lowest. For levels up to 384 in size they are off by less than one from the quotient's, so only those whose
 * fraction is 0 could be another level. Stops there, and at what is NaN or so far off that it could be; returns how
 * many it did. After setConstants.
 */
function multiply(x: usize, n: i32, q: usize): i32 {
  const reciprocal = v128.load(own + RECIPROCAL), magic = v128.load(own + MAGIC_AT), least = v128.load(own + LEAST_AT);
  const fraction = v128.load(own + FRACTION), far = v128.load(own + FAR);
  const range = v128.load(own + RANGE), low = v128.load(own + LOW);
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    const p = x + (<usize>i << 2);
    const a = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p), reciprocal), magic), least);
    const b = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 16), reciprocal), magic), least);
    const c = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 32), reciprocal), magic), least);
    const d = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 48), reciprocal), magic), least);
    const first = i16x8.narrow_i32x4_s(i32x4.shr_s(a, 12), i32x4.shr_s(b, 12));
    const second = i16x8.narrow_i32x4_s(i32x4.shr_s(c, 12), i32x4.shr_s(d, 12));
    const ab = i32x4.min_s(v128.and(a, fraction), v128.and(b, fraction));
    const cd = i32x4.min_s(v128.and(c, fraction), v128.and(d, fraction));
    const halves = i32x4.eq(i32x4.min_s(ab, cd), i32x4.splat(0));
    const sizes = v128.and(v128.or(i16x8.abs(first), i16x8.abs(second)), far);
    if (v128.any_true(v128.or(halves, sizes))) break;
    v128.store(q + i, i8x16.add(i8x16.min_u(i8x16.narrow_i16x8_u(first, second), range), low));
  }
  return i;
}

export function quantize(x: usize, n: i32, scale: f32, zeroPoint: i32, low: i32, high: i32, q: usize): void {
  // The limits are moved by the zero point, so that the clamp is done in float before the conversion.
  const least = <f32>(low - zeroPoint);
  const most = <f32>(high - zeroPoint);
  const s = f32x4.splat(scale);
  const l = f32x4.splat(least);
  const h = f32x4.splat(most);
  const z = i8x16.splat(<i8>zeroPoint);
  const multiplies = scale >= LEAST_SCALE && scale <= MOST_SCALE;
  if (multiplies) setConstants(scale, zeroPoint, low, high);
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    if (multiplies) {
      i += multiply(x + (<usize>i << 2), n - i, q + i);
      if (i + 16 > n) break;
    }
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

/**
 * Eight elements fill exactly `bits` bytes. Their 64-bit word is folded in three steps, from eight fields in bytes to
 * four of twice the bits in 16-bit slots, to two in 32-bit slots, to one; spreading is the way back.
 */
const BYTES: u64 = 0x0101010101010101;
const WORDS: u64 = 0x0001000100010001;
const DOUBLES: u64 = 0x0000000100000001;

@inline
function ones(bits: i32): u64 {
  return (<u64>1 << bits) - 1;
}

@inline
function fold(x: u64, bits: i32): u64 {
  x &= ones(bits) * BYTES;
  x = (x & (0xff * WORDS)) | (((x >> 8) & (0xff * WORDS)) << bits);
  x = (x & (0xffff * DOUBLES)) | (((x >> 16) & (0xffff * DOUBLES)) << (2 * bits));
  return (x & 0xffffffff) | ((x >> 32) << (4 * bits));
}

@inline
function spread(x: u64, bits: i32, signed: bool): u64 {
  x = (x & ones(4 * bits)) | (((x >> (4 * bits)) & ones(4 * bits)) << 32);
  x = (x & (ones(2 * bits) * DOUBLES)) | (((x >> (2 * bits)) & (ones(2 * bits) * DOUBLES)) << 16);
  x = (x & (ones(bits) * WORDS)) | (((x >> bits) & (ones(bits) * WORDS)) << 8);
  if (!signed) return x;
  // Minus 2^(bits-1) in every byte; the bits on top of it keep borrows from the neighbours.
  const half = (<u64>1 << (bits - 1)) * BYTES;
  return (((x ^ half) | (0x80 * BYTES)) - half) ^ (0x80 * BYTES);
}

export function pack(q: usize, n: i32, bits: i32, packed: usize): void {
  if (bits == 8) {
    memory.copy(packed, q, n);
    return;
  }
  const end = packed + <usize>((<u64>n * bits + 7) >> 3);
  for (let i = 0; i < n; i += 8) {
    let bytes: u64 = 0;
    if (i + 8 <= n) bytes = load<u64>(q + i);
    else for (let j = 0; i + j < n; j++) bytes |= <u64>load<u8>(q + i + j) << (j << 3);
    let word = fold(bytes, bits);
    if (packed + 8 <= end) store<u64>(packed, word);
    else
      for (let at = packed; at < min(end, packed + bits); at++) {
        store<u8>(at, <u8>word);
        word >>= 8;
      }
    packed += bits;
  }
}

export function unpack(packed: usize, bits: i32, n: i32, signed: bool, q: usize): void {
  if (bits == 8) {
    memory.copy(q, packed, n);
    return;
  }
  const end = packed + <usize>((<u64>n * bits + 7) >> 3);
  for (let i = 0; i < n; i += 8) {
    let word: u64 = 0;
    if (packed + 8 <= end) word = load<u64>(packed);
    else for (let j: usize = 0; packed + j < end; j++) word |= <u64>load<u8>(packed + j) << (<u64>j << 3);
    let bytes = spread(word, bits, signed);
    if (i + 8 <= n) store<u64>(q + i, bytes);
    else
      for (let at = q + i; at < q + n; at++) {
        store<u8>(at, <u8>bytes);
        bytes >>= 8;
      }
    packed += bits;
  }
}
