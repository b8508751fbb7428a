import { defaultStrategy } from '../lib/allocate/index.ts';
import type { Row } from './trial.ts';

/** What a table of trials says in sum. */

const UNIFORM = 'uniform';
/** A pair on which a strategy is smaller than the default by more than this is named. */
const NOTABLE = 0.03;

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const ours = (rows: readonly Row[]) => rows.filter(({ strategy }) => strategy === defaultStrategy);
const twin = (rows: readonly Row[], strategy: string, { pair, asked }: Row) =>
  rows.find((row) => row.strategy === strategy && row.pair === pair && row.asked === asked);

/** Sizes of the other strategies and of INT8 relative to the default's. */
export function smallestLines(rows: readonly Row[]): string[] {
  const others = [...new Set(rows.map(({ strategy }) => strategy))].filter(
    (name) => name !== defaultStrategy,
  );
  const lines = others.flatMap((strategy) => {
    const met = ours(rows).flatMap((own) => {
      const other = twin(rows, strategy, own);
      return other?.verdict === 'met' ? [{ pair: own.pair, ratio: other.weightBytes / own.weightBytes }] : [];
    });
    if (met.length === 0) return [];
    const smaller = met.filter(({ ratio }) => ratio < 1 - NOTABLE);
    const named = smaller.map(({ pair, ratio }) => `${pair} ${((1 - ratio) * 100).toFixed(1)} %`).join(', ');
    return [
      `Size of \`${strategy}\` relative to the default, geometric mean of ${met.length} pairs: ${geometricMean(met.map(({ ratio }) => ratio)).toFixed(3)}${named ? `; smaller than the default by more than 3 %: ${named}` : ''}.`,
    ];
  });
  const int8 = ours(rows).map(({ weightBytes, int8Bytes }) => weightBytes / int8Bytes);
  return int8.length === 0
    ? lines
    : [
        ...lines,
        `Size of the default (\`${rows[0].recovery}\`) relative to INT8, geometric mean: ${geometricMean(int8).toFixed(3)}.`,
      ];
}

/** How far the smallest sizes of the default fall by each recovery after the first. */
export function recoveryLines(rows: readonly Row[], recoveries: readonly string[]): string[] {
  const [first, ...others] = recoveries;
  const of = (recovery: string) => ours(rows).filter((row) => row.recovery === recovery);
  return others.flatMap((recovery) => {
    const met = of(recovery).flatMap((row) => {
      const other = twin(of(first), row.strategy, row);
      const both = row.verdict === 'met' && other?.verdict === 'met';
      return both ? [{ pair: row.pair, ratio: row.weightBytes / other.weightBytes }] : [];
    });
    if (met.length === 0) return [];
    const each = met.map(({ pair, ratio }) => `${pair} ${((ratio - 1) * 100).toFixed(1)} %`).join(', ');
    const mean = geometricMean(met.map(({ ratio }) => ratio));
    return [`Size by \`${recovery}\` against \`${first}\`: ${each}; geometric mean ${mean.toFixed(3)}.`];
  });
}

/** What of uniform's loss each pair wins back. */
export function atUniformLines(rows: readonly Row[]): string[] {
  const pairs = ours(rows).flatMap((own) => {
    const uniform = twin(rows, UNIFORM, own);
    return uniform && uniform.drop !== null && own.drop !== null
      ? [{ own, uniform: uniform.drop, gain: uniform.drop - own.drop }]
      : [];
  });
  const lines = pairs.map(
    ({ own, uniform, gain }) =>
      `- ${own.pair}, ${own.asked}: uniform loses ${uniform.toFixed(2)}, the default ${own.drop!.toFixed(2)} points: ${gain.toFixed(2)} won back${uniform > 0 ? ` (${((100 * gain) / uniform).toFixed(0)} %)` : ''}`,
  );
  const shares = pairs.filter(({ uniform }) => uniform > 0).map(({ uniform, gain }) => gain / uniform);
  const wide = pairs.filter(({ uniform }) => uniform >= 2 && uniform <= 10);
  return [
    lines.join('\n'),
    shares.length > 0
      ? `Median share of uniform's loss that is won back: ${(100 * median(shares)).toFixed(0)} %.`
      : '',
    wide.length > 0
      ? `Where uniform loses 2 to 10 points, the least won back: ${Math.min(...wide.map(({ gain }) => gain)).toFixed(2)} points (${wide.length} cases).`
      : '',
  ].filter((line) => line !== '');
}
