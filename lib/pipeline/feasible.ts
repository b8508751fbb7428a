import {
  type Allocation,
  type Cost,
  holds,
  type Measurement,
  type Problem,
  type Strategy,
  type Widths,
  within,
} from '../allocate/index.ts';
import { targetText } from '../hardware/index.ts';
import type { Ask } from './answers.ts';

/** A target that is met, and the point measured that says so. */
export interface Feasible {
  cost: Cost;
  measurement: Measurement | null;
  /** Flags: `--target size=93100B`, `--max-drop 1`. */
  ask: readonly string[];
}

type Point = NonNullable<Allocation['reachable']>;
/** The part of an ask that a suggestion changes. */
type Targets = Pick<Ask, 'targets' | 'maxDrop' | 'minAccuracy' | 'minSqnr'>;

/** How another ask would be answered. */
export interface Again {
  strategy: Strategy;
  problemOf(ask: Targets): Promise<Problem>;
}

/** Targets that are suggested at most. */
const SUGGESTIONS = 3;
/** Ceilings that the search does not hold the floor within give way so far before the floor does. */
const GROWTH = [1, 1.02, 1.05, 1.1, 1.2];
/** Floors of a suggestion: that of the point, then that of the best found within its ceilings. */
const FLOORS = 2;
/** Floors are suggested to so many steps of a point. */
const STEPS = 100;
/** A floor written in decimals may lie beside the measurement by a last bit. */
const LAST_BIT = 1e-9;

/**
 * Holds what a missed target suggests to its word. A plan that was measured need not be found again when its own cost
 * and accuracy are asked for, since a search for other targets takes another way; so each suggestion is asked for, and
 * gives way until it is met. The same options find the same plans, so whoever asks for it next meets it as well.
 * Searches end at the first plan that meets, and what is measured already is not measured again.
 */
export async function confirm(
  allocation: Allocation,
  problem: Problem,
  ask: Ask,
  again: Again,
): Promise<{ allocation: Allocation; feasible: Feasible[] }> {
  const { verdict, reachable } = allocation;
  if (verdict === 'met') return { allocation, feasible: [] };
  const asked: Asked = async (point, loses, growth = 1) => {
    const targets = { targets: ceilingsOf(point, problem, growth), ...floorOf(loses, problem, ask) };
    const next = await again.problemOf(targets);
    const limits = [...next.ceilings.map(({ limit }) => limit), loosenessOf(targets)];
    return { ...(await meet(next, again.strategy)), ask: flagsOf(targets), limits };
  };
  const least = verdict === 'resource-only' && reachable ? await withFloor(reachable, problem, asked) : null;
  let found: Confirmed[] = least ? [least] : [];
  for (const point of allocation.feasible) {
    if (found.length === SUGGESTIONS) break;
    const next = (await withFloor(point, problem, asked)) ?? (await withCeilings(point, asked));
    if (next === null || found.some((known) => asksNoMore(known, next))) continue;
    found = [...found.filter((known) => !asksNoMore(next, known)), next];
  }
  const { cost, measurement } = least ?? reachable ?? {};
  return {
    allocation: { ...allocation, reachable: cost ? { cost, measurement: measurement ?? null } : reachable },
    feasible: found.map(({ limits: _, ...suggestion }) => suggestion),
  };
}

/** Asks for the ceilings of a point, grown, and for the floor that another one holds. */
type Asked = (point: Point, loses: Point, growth?: number) => Promise<Found & Omit<Confirmed, keyof Point>>;

interface Confirmed extends Feasible {
  /** Of the resources asked for and of the floor: the lower the tighter. */
  limits: readonly number[];
}

/** Whether nothing is gained by asking for `b` where `a` is met. */
function asksNoMore(a: Confirmed, b: Confirmed): boolean {
  return a.limits.every((limit, index) => limit <= b.limits[index]);
}

/** Ceilings near those of a point that holds the floor, within which the search holds it; null where there are none. */
async function withFloor(point: Point, problem: Problem, asked: Asked): Promise<Confirmed | null> {
  if (!holds(problem, point.measurement)) return null;
  for (const growth of GROWTH) {
    const { met, ask, limits } = await asked(point, point, growth);
    if (met && growth === 1) return { ...point, ask, limits };
    // What was found may take less than what was asked for.
    const exact = met && (await asked(met, met));
    if (exact?.met) return { ...met!, ask: exact.ask, limits: exact.limits };
  }
  return null;
}

/** The ceilings of a point, with the floor that the search holds within them. */
async function withCeilings(point: Point, asked: Asked): Promise<Confirmed | null> {
  let loses: Point | undefined = point;
  for (let count = 0; count < FLOORS && loses; count++) {
    const { met, best, ask, limits } = await asked(point, loses);
    if (met) return { ...loses, ask, limits };
    loses = best;
  }
  return null;
}

/** The ceilings as they were asked for, as far as the point keeps them; what it costs, grown, where it does not. */
function ceilingsOf({ cost }: Point, { ceilings }: Problem, growth: number): string[] {
  return ceilings.map((ceiling) => {
    const { resource, text } = ceiling;
    return within([ceiling], cost) ? text : (targetText(resource, growth * cost[resource]) ?? text);
  });
}

/** The floor as it was asked for where the point holds it, that of the point where it does not. */
function floorOf({ measurement }: Point, problem: Problem, ask: Ask): Targets {
  const { maxDrop, minAccuracy, minSqnr } = ask;
  if (measurement === null || holds(problem, measurement)) return { maxDrop, minAccuracy, minSqnr };
  const down = (value: number) => Math.floor(value * STEPS + LAST_BIT) / STEPS;
  if (minSqnr !== undefined) return { minSqnr: down(measurement.accuracy) };
  if (minAccuracy !== undefined) return { minAccuracy: Math.max(0, down(measurement.accuracy)) };
  return { maxDrop: Math.max(0, -down(-measurement.drop)) };
}

function loosenessOf({ maxDrop, minAccuracy, minSqnr }: Targets): number {
  return maxDrop ?? -(minAccuracy ?? minSqnr ?? 0);
}

function flagsOf({ targets = [], maxDrop, minAccuracy, minSqnr }: Targets): string[] {
  const floors = Object.entries({ 'max-drop': maxDrop, 'min-accuracy': minAccuracy, 'min-sqnr': minSqnr });
  return [
    ...targets.map((text) => `--target ${text}`),
    ...floors.flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag} ${value}`])),
  ];
}

/** Ends a search that has nothing left to show. */
class Met extends Error {}

interface Found {
  /** The first plan measured that meets the targets. */
  met: Point | null;
  /** Without one, that of the least drop within the ceilings. */
  best: Point | undefined;
}

async function meet(problem: Problem, strategy: Strategy): Promise<Found> {
  let met: Point | null = null;
  let best: Point | undefined;
  const evaluate = async (widths: Widths) => {
    const measurement = await problem.evaluate!(widths);
    const point = { cost: problem.cost.cost(widths), measurement };
    if (within(problem.ceilings, point.cost)) {
      if (!best || measurement.drop < best.measurement!.drop) best = point;
      if (holds(problem, measurement)) {
        met = point;
        throw new Met();
      }
    }
    return measurement;
  };
  try {
    await strategy({ ...problem, evaluate });
  } catch (error) {
    if (!(error instanceof Met)) throw error;
  }
  return { met, best };
}
