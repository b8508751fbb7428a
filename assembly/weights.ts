import { BLOCK, encode, encodedLength } from './bits';
import { isDepthwise, roundUp } from './shape';

/**
 * Packed weights: a sequence of bytes in the order in which they are read, encoded as bits.ts says. Of a matrix:
 * panels of COLUMNS output channels, pairs of k, [pair][column][2], zero filled. Of a depthwise convolution:
 * [tap][channel], channels rounded up to COLUMNS.
 */
export const COLUMNS: i32 = 8;

/** Bytes of one decoded panel of depth k. */
@inline
export function panelLength(depth: i32): usize {
  return roundUp(<usize>((depth + 1) >> 1) * 2 * COLUMNS, BLOCK);
}

@inline
export function depthwiseLength(outChannels: i32, taps: i32): usize {
  return roundUp(<usize>taps * roundUp(outChannels, COLUMNS), BLOCK);
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
    const row = roundUp(outChannels, COLUMNS);
    memory.fill(scratch, 0, length);
    for (let n = 0; n < outChannels; n++)
      for (let tap = 0; tap < taps; tap++) store<u8>(scratch + <usize>tap * row + n, load<u8>(q++));
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
