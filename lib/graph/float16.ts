/** IEEE binary16 and bfloat16, whose elements are held as their bits. */

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
/** 2^-24, the smallest binary16 above 0. */
const SMALLEST_HALF = 2 ** -24;

export function float16ToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * SMALLEST_HALF;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Rounds half to even. */
export function numberToFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude / SMALLEST_HALF);
  const exponent = Math.floor(Math.log2(magnitude));
  // log2 may land on the wrong side of a power of two.
  const exact =
    magnitude >= 2 ** (exponent + 1) ? exponent + 1 : magnitude < 2 ** exponent ? exponent - 1 : exponent;
  return sign | (((exact + 15) << 10) + roundHalfEven((magnitude / 2 ** exact - 1) * 1024));
}

export function bfloat16ToNumber(half: number): number {
  bits[0] = half << 16;
  return single[0];
}

/** Rounds half to even. */
export function numberToBfloat16(value: number): number {
  single[0] = value;
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >>> 16) & 0xffff;
}

export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
