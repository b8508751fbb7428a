import { refuse, SigmaQuantError } from '../errors.ts';
import {
  DEVICE_VERSION,
  type Device,
  type DeviceLatency,
  type StepFeature,
  type StepKind,
} from './device.ts';
import { fitTerms } from './least-squares.ts';
import { layerFeatures, layerKind, parseShape } from './shapes.ts';

/** One measured layer. */
export interface Timing {
  shape: string;
  kind: StepKind;
  weights: number;
  activations: number;
  features: Readonly<Record<StepFeature, number>>;
  microseconds: number;
}

const HEADER = 'shape,weights,activations,microseconds';
/** An hour for one layer is a slip of the unit. Microseconds. */
const MOST_MICROSECONDS = 3.6e9;
/** Features that a rule is fitted with, by how many measured shapes there are. */
const FEATURES: readonly { rows: number; names: readonly StepFeature[] }[] = [
  { rows: 8, names: ['step', 'macs', 'inputs', 'patches', 'outputs', 'weights'] },
  { rows: 4, names: ['step', 'macs', 'outputs'] },
  { rows: 2, names: ['step', 'macs'] },
  { rows: 1, names: ['macs'] },
];

/**
 * Timings of a board from CSV: `shape,weights,activations,microseconds`, a layer a line; `#` begins a comment.
 * Throws INVALID_ARGUMENT naming the line.
 */
export function parseTimings(text: string, file: string): Timing[] {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line, index) => ({ line: line.trim(), number: index + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'));
  const [header, ...rows] = lines;
  if (header?.line.replaceAll(' ', '').toLowerCase() !== HEADER)
    refuse(`${HEADER} in its first line`, file, header?.line ?? '');
  if (rows.length === 0) refuse('at least one row of timings', file, 'none');
  const seen = new Map<string, number>();
  return rows.map(({ line, number }) => {
    const timing = parseRow(line, (expected, received) =>
      refuse(`${expected} in line ${number}`, file, received),
    );
    const key = `${timing.shape} ${timing.weights}x${timing.activations}`;
    const earlier = seen.get(key);
    if (earlier !== undefined)
      refuse(`each layer once in line ${number}`, file, `${key} again (first in line ${earlier})`);
    seen.set(key, number);
    return timing;
  });
}

function parseRow(line: string, wrong: (expected: string, received: string) => never): Timing {
  const cells = line.split(',').map((cell) => cell.trim());
  if (cells.length !== 4) wrong('4 cells', line);
  const [shape, ...numbers] = cells;
  const geometry =
    parseShape(shape) ?? wrong('a layer such as conv 3x3/1x1 16->32 14x14 or linear 64->10', shape);
  const [weights, activations] = numbers.slice(0, 2).map((cell) => {
    if (!/^[2-8]$/.test(cell)) wrong('a width from 2 to 8', cell);
    return Number(cell);
  });
  const microseconds = Number(numbers[2]);
  if (!(microseconds > 0 && microseconds <= MOST_MICROSECONDS))
    wrong(`microseconds above 0 and at most ${MOST_MICROSECONDS}`, numbers[2]);
  return {
    shape,
    kind: layerKind(geometry),
    weights,
    activations,
    features: layerFeatures(geometry),
    microseconds,
  };
}

/** One rule per kind and pair of widths, of the least squared relative error. */
export function fitRules(timings: readonly Timing[]): DeviceLatency['rules'] {
  const groups = new Map<string, Timing[]>();
  for (const timing of timings) {
    const key = `${timing.kind} ${timing.weights} ${timing.activations}`;
    groups.set(key, [...(groups.get(key) ?? []), timing]);
  }
  return [...groups.values()].map((rows) => {
    const { names } = FEATURES.find(({ rows: least }) => rows.length >= least)!;
    const points = rows.map(({ features, microseconds }) => ({ features, value: microseconds }));
    const [{ kind, weights, activations }] = rows;
    return { kind, weights, activations, terms: fitTerms(points, names) };
  });
}

export interface BoardOptions {
  name: string;
  title: string;
  /** Where the timings come from. */
  source: string;
}

/**
 * A device whose latency is what was measured: layers of just these shapes as timed, all others by a rule fitted per
 * kind and widths. Throws INVALID_ARGUMENT where a kind lacks timings at 8 x 8 bits, to which all widths round up.
 */
export function boardDevice(timings: readonly Timing[], { name, title, source }: BoardOptions): Device {
  for (const kind of new Set(timings.map((timing) => timing.kind)))
    if (!timings.some((row) => row.kind === kind && row.weights === 8 && row.activations === 8))
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected timings of ${kind} layers at 8 x 8 bits, to which all widths round up, but received none.`,
      );
  return {
    version: DEVICE_VERSION,
    name,
    title,
    baseline: null,
    sources: { timings: source },
    notes: ['Only layers were timed: what stands between them counts nothing.'],
    packing: { rowBits: 1, source: 'timings' },
    array: null,
    pairs: [],
    memories: [],
    latency: {
      unit: 'us',
      source: 'timings',
      threads: 1,
      rules: fitRules(timings),
      timings: timings.map(({ shape, weights, activations, microseconds }) => ({
        shape,
        weights,
        activations,
        time: microseconds,
      })),
    },
  };
}
