import { plural } from '../report/numbers.ts';
import { limitName } from './limits.ts';
import type { MeasuredLimit } from './rows.ts';
import { median, quantile } from './statistics.ts';
import { type Machine, machineName } from './trial.ts';

/** How far the clock of a machine moved while it was measured. */
export interface Drift extends Machine {
  /** The limit it was seen in, measured in every group: `peak 8`. */
  limit: string;
  /** Rates of the slowest and fastest tenth of the visits, relative to their median. */
  slowest: number;
  fastest: number;
  /** Whether they are further apart than DRIFT. */
  moved: boolean;
}

/** A clock that moves less than this changes no conclusion. */
const DRIFT = 0.05;

/**
 * One entry per machine, from the limit on registers that was measured most often (the memory limits also move with
 * what others do to the memory, so they speak only where there is none).
 */
export function driftOf(limits: readonly MeasuredLimit[]): Drift[] {
  const chosen = new Map<string, MeasuredLimit>();
  const rank = ({ limit, visits }: MeasuredLimit) => (limit.limit === 'peak' ? 1000 : 0) + visits.length;
  for (const limit of limits) {
    const name = machineName(limit);
    const before = chosen.get(name);
    if (!before || rank(limit) > rank(before)) chosen.set(name, limit);
  }
  return [...chosen.values()].map(({ limit, visits, backend, isa, threads }) => {
    const times = visits.map(median);
    const middle = median(times);
    const slowest = middle / quantile(times, 0.9);
    const fastest = middle / quantile(times, 0.1);
    return {
      backend,
      isa,
      threads,
      limit: limitName(limit),
      slowest: round(slowest),
      fastest: round(fastest),
      moved: fastest - slowest > DRIFT,
    };
  });
}

const round = (value: number) => Math.round(1000 * value) / 1000;

export function driftSentence(drift: Drift): string | null {
  if (!drift.moved) return null;
  const percent = Math.round(100 * (drift.fastest - drift.slowest));
  return `The clock moved by ${percent} % during the run (${drift.backend} ${drift.isa}, ${plural(drift.threads, 'thread')}, seen in ${drift.limit}): compare rows of one op and shape, which were measured in turns.`;
}
