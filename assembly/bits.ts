/**
 * Weights of 2 to 7 bits. A block of 128 bytes (w + 2^(bits-1), so unsigned) is stored in `bits` vectors of eight
 * 16-bit lanes; lane l holds elements l, 8 + l, 16 + l, ... Every word of a lane has floor(16 / bits) whole elements,
 * the first lowest; what is left over at the top of the words is one stream with the remaining elements. So
 * decoding eight elements to int16 is a shift and a mask, and vectors need no rearranging. 8 bits stay as they are.
 */
export const BLOCK: usize = 128;

/** Bytes that `length` (a multiple of BLOCK) decoded bytes take. */
@inline
export function encodedLength(length: usize, bits: i32): usize {
  return (length >> 3) * bits;
}

/** Where a bit of element `index` of a lane is: word * 16 + position. */
function bitAddress(bits: i32, index: i32, bit: i32): i32 {
  const whole = 16 / bits;
  if (index < whole * bits) return (index / whole) * 16 + (index % whole) * bits + bit;
  const spare = 16 % bits;
  const stream = (index - whole * bits) * bits + bit;
  return (stream / spare) * 16 + 16 - spare + (stream % spare);
}

/** Elements of the eight lanes at once. */
function encodeBlock(from: usize, bits: i32, to: usize): void {
  memory.fill(to, 0, <usize>bits << 4);
  const half: i32 = 1 << (bits - 1);
  const least = i16x8.splat(<i16>half);
  const one = i16x8.splat(1);
  for (let index = 0; index < <i32>(BLOCK >> 3); index++) {
    const values = i16x8.add(v128.load_ext<i8>(from + (<usize>index << 3)), least);
    for (let bit = 0; bit < bits; bit++) {
      const address = bitAddress(bits, index, bit);
      const at = to + <usize>((address >> 4) << 4);
      const moved = i16x8.shl(v128.and(i16x8.shr_u(values, bit), one), address & 15);
      v128.store(at, v128.or(v128.load(at), moved));
    }
  }
}

export function encode(from: usize, length: usize, bits: i32, to: usize): void {
  if (bits == 8) {
    memory.copy(to, from, length);
    return;
  }
  for (let i: usize = 0; i < length; i += BLOCK) {
    encodeBlock(from + i, bits, to);
    to += <usize>bits << 4;
  }
}

/** Bits from..from + width of the lanes' word, moved to position `to` (at most `from`). */
@inline
function field(block: usize, word: i32, from: i32, width: i32, to: i32): v128 {
  let lanes = v128.load(block + (<usize>word << 4));
  if (from > to) lanes = i16x8.shr_u(lanes, from - to);
  const mask: i32 = ((1 << width) - 1) << to;
  if (from + width < 16 || to > 0) lanes = v128.and(lanes, i16x8.splat(<i16>mask));
  return lanes;
}

/** The k-th part of an element that lies in the left-over bits, `start` bits into their stream. */
@inline
function part(block: usize, bits: i32, start: i32, k: i32): v128 {
  const spare = 16 % bits;
  const skipped = start % spare;
  const to = k ? k * spare - skipped : 0;
  const from = 16 - spare + (k ? 0 : skipped);
  return field(block, start / spare + k, from, min(bits - to, 16 - from), to);
}

@inline
function hasPart(bits: i32, start: i32, k: i32): bool {
  return k * (16 % bits) - (start % (16 % bits)) < bits;
}

@inline
function leftOver(block: usize, bits: i32, start: i32): v128 {
  let lanes = part(block, bits, start, 0);
  if (hasPart(bits, start, 1)) lanes = v128.or(lanes, part(block, bits, start, 1));
  if (hasPart(bits, start, 2)) lanes = v128.or(lanes, part(block, bits, start, 2));
  if (hasPart(bits, start, 3)) lanes = v128.or(lanes, part(block, bits, start, 3));
  if (hasPart(bits, start, 4)) lanes = v128.or(lanes, part(block, bits, start, 4));
  return lanes;
}

/**
 * Elements 8 * index .. 8 * index + 7 of a block as int16: w for 8 bits, else w + 2^(bits-1). Inlined with constants,
 * so that only loads, shifts and masks remain.
 */
@inline
export function eight(block: usize, bits: i32, index: i32): v128 {
  if (bits == 8) return v128.load_ext<i8>(block + (<usize>index << 3));
  const whole = 16 / bits;
  if (index < whole * bits) return field(block, index / whole, (index % whole) * bits, bits, 0);
  return leftOver(block, bits, (index - whole * bits) * bits);
}

@inline
function decodeSixteen(block: usize, bits: i32, index: i32, words: bool, to: usize): void {
  const first = eight(block, bits, 2 * index), second = eight(block, bits, 2 * index + 1);
  const half: i32 = bits == 8 ? 0 : 1 << (bits - 1);
  if (words) {
    const at = to + (<usize>index << 5);
    v128.store(at, i16x8.sub(first, i16x8.splat(<i16>half)));
    v128.store(at, i16x8.sub(second, i16x8.splat(<i16>half)), 16);
    return;
  }
  v128.store(to + (<usize>index << 4), i8x16.sub(i8x16.narrow_i16x8_u(first, second), i8x16.splat(<i8>half)));
}

@inline
function decodeBlocks(from: usize, length: usize, bits: i32, words: bool, to: usize): void {
  const step = words ? 2 * BLOCK : BLOCK;
  for (let left = length; left > 0; left -= BLOCK) {
    decodeSixteen(from, bits, 0, words, to);
    decodeSixteen(from, bits, 1, words, to);
    decodeSixteen(from, bits, 2, words, to);
    decodeSixteen(from, bits, 3, words, to);
    decodeSixteen(from, bits, 4, words, to);
    decodeSixteen(from, bits, 5, words, to);
    decodeSixteen(from, bits, 6, words, to);
    decodeSixteen(from, bits, 7, words, to);
    from += <usize>bits << 4;
    to += step;
  }
}

/** One function per width: where the calls stand in one function, the optimizer folds them before it knows the width. */
function decode2(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 2, false, to);
}
function decodeWords2(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 2, true, to);
}
function decode3(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 3, false, to);
}
function decodeWords3(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 3, true, to);
}
function decode4(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 4, false, to);
}
function decodeWords4(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 4, true, to);
}
function decode5(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 5, false, to);
}
function decodeWords5(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 5, true, to);
}
function decode6(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 6, false, to);
}
function decodeWords6(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 6, true, to);
}
function decode7(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 7, false, to);
}
function decodeWords7(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 7, true, to);
}
function decodeWords8(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 8, true, to);
}

/** The inverse of encoding, for less than 8 bits; 8 bits are read in place. */
export function decode(from: usize, length: usize, bits: i32, to: usize): void {
  if (bits == 2) decode2(from, length, to);
  else if (bits == 3) decode3(from, length, to);
  else if (bits == 4) decode4(from, length, to);
  else if (bits == 5) decode5(from, length, to);
  else if (bits == 6) decode6(from, length, to);
  else decode7(from, length, to);
}

/** The same as int16, of 8 bits too: 2 * length bytes. */
export function decodeWords(from: usize, length: usize, bits: i32, to: usize): void {
  if (bits == 2) decodeWords2(from, length, to);
  else if (bits == 3) decodeWords3(from, length, to);
  else if (bits == 4) decodeWords4(from, length, to);
  else if (bits == 5) decodeWords5(from, length, to);
  else if (bits == 6) decodeWords6(from, length, to);
  else if (bits == 7) decodeWords7(from, length, to);
  else decodeWords8(from, length, to);
}
