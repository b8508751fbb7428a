import { roundHalfEven } from '../kernels/math.ts';

/** Integers looked at per search at most: about a millisecond. Nine taps need a few hundred. */
const NODES = 2 ** 14;

/** Scratch for rows of k weights. */
export interface Search {
  /** Integers looked at so far, over all searches. */
  nodes: number;
  /** Error of each column, in the coordinates where they add up: w - q*s = e·u. */
  e: Float64Array;
  /** Of columns [0, j). */
  partial: Float64Array;
  target: Float64Array;
  /** The next integers to be tried below and above the target. */
  below: Int32Array;
  above: Int32Array;
  q: Int8Array;
}

export function createSearch(k: number): Search {
  return {
    nodes: 0,
    e: new Float64Array(k),
    partial: new Float64Array(k + 1),
    target: new Float64Array(k),
    below: new Int32Array(k),
    above: new Int32Array(k),
    q: new Int8Array(k),
  };
}

/**
 * The integers of [low, high] with the least (w - q*s) h (w - q*s)ᵀ: depth first, nearest integers first, leaving a
 * branch once it passes the best error known (Schnorr and Euchner 1994; "sphere decoding"). u [k][k] is the upper
 * factor with h = (uᵀu)⁻¹. Writes them to `best` and returns their error where it is below `radius`, else returns
 * `radius` and leaves `best` alone. Exact, but for rows that meet the limit of nodes: the best so far.
 */
export function closestIntegers(
  w: Float64Array,
  scale: number,
  u: Float64Array,
  low: number,
  high: number,
  radius: number,
  best: Int8Array,
  search: Search,
): number {
  const { e, partial, target, below, above, q } = search;
  const k = w.length;
  const enter = (j: number) => {
    let sum = w[j];
    for (let i = 0; i < j; i++) sum -= e[i] * u[i * k + j];
    target[j] = sum;
    const nearest = Math.min(Math.max(roundHalfEven(sum / scale), low), high);
    below[j] = nearest;
    above[j] = nearest + 1;
  };
  enter(0);
  const last = search.nodes + NODES;
  for (let j = 0; j >= 0 && search.nodes < last; search.nodes++) {
    const centre = target[j] / scale;
    const down = below[j] >= low && (above[j] > high || centre - below[j] <= above[j] - centre);
    const level = down ? below[j] : above[j];
    const error = (target[j] - level * scale) / u[j * k + j];
    const sum = partial[j] + error * error;
    // Integers come by rising distance: where one is too far, all that follow are.
    if (!(sum < radius) || level > high) {
      j--;
      continue;
    }
    if (down) below[j]--;
    else above[j]++;
    q[j] = level;
    e[j] = error;
    partial[j + 1] = sum;
    if (j + 1 < k) enter(++j);
    else {
      radius = sum;
      best.set(q);
    }
  }
  return radius;
}
