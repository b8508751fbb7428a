import {
  type Allocation,
  type Cost,
  holds,
  type Measurement,
  type Problem,
  type Strategy,
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
/** Suggestions that the search does not meet give way so many times before they are left out. */
const ATTEMPTS = 4;
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
  const least =
    verdict === 'resource-only' && reachable ? await confirmed(reachable, problem, ask, again) : null;
  let found: Confirmed[] = least ? [least] : [];
  for (const point of allocation.feasible) {
    if (found.length === SUGGESTIONS) break;
    const next = await confirmed(point, problem, ask, again);
    if (next === null || found.some((known) => asksNoMore(known, next))) continue;
    found = [...found.filter((known) => !asksNoMore(next, known)), next];
  }
  const { cost, measurement } = least ?? reachable ?? {};
  return {
    allocation: { ...allocation, reachable: cost ? { cost, measurement: measurement ?? null } : reachable },
    feasible: found.map(({ limits: _, ...suggestion }) => suggestion),
  };
}

interface Confirmed extends Feasible {
  /** Of the resources asked for and of the floor: the lower the tighter. */
  limits: readonly number[];
}

/** Whether nothing is gained by asking for `b` where `a` is met. */
function asksNoMore(a: Confirmed, b: Confirmed): boolean {
  return a.limits.every((limit, index) => limit <= b.limits[index]);
}

async function confirmed(start: Point, problem: Problem, ask: Ask, again: Again): Promise<Confirmed | null> {
  let [spends, loses]: (Point | undefined)[] = [start, start];
  for (let attempt = 0; attempt < ATTEMPTS && spends && loses; attempt++) {
    const targets = { targets: ceilingsOf(spends, problem), ...floorOf(loses, problem, ask) };
    const next = await again.problemOf(targets);
    const found = await meet(next, again.strategy);
    if (found === 'met') {
      const limits = [...next.ceilings.map(({ limit }) => limit), loosenessOf(targets)];
      return { ...loses, ask: flagsOf(targets), limits };
    }
    // What held the floor takes more where something else does; the others lose more.
    const held: Point | undefined = holds(problem, loses.measurement) ? found.reachable : undefined;
    [spends, loses] = held ? [held, held] : [spends, found.best];
  }
  return null;
}

/** The ceilings as they were asked for, as far as the point keeps them; what it costs where it does not. */
function ceilingsOf({ cost }: Point, { ceilings }: Problem): string[] {
  return ceilings.map((ceiling) => {
    const { resource, text } = ceiling;
    return within([ceiling], cost) ? text : (targetText(resource, cost[resource]) ?? text);
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
const MET = Symbol('met');

/** Whether a search meets its targets; otherwise what it found: the cheapest that holds the floor, the best within the ceilings. */
async function meet(
  problem: Problem,
  strategy: Strategy,
): Promise<'met' | { reachable: Point | undefined; best: Point | undefined }> {
  let best: Point | undefined;
  const evaluate = async (widths: Parameters<NonNullable<Problem['evaluate']>>[0]) => {
    const measurement = await problem.evaluate!(widths);
    const cost = problem.cost.cost(widths);
    if (within(problem.ceilings, cost)) {
      if (holds(problem, measurement)) throw MET;
      if (!best || measurement.drop < best.measurement!.drop) best = { cost, measurement };
    }
    return measurement;
  };
  try {
    const { verdict, reachable } = await strategy({ ...problem, evaluate });
    if (verdict === 'met') return 'met';
    return { reachable: verdict === 'resource-only' ? (reachable ?? undefined) : undefined, best };
  } catch (error) {
    if (error === MET) return 'met';
    throw error;
  }
}
