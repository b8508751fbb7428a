import { SigmaQuantError } from '../errors.ts';
import type { BenchResult, Computer } from './bench.ts';
import { median } from './statistics.ts';
import { keyOf, type Machine, type Row } from './trial.ts';

export interface ComparedRow extends Machine, Pick<Row, 'op' | 'shape' | 'bits' | 'activations'> {
  earlierUs: number;
  medianUs: number;
  /** Earlier time over this time: above 1 is faster than before. */
  ratio: number;
}

export interface Comparison {
  /** Whether processor, platform and Node.js are the same as in the earlier run. */
  sameComputer: boolean;
  rows: ComparedRow[];
  /** Of all ratios; null where no row is in both runs. */
  medianRatio: number | null;
  notes: string[];
}

const COMPUTER_FIELDS = ['processor', 'logicalProcessors', 'platform', 'node'] as const;

/**
 * Rows of both runs by what they measure. Where a backend had one other instruction set in the earlier run its rows
 * are compared all the same, and a note says so.
 */
export function compareRows(rows: readonly Row[], computer: Computer, earlier: BenchResult): Comparison {
  const notes: string[] = [];
  for (const field of COMPUTER_FIELDS)
    if (computer[field] !== earlier.computer[field])
      notes.push(
        `The earlier run had another ${FIELD_NAMES[field]}: ${earlier.computer[field]}, now ${computer[field]}.`,
      );
  const sameComputer = notes.length === 0;
  const isaOf = substitutes(rows, earlier.rows, notes);
  const before = new Map(earlier.rows.map((row) => [keyOf(row), row]));
  const compared = rows.flatMap((row): ComparedRow[] => {
    const other = before.get(keyOf(row)) ?? before.get(keyOf({ ...row, isa: isaOf.get(row.isa) ?? row.isa }));
    if (!other) return [];
    const { op, shape, bits, activations, backend, isa, threads, medianUs } = row;
    const ratio = Number((other.medianUs / medianUs).toPrecision(4));
    return [
      { op, shape, bits, activations, backend, isa, threads, earlierUs: other.medianUs, medianUs, ratio },
    ];
  });
  const missing = rows.length - compared.length;
  if (missing > 0) notes.push(`${missing} of ${rows.length} rows have no counterpart in the earlier run.`);
  return {
    sameComputer,
    rows: compared,
    medianRatio: compared.length > 0 ? median(compared.map(({ ratio }) => ratio)) : null,
    notes,
  };
}

const FIELD_NAMES = {
  processor: 'processor',
  logicalProcessors: 'number of processors',
  platform: 'platform',
  node: 'Node.js',
} satisfies Record<(typeof COMPUTER_FIELDS)[number], string>;

/** Per instruction set of this run that the earlier one lacks: the only one that it had for that backend. */
function substitutes(
  rows: readonly Row[],
  earlier: readonly Row[],
  notes: string[],
): Map<Row['isa'], Row['isa']> {
  const found = new Map<Row['isa'], Row['isa']>();
  const isasOf = (list: readonly Row[], backend: Row['backend']) => [
    ...new Set(list.filter((row) => row.backend === backend).map(({ isa }) => isa)),
  ];
  for (const backend of new Set(rows.map((row) => row.backend))) {
    const [now, then] = [isasOf(rows, backend), isasOf(earlier, backend)];
    const missing = now.filter((isa) => !then.includes(isa));
    if (missing.length === 0 || then.length === 0) continue;
    if (then.length === 1) for (const isa of missing) found.set(isa, then[0]);
    notes.push(
      then.length === 1
        ? `The earlier run used ${then[0]} where this one uses ${missing.join(', ')}: their rows are compared.`
        : `The earlier run had ${then.join(', ')} but not ${missing.join(', ')}.`,
    );
  }
  return found;
}

/** The document of an earlier `bench --json`. Throws INVALID_ARGUMENT naming the file. */
export function readEarlier(text: string, file: string): BenchResult {
  const refuseFile = (received: string, cause?: unknown): never => {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected the JSON of an earlier bench for compare but received ${JSON.stringify(file)}: ${received}.`,
      { cause },
    );
  };
  let value: Partial<BenchResult> | null;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuseFile('it is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) return refuseFile(`it holds ${JSON.stringify(value)}`);
  if (value.format !== 1) return refuseFile(`its format is ${JSON.stringify(value.format)}, not 1`);
  if (typeof value.computer !== 'object' || value.computer === null)
    return refuseFile('it names no computer');
  if (!Array.isArray(value.rows)) return refuseFile('it has no rows');
  const bad = value.rows.findIndex(
    (row) => typeof row?.op !== 'string' || typeof row.shape !== 'string' || !(row.medianUs > 0),
  );
  if (bad >= 0) return refuseFile(`row ${bad} has no op, shape and medianUs`);
  return value as BenchResult;
}
