import type { Measurement } from './allocate.ts';

/**
 * Nats. Below, a drop measured on some hundred samples is mostly noise; above, it bends away from a straight line over
 * the divergence. Larger divergences weigh less in the fit, or one ruined network would decide it.
 */
const STRAIGHT = 0.03;
/** How far real drops stray from the line, as a share of what it predicts (standard deviation). */
const STRAY = 0.3;
/** Standard deviation of a measured drop in percentage points, believed as strongly as so many measurements. */
const PRIOR_NOISE = 0.5;
const PRIOR_COUNT = 4;

/**
 * What a network is expected to lose, percentage points. Top-1 of a few hundred samples is noisy and divergence is not,
 * so the drop that was measured is drawn towards the one that its divergence predicts: nearly all the way between
 * networks close to float, hardly at all between ruined ones. Line and noise are fitted to all measurements given.
 */
export function expectedLoss(measurements: readonly Measurement[]): (measurement: Measurement) => number {
  const finite = measurements.filter(
    ({ drop, divergence }) => Number.isFinite(drop) && Number.isFinite(divergence),
  );
  const weight = ({ divergence }: Measurement) => 1 / (1 + (divergence / STRAIGHT) ** 2);
  const sum = (value: (measurement: Measurement) => number) =>
    finite.reduce((total, measurement) => total + weight(measurement) * value(measurement), 0);
  const bottom = sum(({ divergence }) => divergence ** 2);
  const slope = bottom > 0 ? Math.max(0, sum(({ drop, divergence }) => drop * divergence) / bottom) : 0;
  const scatter = sum(({ drop, divergence }) => (drop - slope * divergence) ** 2);
  const noise = (PRIOR_COUNT * PRIOR_NOISE ** 2 + scatter) / (PRIOR_COUNT + sum(() => 1));
  return ({ drop, divergence }) => {
    const predicted = slope * divergence;
    const stray = (STRAY * predicted) ** 2;
    const loss = predicted + (stray / (stray + noise)) * (drop - predicted);
    // Without any slope divergence alone still orders them.
    const expected = slope > 0 ? loss : divergence;
    return Number.isNaN(expected) ? Number.POSITIVE_INFINITY : expected;
  };
}
