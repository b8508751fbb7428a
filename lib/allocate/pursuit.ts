import type { Ceiling, Cost } from './allocate.ts';
import { figure } from './figures.ts';
import { smallestBy } from './outcome.ts';
import type { Candidate, Plan, Search } from './search.ts';
import { frontPlans } from './solver.ts';
import { holds, usage, within } from './targets.ts';

/** Points of the front that are measured where its knee is asked for. */
const KNEE_POINTS = 10;
/** Narrowing of the bracket around the smallest size ends at this share of it. */
const BRACKET = 0.015;
/** The next size stays this far from both ends, as a share of the bracket's logarithm. */
const INSIDE = 0.15;
/** Losses are compared by their logarithm; percentage points below which they are all the same. */
const LEAST_LOSS = 0.05;
/** Plans that cost at most so much more than what is sought are near it. */
const NEAR = 0.06;
/** The step below the smallest size that holds, as a share of it: where it starts, its most and its least. */
const STEP = { first: 0.02, most: 0.04, least: 0.001 } as const;
/** The step after a plan that held, and after one size where none did. */
const STEP_CHANGE = { held: 1.5, missed: 0.5 } as const;
/** Sizes in a row at which no plan held before the smallest that did is taken: all steps three times. */
const IDLE_SIZES = 18;
/** Plans tried at one size where measured drops alone, not what they lead to expect, miss the floor. */
const TRIES = 4;
/** Plans tried at one size in any case. */
const LEAST_TRIES = { bracket: 1, press: 2 } as const;
/** Measurements in a row that did not help before refinement within ceilings ends. */
const PATIENCE = 16;
/** Share of the evaluations that ceilings with a floor may spend before the size that the floor asks for is sought. */
const CEILING_SHARE = 0.7;

/** Where ceilings are below what the smallest widths take: so many times that is tried too. */
const ABOVE_SMALLEST = [1, 1.1, 1.25];

/** Where plans come from: the optimum, other readings of the same scores, one width for all, a few widths away from the best. */
export type Source = 'optimum' | 'variants' | 'uniform' | 'near';
/** Within ceilings: the second plan is the uniform one, which a search should at least match. */
const FIRST: readonly Source[] = ['optimum', 'variants', 'near'];
const NEXT: readonly Source[] = ['uniform', 'optimum', 'variants', 'near'];
/** Sources of the tries at one size, each with those that stand in for it. */
const BRACKET_TURNS: readonly (readonly Source[])[] = [
  ['optimum', 'near'],
  ['near', 'variants'],
  ['variants', 'near'],
  ['near', 'variants'],
];
const PRESS_TURNS: readonly (readonly Source[])[] = [
  ['near', 'optimum'],
  ['optimum', 'near'],
  ['variants', 'near'],
  ['near', 'variants'],
];

export interface Proposal {
  plan: Plan;
  reason: string;
}

/**
 * The most promising plan within the ceilings that has not been measured, from the first of the sources that has one;
 * null where none has.
 */
export type Propose = (
  ceilings: readonly Ceiling[],
  best: Candidate | null,
  sources: readonly Source[],
) => Promise<Proposal | null>;

/** Spends the evaluations on what the targets ask for, with plans from `propose`. */
export async function pursue(search: Search, propose: Propose): Promise<void> {
  const { problem, ceilings } = search;
  const unreachable = problem.ceilings.length > ceilings.length;
  if (unreachable && problem.maxDrop === null) await aboveSmallest(search, propose);
  else if (unreachable) await accurateWithin({ ...search, ceilings: raised(search, 1) }, propose);
  else if (ceilings.length > 0) await accurateWithin(search, propose);
  else if (problem.maxDrop !== null) await smallestAbove(search, propose, least(problem.goal));
  else await alongFront(search);
}

/** Where no plan keeps the ceilings: the smallest widths, and what little more than they take would be good for. */
async function aboveSmallest(search: Search, propose: Propose): Promise<void> {
  await measure(search, search.smallest, 'smallest', 'no plan keeps the ceilings');
  for (const factor of ABOVE_SMALLEST) {
    const next = await propose(raised(search, factor), null, ['optimum']);
    if (next) await measure(search, next.plan, 'smallest', `${next.reason} within ${figure(factor)} of that`);
  }
}

/** The ceilings, none below so many times what the smallest widths take. */
function raised({ problem, cost, smallest }: Search, factor: number): Ceiling[] {
  const minimum = cost(smallest);
  return problem.ceilings.map((ceiling) => ({
    ...ceiling,
    limit: Math.max(ceiling.limit, factor * minimum[ceiling.resource]),
  }));
}

/** The least loss within the ceilings; where that misses the floor, also the least of the tightest that would hold it. */
async function accurateWithin(search: Search, propose: Propose): Promise<void> {
  const { problem, ceilings } = search;
  const floor = problem.maxDrop !== null;
  const reserve = floor && problem.evaluate ? Math.floor(search.left() * (1 - CEILING_SHARE)) : 0;
  let best: Candidate | null = null;
  let idle = 0;
  while (search.left() > reserve && idle < PATIENCE) {
    const next = await propose(ceilings, best, best === null ? FIRST : NEXT);
    if (next === null) break;
    const candidate = await search.measure(next.plan);
    if (candidate === null) break;
    const gained = best === null || search.loss(candidate) < search.loss(best);
    search.note('ceilings', best?.plan ?? null, candidate, next.reason, gained);
    idle = gained ? 0 : idle + 1;
    if (gained) best = candidate;
    if (!problem.evaluate) return;
  }
  if (floor && !search.candidates.some((candidate) => keeps(search, candidate)))
    await smallestAbove(search, propose, aimOf(ceilings));
}

/** What is to be as little as the floor allows. */
interface Aim {
  of(cost: Cost): number;
  /** What keeps it at most so much. */
  ceilings(limit: number): Ceiling[];
  text(limit: number): string;
}

/** As little as can be of one resource. */
function least(resource: string): Aim {
  const text = (limit: number) => `${figure(limit)} ${resource}`;
  return {
    of: (cost) => cost[resource],
    ceilings: (limit) => [{ resource, limit, text: `${resource}=${limit}` }],
    text,
  };
}

/** Ceilings passed by as little as can be, all by the same share. */
function aimOf(ceilings: readonly Ceiling[]): Aim {
  if (ceilings.length === 1) return least(ceilings[0].resource);
  return {
    of: (cost) => usage(ceilings, cost),
    ceilings: (share) => ceilings.map((ceiling) => ({ ...ceiling, limit: share * ceiling.limit })),
    text: (share) => `${figure(100 * share)} % of the ceilings`,
  };
}

/** The least of the aim above the floor: a bracket is narrowed, then the smallest that holds is pressed further. */
async function smallestAbove(search: Search, propose: Propose, aim: Aim): Promise<void> {
  let low: Bound = { cost: aim.of(search.cost(search.smallest)), loss: null };
  let high: Bound = { cost: aim.of(search.cost(search.widest)), loss: null };
  for (const candidate of search.candidates) {
    const bound = boundOf(search, candidate, aim.of(candidate.cost));
    if (!holds(search.problem, candidate.measurement) && bound.cost > low.cost) low = bound;
  }
  while (search.left() > 1 && high.cost - low.cost > BRACKET * high.cost) {
    const limit = between(low, high, search.problem.maxDrop!);
    const { held, last } = await attempt(search, propose, aim, limit, 'bracket');
    if (held) high = boundOf(search, held, Math.min(limit, aim.of(held.cost)));
    else low = last ? boundOf(search, last, limit) : { cost: limit, loss: null };
  }
  if (smallestHeld(search, aim) === undefined) {
    await measure(search, search.widest, 'bracket', 'nothing smaller holds the floor');
    return;
  }
  let step: number = STEP.first;
  for (let idle = 0; idle < IDLE_SIZES && search.left() > 0; ) {
    const limit = aim.of(smallestHeld(search, aim)!.cost) * (1 - step);
    const { held } = await attempt(search, propose, aim, limit, 'press');
    idle = held ? 0 : idle + 1;
    step = held ? Math.min(STEP.most, step * STEP_CHANGE.held) : step * STEP_CHANGE.missed;
    if (step < STEP.least) step = STEP.first;
  }
}

/** One end of the bracket; its loss where it has been measured. */
interface Bound {
  cost: number;
  loss: number | null;
}

function boundOf(search: Search, candidate: Candidate, cost: number): Bound {
  return { cost, loss: search.loss(candidate) };
}

/** The size at which the loss should pass the floor, were its logarithm a straight line over that of the size. */
function between(low: Bound, high: Bound, floor: number): number {
  const width = Math.log(high.cost / low.cost);
  let share = 0.5;
  if (low.loss !== null && high.loss !== null) {
    const [a, b, wanted] = [low.loss, high.loss, floor].map((loss) => Math.log(Math.max(loss, LEAST_LOSS)));
    if (a > b) share = (a - wanted) / (a - b);
  }
  return low.cost * Math.exp(width * Math.min(1 - INSIDE, Math.max(INSIDE, share)));
}

function smallestHeld(search: Search, aim: Aim): Candidate | undefined {
  const held = search.candidates.filter(({ measurement }) => holds(search.problem, measurement));
  return smallestBy(held, ({ cost }) => aim.of(cost));
}

/**
 * The plan that differs least in what it costs from what is sought, and loses least: near it something as good should
 * be found.
 */
function baseAt(search: Search, aim: Aim, limit: number): Candidate | null {
  const near = search.candidates.filter(({ cost }) => aim.of(cost) <= limit * (1 + NEAR));
  return smallestBy(near, search.loss) ?? smallestHeld(search, aim) ?? null;
}

/**
 * Measures plans of at most `limit` until one holds the floor or none can be expected to; also the last one
 * measured. Optima take turns with plans near the smallest that holds: what differs little from it is likely to hold.
 */
async function attempt(
  search: Search,
  propose: Propose,
  aim: Aim,
  limit: number,
  phase: keyof typeof LEAST_TRIES,
): Promise<{ held: Candidate | null; last: Candidate | null }> {
  const { problem } = search;
  let last: Candidate | null = null;
  const ceilings = aim.ceilings(limit);
  const base = baseAt(search, aim, limit);
  const turns = phase === 'press' ? PRESS_TURNS : BRACKET_TURNS;
  for (let count = 0; count < TRIES && search.left() > 0; count++) {
    const hopeless = last !== null && search.loss(last) > problem.maxDrop!;
    if (hopeless && count >= LEAST_TRIES[phase]) break;
    const next = await propose(ceilings, base, turns[count]);
    const candidate = next && (await search.measure(next.plan));
    if (!candidate) break;
    last = candidate;
    const held = holds(problem, candidate.measurement);
    search.note(phase, base?.plan ?? null, candidate, `${next.reason} within ${aim.text(limit)}`, held);
    if (held) return { held: candidate, last };
  }
  return { held: null, last };
}

/** Points spread over the front from the least size to the widest plan. */
async function alongFront(search: Search): Promise<void> {
  const plans = frontPlans(search, search.scores, 'weightBytes')!;
  const count = Math.min(KNEE_POINTS, plans.length, search.left());
  const bytes = plans.map((plan) => search.cost(plan)['weightBytes']);
  for (let point = 0; point < count; point++) {
    // Even steps in the logarithm of the size: the bend lies among the small ones.
    const wanted = bytes[0] * (bytes.at(-1)! / bytes[0]) ** (count === 1 ? 0.5 : point / (count - 1));
    const nearest = smallestBy(plans, (plan) => Math.abs(search.cost(plan)['weightBytes'] - wanted))!;
    await measure(search, nearest, 'front', 'a point of the front');
  }
}

async function measure(search: Search, plan: Plan, phase: string, reason: string): Promise<void> {
  const candidate = await search.measure(plan);
  if (candidate) search.note(phase, null, candidate, reason, true);
}

function keeps(search: Search, { cost, measurement }: Candidate): boolean {
  return within(search.ceilings, cost) && holds(search.problem, measurement);
}
