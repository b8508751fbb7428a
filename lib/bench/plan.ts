import { refuse } from '../errors.ts';
import {
  arrays,
  calls,
  depthwise,
  isDepthwise,
  matrices,
  rectifiedArrays,
  smallBytes,
  vectors,
  windows,
} from './shapes.ts';
import {
  type Activations,
  type Group,
  keyOf,
  type Machine,
  type NamedSubject,
  type Op,
  type Trial,
} from './trial.ts';

export interface Selection {
  machines: readonly Machine[];
  /** Matrices and layers asked for; none for the default shapes of every op. */
  subjects: readonly NamedSubject[];
  /** Widths of weights; 2..8 by default. */
  bits?: readonly number[];
  /** Every default shape, and signed activations at every width. */
  all?: boolean;
  /** Chooses among `all` by `keyOf`. */
  filter?: RegExp;
}

const WIDTHS = [2, 3, 4, 5, 6, 7, 8];
const FLOAT = 32;
const EIGHT = 8;
/** Signed activations cost the same at every width: the quick selection shows it at these. */
const QUICK_SIGNED = [4, 8];

/** Variants of one op on one shape: the width and what the activations are. */
type Variant = [bits: number, activations: Activations];

interface Row {
  op: Op;
  subjects: (all: boolean) => readonly NamedSubject[];
  variants: (bits: readonly number[], all: boolean) => Variant[];
}

function products(bits: readonly number[], all: boolean): Variant[] {
  const signed = bits.filter((width) => all || QUICK_SIGNED.includes(width));
  return [
    ...bits.map((width): Variant => [width, 'u8']),
    ...signed.map((width): Variant => [width, 's8']),
    [FLOAT, 'f32'],
  ];
}

const asFloats = (): Variant[] => [[FLOAT, 'f32']];
const asBytes = (): Variant[] => [
  [EIGHT, 'u8'],
  [EIGHT, 's8'],
];
const asWidths = (bits: readonly number[]): Variant[] => bits.map((width) => [width, 's8']);

/** Every op, its default shapes and variants. */
const ROWS: readonly Row[] = [
  { op: 'gemm', subjects: matrices, variants: products },
  { op: 'gemv', subjects: vectors, variants: products },
  { op: 'conv', subjects: windows, variants: products },
  { op: 'depthwise', subjects: depthwise, variants: products },
  { op: 'quantize', subjects: () => arrays(4), variants: asBytes },
  { op: 'dequantize', subjects: () => arrays(4), variants: asBytes },
  { op: 'moments', subjects: () => arrays(4), variants: asFloats },
  { op: 'histogram', subjects: () => [...arrays(4), ...rectifiedArrays()], variants: asFloats },
  { op: 'squaredError', subjects: () => arrays(4), variants: asFloats },
  { op: 'quantizeError', subjects: () => arrays(4), variants: () => [[4, 's8']] },
  { op: 'pack', subjects: smallBytes, variants: asWidths },
  { op: 'unpack', subjects: smallBytes, variants: asWidths },
  { op: 'call', subjects: calls, variants: () => [[EIGHT, 'u8']] },
];

/** Rows of `a` up to which a product is bound by reading the weights. */
const FEW_ROWS = 1;

function opOf({ subject }: NamedSubject): Op {
  if (subject.kind === 'window') return isDepthwise(subject.shape) ? 'depthwise' : 'conv';
  return subject.kind === 'matrix' && subject.m <= FEW_ROWS ? 'gemv' : 'gemm';
}

/** The shapes asked for, each in the row of its op; or all rows with their default shapes. */
function rowsOf({
  subjects,
  all = false,
  filter,
}: Selection): { row: Row; subjects: readonly NamedSubject[] }[] {
  const everything = all || filter !== undefined;
  if (subjects.length === 0) return ROWS.map((row) => ({ row, subjects: row.subjects(everything) }));
  return subjects.map((subject) => ({
    row: ROWS.find(({ op }) => op === opOf(subject))!,
    subjects: [subject],
  }));
}

/**
 * Groups of trials in the order in which they are run: one group per op and shape, with the 8-bit and float trials
 * that the others are compared with. Throws INVALID_ARGUMENT where nothing is left to do.
 */
export function planTrials(selection: Selection): Group[] {
  const { machines, bits = WIDTHS, all = false, filter } = selection;
  const everything = all || filter !== undefined || selection.subjects.length > 0;
  const groups: Group[] = [];
  let considered = 0;
  for (const { row, subjects } of rowsOf(selection))
    for (const { name, subject } of subjects) {
      const trial = (machine: Machine, [width, activations]: Variant, baseline: boolean): Trial => ({
        op: row.op,
        shape: name,
        subject,
        bits: width,
        activations,
        ...machine,
        baseline,
      });
      const candidates = machines.flatMap((machine) =>
        row.variants(bits, everything).map((variant) => trial(machine, variant, false)),
      );
      considered += candidates.length;
      const trials = candidates.filter((candidate) => !filter || filter.test(keyOf(candidate)));
      if (trials.length > 0) groups.push({ op: row.op, shape: name, trials: withBaselines(trials) });
    }
  if (groups.length === 0)
    refuse(
      `an expression that fits one of ${considered} trials (gemm 256x256x256 4 u8 native avx2 1)`,
      'filter',
      filter?.source,
    );
  return groups;
}

/** Ops whose trials are compared with 8 bits, and with float. */
const OF_EIGHT_BITS = new Set<Op>(['gemm', 'gemv', 'conv', 'depthwise', 'pack', 'unpack']);
const OF_FLOAT = new Set<Op>(['gemm', 'gemv', 'conv', 'depthwise']);

/** What a trial is compared with: the same with 8 bits, and with floats. */
export function baselinesOf(trial: Trial): { eightBit: Trial | null; float: Trial | null } {
  const integer = trial.bits !== FLOAT;
  return {
    eightBit: integer && OF_EIGHT_BITS.has(trial.op) ? { ...trial, bits: EIGHT } : null,
    float: OF_FLOAT.has(trial.op) ? { ...trial, bits: FLOAT, activations: 'f32' } : null,
  };
}

function withBaselines(trials: readonly Trial[]): Trial[] {
  const found = new Map(trials.map((trial) => [keyOf(trial), trial]));
  for (const trial of trials)
    for (const baseline of Object.values(baselinesOf(trial)))
      if (baseline && !found.has(keyOf(baseline)))
        found.set(keyOf(baseline), { ...baseline, baseline: true });
  return [...found.values()];
}
