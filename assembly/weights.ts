import { isDepthwise, roundUp } from './shape';

/**
 * Packed weights. A sequence of bytes (the order in which a micro-kernel reads them) is cut into blocks of 128
 * and each block stored in `bits` vectors of 16 bytes: as it is for 8 bits, else w + 2^(bits-1) as planes of 4, 2
 * and 1 bits (7 = 4 + 2 + 1), group j of 16 bytes in the plane's j-th bit field. Decoding is shift and mask.
 *
 * The sequence of a matrix: panels of COLUMNS output channels, pairs of k, [pair][column][2], zero filled. Of a
 * depthwise convolution: pairs of taps, [pair][channel][2], channels rounded up to COLUMNS.
 */
export const COLUMNS: i32 = 8;
const BLOCK: usize = 128;
const GROUPS_IN_BLOCK: i32 = 8;

/** Bytes of one decoded panel of depth k. */
@inline
export function panelLength(depth: i32): usize {
  return roundUp(<usize>((depth + 1) >> 1) * 2 * COLUMNS, BLOCK);
}

@inline
export function depthwiseLength(outChannels: i32, taps: i32): usize {
  return roundUp(<usize>((taps + 1) >> 1) * 2 * roundUp(outChannels, COLUMNS), BLOCK);
}

/** Bytes that `length` decoded bytes take. */
@inline
export function encodedLength(length: usize, bits: i32): usize {
  return (length >> 3) * bits;
}

export function panelCount(outChannels: i32, groups: i32): i32 {
  return (outChannels / groups + COLUMNS - 1) / COLUMNS;
}

export function weightsSize(outChannels: i32, taps: i32, channels: i32, groups: i32, bits: i32): usize {
  if (isDepthwise(channels, groups)) return encodedLength(depthwiseLength(outChannels, taps), bits);
  const panels = <usize>groups * panelCount(outChannels, groups);
  return panels * encodedLength(panelLength(taps * channels), bits);
}

/** Scratch that packWeights needs: one sequence. */
export function packScratch(outChannels: i32, taps: i32, channels: i32, groups: i32): usize {
  return isDepthwise(channels, groups) ? depthwiseLength(outChannels, taps) : panelLength(taps * channels);
}

function encodeBlock(from: usize, bits: i32, to: usize): void {
  memory.fill(to, 0, <usize>bits << 4);
  const half = 1 << (bits - 1);
  const pairs = to + (bits & 4 ? 64 : 0);
  const singles = pairs + (bits & 2 ? 32 : 0);
  for (let group = 0; group < GROUPS_IN_BLOCK; group++) {
    for (let lane = 0; lane < 16; lane++) {
      let u = load<i8>(from + (group << 4) + lane) + half;
      if (bits & 4) {
        const at = to + ((group >> 1) << 4) + lane;
        store<u8>(at, load<u8>(at) | ((u & 15) << ((group & 1) << 2)));
        u >>= 4;
      }
      if (bits & 2) {
        const at = pairs + ((group >> 2) << 4) + lane;
        store<u8>(at, load<u8>(at) | ((u & 3) << ((group & 3) << 1)));
        u >>= 2;
      }
      if (bits & 1) {
        const at = singles + lane;
        store<u8>(at, load<u8>(at) | ((u & 1) << group));
      }
    }
  }
}

function encode(from: usize, length: usize, bits: i32, to: usize): void {
  if (bits == 8) {
    memory.copy(to, from, length);
    return;
  }
  for (let i: usize = 0; i < length; i += BLOCK) {
    encodeBlock(from + i, bits, to);
    to += <usize>bits << 4;
  }
}

@inline
function field(plane: usize, group: i32, perByte: i32, width: i32): v128 {
  const word = v128.load(plane + (<usize>(group / perByte) << 4));
  const mask: i32 = (1 << width) - 1;
  return v128.and(i16x8.shr_u(word, (group % perByte) * width), i8x16.splat(<i8>mask));
}

/** Inlined with constants, so that one group is a few loads, shifts and masks. */
@inline
function decodeGroup(from: usize, bits: i32, group: i32, to: usize): void {
  const pairs = from + (bits & 4 ? 64 : 0);
  const singles = pairs + (bits & 2 ? 32 : 0);
  const half: i32 = 1 << (bits - 1);
  let u = i8x16.splat(0);
  if (bits & 4) u = field(from, group, 2, 4);
  if (bits & 2) u = v128.or(u, i16x8.shl(field(pairs, group, 4, 2), bits & 4));
  if (bits & 1) u = v128.or(u, i16x8.shl(field(singles, group, 8, 1), bits & 6));
  v128.store(to + (<usize>group << 4), i8x16.sub(u, i8x16.splat(<i8>half)));
}

@inline
function decodeBlocks(from: usize, length: usize, bits: i32, to: usize): void {
  for (const end = to + length; to < end; to += BLOCK) {
    decodeGroup(from, bits, 0, to);
    decodeGroup(from, bits, 1, to);
    decodeGroup(from, bits, 2, to);
    decodeGroup(from, bits, 3, to);
    decodeGroup(from, bits, 4, to);
    decodeGroup(from, bits, 5, to);
    decodeGroup(from, bits, 6, to);
    decodeGroup(from, bits, 7, to);
    from += <usize>bits << 4;
  }
}

/** One function per width: where the calls stand in one function, the optimizer folds them before it knows the width. */
function decode2(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 2, to);
}
function decode3(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 3, to);
}
function decode4(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 4, to);
}
function decode5(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 5, to);
}
function decode6(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 6, to);
}
function decode7(from: usize, length: usize, to: usize): void {
  decodeBlocks(from, length, 7, to);
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

/** q [outChannels][taps][channels] -> packed. */
export function packWeights(
  q: usize,
  outChannels: i32,
  taps: i32,
  channels: i32,
  groups: i32,
  bits: i32,
  packed: usize,
  scratch: usize,
): void {
  if (isDepthwise(channels, groups)) {
    const length = depthwiseLength(outChannels, taps);
    const row = roundUp(outChannels, COLUMNS) << 1;
    memory.fill(scratch, 0, length);
    for (let n = 0; n < outChannels; n++)
      for (let tap = 0; tap < taps; tap++)
        store<u8>(scratch + <usize>(tap >> 1) * row + (n << 1) + (tap & 1), load<u8>(q++));
    encode(scratch, length, bits, packed);
    return;
  }
  const depth = taps * channels;
  const length = panelLength(depth);
  const perGroup = outChannels / groups;
  for (let group = 0; group < groups; group++) {
    for (let n = 0; n < perGroup; n += COLUMNS) {
      memory.fill(scratch, 0, length);
      const columns = min(COLUMNS, perGroup - n);
      for (let column = 0; column < columns; column++)
        for (let k = 0; k < depth; k++)
          store<u8>(scratch + (<usize>(k >> 1) << 4) + (column << 1) + (k & 1), load<u8>(q++));
      encode(scratch, length, bits, packed);
      packed += encodedLength(length, bits);
    }
  }
}
