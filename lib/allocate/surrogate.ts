import type { Dial } from './dials.ts';
import { falling, type Scores } from './scores.ts';
import type { Candidate } from './search.ts';

/** How far a dial's real share in the divergence is expected to stray from its score (standard deviations). */
const DIAL_DEVIATION = 0.5;
/** The same for a width in all dials of a kind: what one layer alone loses at 2 bits says less than at 6. */
const WIDTH_DEVIATION = 0.5;
/** Relative error of a measured divergence, at the divergence of interest. */
const NOISE = 0.05;
/** A share never shrinks below this part of its score, so that no dial looks free. */
const LEAST_SHARE = 0.2;
/** Evaluations below which scores are believed as they are. */
const LEAST_EVALUATIONS = 3;

/**
 * Scores corrected by what whole networks measured. Scores of single layers add up only while losses are small; the
 * model is divergence = base + gain * sum of score * (1 + dial term + width term), both terms fitted by ridge regression
 * in its dual form (one unknown per evaluation). Evaluations near `interest` (nats) weigh most.
 */
export function corrected(
  dials: readonly Dial[],
  scores: Scores,
  candidates: readonly Candidate[],
  interest: number,
): Scores {
  const { rows, measured, variance, base, gain } = fitted(candidates, interest);
  if (rows.length < LEAST_EVALUATIONS || !(gain > 0)) return scores;

  const widths = [...new Set(dials.flatMap(({ of, bits }) => bits.map((width) => widthKey(of, width))))];
  const features = rows.map(({ plan }, row) => {
    const part = plan.map(
      (bits, dial) => (gain * scores[dial][dials[dial].bits.indexOf(bits)]) / measured[row],
    );
    const byWidth = widths.map((width) =>
      part.reduce(
        (sum, value, dial) => (widthKey(dials[dial].of, plan[dial]) === width ? sum + value : sum),
        0,
      ),
    );
    return [
      ...part.map((value) => value * DIAL_DEVIATION),
      ...byWidth.map((value) => value * WIDTH_DEVIATION),
    ];
  });
  const residual = rows.map(({ score }, row) => (measured[row] - base - gain * score) / measured[row]);
  const weights = solve(
    features.map((a, i) => features.map((b, j) => dot(a, b) + (i === j ? variance[i] : 0))),
    residual,
  );
  const term = (index: number) => features.reduce((sum, row, i) => sum + row[index] * weights[i], 0);
  const dialTerms = dials.map((_, dial) => DIAL_DEVIATION * term(dial));
  const widthTerms = new Map(
    widths.map((width, index) => [width, WIDTH_DEVIATION * term(dials.length + index)]),
  );
  return dials.map(({ of, bits }, dial) =>
    falling(
      bits.map((width, index) => {
        const share = 1 + dialTerms[dial] + widthTerms.get(widthKey(of, width))!;
        return scores[dial][index] * Math.max(LEAST_SHARE, share);
      }),
    ),
  );
}

function widthKey(of: Dial['of'], bits: number): string {
  return `${of} ${bits}`;
}

/**
 * How far measured divergences stray from the line over the scores: mean squared relative residual, those near `interest`
 * weighing most. 0 before enough was measured.
 */
export function strayOf(candidates: readonly Candidate[], interest: number): number {
  const { rows, measured, variance, base, gain } = fitted(candidates, interest);
  if (rows.length < LEAST_EVALUATIONS) return 0;
  const residuals = rows.map(({ score }, row) => (measured[row] - base - gain * score) / measured[row]);
  const weight = variance.reduce((sum, own) => sum + 1 / own, 0);
  return residuals.reduce((sum, residual, row) => sum + residual ** 2 / variance[row], 0) / weight;
}

/** Candidates that teach, what they measured with its relative variance, and the line over their scores. */
function fitted(candidates: readonly Candidate[], interest: number) {
  const rows = candidates.filter(
    ({ measurement, score }) =>
      measurement && Number.isFinite(measurement.divergence) && measurement.divergence > 0 && score > 0,
  );
  const measured = rows.map(({ measurement }) => measurement!.divergence);
  const variance = measured.map(
    (divergence) => NOISE ** 2 * (1 + Math.log(divergence / Math.max(interest, Number.MIN_VALUE)) ** 2),
  );
  const scores = rows.map(({ score }) => score);
  return { rows, measured, variance, ...line(scores, measured, variance) };
}

/** measured = base + gain * score by least relative squares, neither negative. */
function line(scores: readonly number[], measured: readonly number[], variance: readonly number[]) {
  let [oneOne, oneScore, scoreScore, one, score] = [0, 0, 0, 0, 0];
  scores.forEach((value, row) => {
    const [a, b] = [1 / measured[row], value / measured[row]];
    oneOne += (a * a) / variance[row];
    oneScore += (a * b) / variance[row];
    scoreScore += (b * b) / variance[row];
    one += a / variance[row];
    score += b / variance[row];
  });
  const determinant = oneOne * scoreScore - oneScore * oneScore;
  const base = (one * scoreScore - score * oneScore) / determinant;
  const gain = (score * oneOne - one * oneScore) / determinant;
  return base > 0 && gain > 0 ? { base, gain } : { base: 0, gain: score / scoreScore };
}

/** x with a x = b, a symmetric positive definite (Cholesky). */
function solve(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const n = b.length;
  const factor = a.map((row) => [...row]);
  const x = [...b];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = factor[i][j];
      for (let k = 0; k < j; k++) sum -= factor[i][k] * factor[j][k];
      factor[i][j] = i === j ? Math.sqrt(sum) : sum / factor[j][j];
    }
    for (let k = 0; k < i; k++) x[i] -= factor[i][k] * x[k];
    x[i] /= factor[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= factor[k][i] * x[k];
    x[i] /= factor[i][i];
  }
  return x;
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * b[index], 0);
}
