import type { BenchResult } from '../bench/bench.ts';
import type { LimitRow } from '../bench/rows.ts';
import { keyOf, machineName } from '../bench/trial.ts';
import { plural, significant, whole } from '../report/numbers.ts';
import { columns, markdownTable, type Table, textTable } from '../report/table.ts';

/** A run as tables for people: rows, limits, and what they must know. */
export function benchText(result: BenchResult, markdown = false): string {
  const render: (table: Table) => string = markdown ? markdownTable : textTable;
  const { computer, cold, rounds, notes, comparison } = result;
  const machines = [...new Set([...result.limits, ...result.rows].map(machineName))];
  const several = machines.length > 1;
  const { processor, logicalProcessors, platform, node } = computer;
  const kernels = several ? `${machines.length} kinds of kernels` : machineSentence(machines[0]);
  return [
    `${processor}, ${plural(logicalProcessors, 'processor')}, ${platform}, Node.js ${node}`,
    `${kernels}, medians of ${plural(rounds, 'round')}, ${cold ? 'cold' : 'warm'} caches`,
    '',
    render(rowTable(result, several)),
    '',
    render(limitTable(result.limits, several)),
    '',
    '% of: gemv, moments, histogram, errors: of reading; quantize, dequantize, pack, unpack: of copying (stream at',
    '64 MB); everything else: of the products of its width on registers. x8-bit, xfloat: speed, above 1 is faster.',
    ...(comparison?.medianRatio != null
      ? [
          `xearlier: ${significant(comparison.medianRatio)} in the median of ${plural(comparison.rows.length, 'row')}.`,
        ]
      : []),
    ...notes.map((note) => `note: ${note}`),
    '',
  ].join('\n');
}

function machineSentence(name: string): string {
  const [backend, isa, threads] = name.split(' ');
  return `${backend} ${isa}, ${plural(Number(threads), 'thread')}`;
}

function rowTable({ rows, comparison }: BenchResult, several: boolean): Table {
  const earlier = new Map(comparison?.rows.map((row) => [keyOf(row), row.ratio]));
  return {
    columns: columns(
      'op',
      'shape',
      '>bits',
      'acts',
      ...(several ? ['isa', '>thr'] : []),
      '>median µs',
      '>p10',
      '>p90',
      '>GOPS',
      '>GB/s',
      '>% of limit',
      '>x8-bit',
      '>xfloat',
      ...(comparison ? ['>xearlier'] : []),
    ),
    rows: rows.map((row) => [
      row.op,
      row.shape,
      String(row.bits),
      row.activations,
      ...(several ? [row.isa, String(row.threads)] : []),
      time(row.medianUs),
      time(row.p10Us),
      time(row.p90Us),
      rate(row.gops),
      rate(row.gbps),
      row.peakShare === null ? '' : (100 * row.peakShare).toFixed(1),
      ratio(row.ofEightBit),
      ratio(row.ofFloat),
      ...(comparison ? [ratio(earlier.get(keyOf(row)) ?? null)] : []),
    ]),
  };
}

function limitTable(limits: readonly LimitRow[], several: boolean): Table {
  return {
    columns: columns('limit', ...(several ? ['isa', '>thr'] : []), '>GOPS', '>GB/s'),
    rows: limits.map((limit) => [
      limitTitle(limit),
      ...(several ? [limit.isa, String(limit.threads)] : []),
      rate(limit.gops),
      rate(limit.gbps),
    ]),
  };
}

function limitTitle({ limit, bits, bytes }: LimitRow): string {
  if (limit === 'peak') return bits === 32 ? 'products, float' : `products, ${bits} bits`;
  return `${limit === 'stream' ? 'copy past the caches' : limit}, ${size(bytes!)}`;
}

const size = (bytes: number) =>
  bytes >= 2 ** 20 ? `${significant(bytes / 2 ** 20)} MB` : `${significant(bytes / 1024)} KB`;
const time = (us: number) => (us < 1000 ? significant(us) : whole(us));
const rate = (value: number | null) =>
  value === null ? '' : value < 1000 ? significant(value) : whole(value);
const ratio = (value: number | null) => (value === null ? '' : value.toFixed(2));
