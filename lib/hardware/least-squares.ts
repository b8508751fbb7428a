/** Coordinate descent is done when no term moves by more than this share of it. */
const SETTLED = 1e-9;
/** A term that is nowhere more than this share of the value is left out. */
const NEGLIGIBLE = 1e-6;
const MOST_ROUNDS = 20_000;

/**
 * Terms that are not negative and predict values with the least squared relative error:
 * value ≈ Σ terms[name] * point[name]. Values are above 0. Terms that come out as nothing are left out.
 */
export function fitTerms<T extends string>(
  points: readonly { features: Readonly<Record<T, number>>; value: number }[],
  names: readonly T[],
): Partial<Record<T, number>> {
  const columns = names.map((name) =>
    Float64Array.from(points, ({ features, value }) => features[name] / value),
  );
  const norms = columns.map((column) => column.reduce((sum, x) => sum + x * x, 0));
  const terms = new Float64Array(names.length);
  const rest = new Float64Array(points.length).fill(1);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    let moved = 0;
    columns.forEach((column, i) => {
      if (norms[i] === 0) return;
      const dot = column.reduce((sum, x, k) => sum + x * rest[k], 0);
      const next = Math.max(0, terms[i] + dot / norms[i]);
      const change = next - terms[i];
      if (change === 0) return;
      moved = Math.max(moved, Math.abs(change) / Math.max(next, terms[i]));
      for (let k = 0; k < rest.length; k++) rest[k] -= change * column[k];
      terms[i] = next;
    });
    if (moved < SETTLED) break;
  }
  const shows = (i: number) => columns[i].some((x) => terms[i] * x > NEGLIGIBLE);
  return Object.fromEntries(
    names.flatMap((name, i) => (shows(i) ? [[name, Number(terms[i].toPrecision(4))]] : [])),
  ) as Partial<Record<T, number>>;
}
