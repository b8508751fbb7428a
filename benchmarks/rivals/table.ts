import { type Column, markdownTable, numberColumn } from '../results.ts';
import type { Row } from './compare.ts';

/** Rows as RESULTS.md shows them: means per operator and rival, then every shape. */

const operator = ({ op, activations, bits }: Row) =>
  `${op} ${activations}${bits === 32 ? '' : `, ${bits} bits`}`;

const columns: Column<Row>[] = [
  { title: 'operator', text: operator },
  { title: 'shape', text: ({ shape }) => shape },
  { title: 'rival', text: ({ rival, way }) => `${rival}: ${way}` },
  numberColumn('ours, us', 2, ({ oursUs }) => oursUs),
  numberColumn('rival, us', 2, ({ rivalUs }) => rivalUs),
  numberColumn('ratio', 2, ({ ratio }) => ratio),
  numberColumn('of the fastest', 2, ({ fastestRatio }) => fastestRatio),
  { title: 'its result', text: verdict },
];

/** What the rival computed, as seen from our result. */
export function verdict({ exact, differing, difference }: Row): string {
  if (differing === 0) return 'the same bits';
  if (exact === null) return `within ${difference.toExponential(0)}`;
  return `inexact: ${(differing * 100).toFixed(1)} % differ, by up to ${(difference * 100).toFixed(0)} %`;
}

interface Mean {
  operator: string;
  rival: string;
  rows: Row[];
}

const meanColumns: Column<Mean>[] = [
  { title: 'operator', text: (mean) => mean.operator },
  { title: 'rival', text: ({ rival }) => rival },
  numberColumn('comparisons', 0, ({ rows }) => rows.length),
  numberColumn('geometric mean', 2, ({ rows }) => geometricMean(rows.map(({ ratio }) => ratio))),
  numberColumn('of the fastest', 2, ({ rows }) =>
    geometricMean(rows.map(({ fastestRatio }) => fastestRatio)),
  ),
  numberColumn('lowest', 2, ({ rows }) => Math.min(...rows.map(({ ratio }) => ratio))),
  numberColumn('slower than the rival', 0, ({ rows }) => rows.filter(({ ratio }) => ratio < 1).length),
];

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Rows of one backend and number of threads. */
export function report(rows: readonly Row[], rounds: number): string {
  const means = new Map<string, Mean>();
  for (const row of rows) {
    const key = `${operator(row)} ${row.rival}`;
    const mean = means.get(key) ?? { operator: operator(row), rival: row.rival, rows: [] };
    mean.rows.push(row);
    means.set(key, mean);
  }
  const versions = new Set(rows.map(({ rival, version }) => `${rival} ${version}`));
  return [
    `Ours: ${rows[0].backend} ${rows[0].isa}. Rivals: ${[...versions].join(', ')}.`,
    `Microseconds per call, medians of ${rounds} rounds (fewer where calls are slow), turn by turn; ratio = the rival's time over ours, above 1 where we are faster. Weights are packed before. JavaScript's calls are measured in JavaScript, those of C++ libraries in C++. gemm-float-io takes floats and gives floats: ours quantizes the activations inside the time. A rival whose integers are inexact did not do the same work: without VNNI, sums of two u8 x s8 products saturate at 16 bits (not at 7 bits and below), and oneDNN halves weights for signed activations.`,
    markdownTable([...means.values()], meanColumns),
    markdownTable(rows, columns),
  ].join('\n\n');
}
