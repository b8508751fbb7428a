import { Shape, roundUp } from './shape';
import { tapOffset } from './tile';

/**
 * The k axis of an output is cut into segments that lie contiguously in the tile: a kernel row, or one tap where
 * groups or dilation part them.
 */

@inline
function wholeRows(s: Shape): bool {
  return s.groups == 1 && s.dilationWidth == 1;
}

export function segmentCount(s: Shape): i32 {
  return wholeRows(s) ? s.kernelHeight : s.kernelHeight * s.kernelWidth;
}

export function segmentLength(s: Shape): i32 {
  return wholeRows(s) ? s.kernelWidth * s.inChannels : s.inChannels / s.groups;
}

export function segmentTableSize(s: Shape): usize {
  return roundUp(<usize>segmentCount(s) << 2, 16);
}

/** Byte offset of every segment from an output's first tap. */
export function writeSegments(s: Shape, to: usize): void {
  const perRow = wholeRows(s) ? 1 : s.kernelWidth;
  for (let i = 0, n = segmentCount(s); i < n; i++) store<i32>(to + (<usize>i << 2), tapOffset(s, i / perRow, i % perRow));
}
