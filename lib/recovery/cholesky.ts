import type { Pace } from '../analysis/pace.ts';

/** Rows that share one pass over earlier ones: independent sums, so that additions do not wait for each other. */
const ROWS = 4;

/**
 * The upper triangular U with UᵀU = h⁻¹, as second-order rounding wants it, of a symmetric positive definite h
 * [k][k]; null where h is not (numerically) positive definite. float64 in a fixed order: the same bits everywhere.
 *
 * With J the reversal of rows and columns and J h J = M Mᵀ, M lower: U = J M⁻¹ J.
 */
export async function inverseFactor(h: Float64Array, k: number, pace: Pace): Promise<Float64Array | null> {
  const m = Float64Array.from(h).reverse();
  if (!(await factorize(m, k, pace))) return null;
  return (await invertLower(m, k, pace)).reverse();
}

/** Lower Cholesky factor in place (the upper triangle is left as it was); false where a pivot is not positive. */
async function factorize(m: Float64Array, k: number, pace: Pace): Promise<boolean> {
  for (let first = 0; first < k; first += ROWS) {
    const last = Math.min(first + ROWS, k);
    if (last - first === ROWS) solveFourRows(m, k, first);
    else for (let i = first; i < last; i++) solveRow(m, k, i, 0, first);
    for (let i = first; i < last; i++) {
      solveRow(m, k, i, first, i);
      let pivot = m[i * k + i];
      for (let p = 0; p < i; p++) pivot -= m[i * k + p] * m[i * k + p];
      if (!(pivot > 0)) return false;
      m[i * k + i] = Math.sqrt(pivot);
    }
    await pace((ROWS * first * first) / 2);
  }
  return true;
}

/** Entries [from, to) of row i of the factor, from the rows above. */
function solveRow(m: Float64Array, k: number, i: number, from: number, to: number): void {
  for (let j = from; j < to; j++) {
    let sum = m[i * k + j];
    for (let p = 0; p < j; p++) sum -= m[i * k + p] * m[j * k + p];
    m[i * k + j] = sum / m[j * k + j];
  }
}

/** Entries [0, first) of rows first..first + 3. */
function solveFourRows(m: Float64Array, k: number, first: number): void {
  const [a, b, c, d] = [first * k, (first + 1) * k, (first + 2) * k, (first + 3) * k];
  for (let j = 0; j < first; j++) {
    const row = j * k;
    let [sa, sb, sc, sd] = [m[a + j], m[b + j], m[c + j], m[d + j]];
    for (let p = 0; p < j; p++) {
      const value = m[row + p];
      sa -= m[a + p] * value;
      sb -= m[b + p] * value;
      sc -= m[c + p] * value;
      sd -= m[d + p] * value;
    }
    const inverse = m[row + j];
    m[a + j] = sa / inverse;
    m[b + j] = sb / inverse;
    m[c + j] = sc / inverse;
    m[d + j] = sd / inverse;
  }
}

/** The inverse of a lower triangular matrix (upper triangle ignored), row by row; zeros above the diagonal. */
async function invertLower(m: Float64Array, k: number, pace: Pace): Promise<Float64Array> {
  const n = new Float64Array(k * k);
  for (let i = 0; i < k; i++) {
    const row = n.subarray(i * k, (i + 1) * k);
    let p = 0;
    for (; p + ROWS <= i; p += ROWS) addFourRows(row, m, n, k, i, p);
    for (; p < i; p++) {
      const factor = m[i * k + p];
      for (let j = 0; j <= p; j++) row[j] += factor * n[p * k + j];
    }
    const inverse = 1 / m[i * k + i];
    for (let j = 0; j < i; j++) row[j] *= -inverse;
    row[i] = inverse;
    await pace((i * i) / 2);
  }
  return n;
}

/** row += Σ m[i][p..p+3] * rows p..p+3 of n; what lies above their diagonals is zero. */
function addFourRows(
  row: Float64Array,
  m: Float64Array,
  n: Float64Array,
  k: number,
  i: number,
  p: number,
): void {
  const at = i * k + p;
  const [fa, fb, fc, fd] = [m[at], m[at + 1], m[at + 2], m[at + 3]];
  const [a, b, c, d] = [p * k, (p + 1) * k, (p + 2) * k, (p + 3) * k];
  for (let j = 0; j < p + ROWS; j++) row[j] += fa * n[a + j] + fb * n[b + j] + fc * n[c + j] + fd * n[d + j];
}
