/** Views begin on cache lines, which is also the alignment of regions. */
export const ALIGNMENT = 64;

/** A buffer that must exist from step `first` to step `last`, both included. */
export interface Lifetime {
  byteLength: number;
  first: number;
  last: number;
}

export interface MemoryPlan {
  /** Per lifetime, bytes from the start of the arena. */
  offsets: number[];
  /** Bytes of the arena. */
  planned: number;
  /** Bytes if every buffer had a place of its own. */
  withoutReuse: number;
}

export const align = (bytes: number, alignment = ALIGNMENT): number =>
  Math.ceil(bytes / alignment) * alignment;

/** Indices of buffers, the largest first. */
export function largestFirst(lifetimes: readonly Lifetime[]): number[] {
  return lifetimes
    .map((_, index) => index)
    .sort((a, b) => lifetimes[b].byteLength - lifetimes[a].byteLength || a - b);
}

/**
 * Places buffers so that those alive at the same time do not overlap: in `order`, by default the largest first, each
 * into the smallest gap that holds it (greedy, best fit). Every place begins at a multiple of `alignment` bytes.
 */
export function planMemory(
  lifetimes: readonly Lifetime[],
  alignment = ALIGNMENT,
  order: readonly number[] = largestFirst(lifetimes),
): MemoryPlan {
  const offsets = new Array<number>(lifetimes.length).fill(0);
  const placed: number[] = []; // ascending offsets
  let planned = 0;
  let withoutReuse = 0;
  for (const index of order) {
    const { byteLength, first, last } = lifetimes[index];
    const size = align(byteLength, alignment);
    withoutReuse += size;
    if (size === 0) continue;
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    let free = 0;
    for (let i = 0; i < placed.length; i++) {
      const other = lifetimes[placed[i]];
      if (other.last < first || other.first > last) continue;
      const start = offsets[placed[i]];
      const gap = start - free;
      if (gap >= size && gap < bestGap) {
        best = free;
        bestGap = gap;
      }
      free = Math.max(free, start + align(other.byteLength, alignment));
    }
    offsets[index] = best >= 0 ? best : free;
    planned = Math.max(planned, offsets[index] + size);
    const position = placed.findIndex((other) => offsets[other] > offsets[index]);
    placed.splice(position < 0 ? placed.length : position, 0, index);
  }
  return { offsets, planned, withoutReuse };
}
