import { roundHalfEven } from '../kernels/math.ts';

/** Sweeps over a row's integers, each followed by a new scale; almost every row is still before the last. */
const ROUNDS = 12;
/** Columns of the matrix that are added in one pass. */
const COLUMNS = 4;

/** One output channel during descent; all arrays [k] in the order of h. */
export interface DescentRow {
  q: Int8Array;
  scale: number;
  /** h·w, and w·h·w. */
  hw: Float64Array;
  power: number;
}

/** out = h·x for a symmetric h [k][k], columns ascending. */
export function multiply(h: Float64Array, k: number, x: ArrayLike<number>, out: Float64Array): void {
  out.fill(0);
  let j = 0;
  for (; j + COLUMNS <= k; j += COLUMNS) {
    const [xa, xb, xc, xd] = [x[j], x[j + 1], x[j + 2], x[j + 3]];
    if (xa === 0 && xb === 0 && xc === 0 && xd === 0) continue;
    const [a, b, c, d] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k];
    for (let i = 0; i < k; i++) out[i] += xa * h[a + i] + xb * h[b + i] + xc * h[c + i] + xd * h[d + i];
  }
  for (; j < k; j++) for (let i = 0; i < k; i++) out[i] += x[j] * h[j * k + i];
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * ours: lowers (w - q*s) h (w - q*s)ᵀ further after second-order rounding. Each integer in turn moves to its best
 * value while the others stand (never up: the form is exact), then the scale is fitted by least squares, until
 * nothing changes. Changes row.q and row.scale; returns the error. `hq` is scratch [k].
 */
export function descend(
  row: DescentRow,
  h: Float64Array,
  k: number,
  low: number,
  high: number,
  floor: number,
  hq: Float64Array,
): number {
  multiply(h, k, row.q, hq);
  for (let round = 0; round < ROUNDS; round++) {
    const moved = sweep(row, h, k, low, high, hq);
    const scaled = refit(row, hq, floor);
    if (!moved && !scaled) break;
  }
  return quadraticError(row, hq);
}

function sweep(
  row: DescentRow,
  h: Float64Array,
  k: number,
  low: number,
  high: number,
  hq: Float64Array,
): boolean {
  const { q, scale, hw } = row;
  let moved = false;
  for (let j = 0; j < k; j++) {
    const step = roundHalfEven((hw[j] / scale - hq[j]) / h[j * k + j]);
    if (step === 0) continue;
    const level = Math.min(Math.max(q[j] + step, low), high);
    const change = level - q[j];
    if (change === 0) continue;
    q[j] = level;
    const column = j * k;
    for (let i = 0; i < k; i++) hq[i] += change * h[column + i];
    moved = true;
  }
  return moved;
}

/** True where the scale became another float32 and the error smaller. */
function refit(row: DescentRow, hq: Float64Array, floor: number): boolean {
  const power = dot(row.q, hq);
  const cross = dot(row.q, row.hw);
  if (!(power > 0) || !(cross > 0)) return false;
  const before = row.scale;
  const scale = Math.max(Math.fround(cross / power), floor);
  const error = (s: number) => s * s * power - 2 * s * cross;
  if (scale === before || !(error(scale) < error(before))) return false;
  row.scale = scale;
  return true;
}

function quadraticError(row: DescentRow, hq: Float64Array): number {
  const { q, scale, hw, power } = row;
  return Math.max(scale * scale * dot(q, hq) - 2 * scale * dot(q, hw) + power, 0);
}
