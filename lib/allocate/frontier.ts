import { refuse } from '../errors.ts';
import type { Cost, Measurement, Problem, Widths } from './allocate.ts';
import { smallestBy } from './outcome.ts';
import type { Source } from './pursuit.ts';
import { type Candidate, createSearch, type Search, widthsOf } from './search.ts';
import { taughtPlans } from './sensitivity.ts';
import { within } from './targets.ts';

/** Where the second and later plans at a budget come from. */
const SECOND: readonly Source[] = ['near', 'variants'];

export interface FrontierOptions {
  /** What accuracy is traded against. */
  resource: string;
  /** Budgets at which a plan is sought, evenly in the logarithm of the resource. */
  points: number;
}

/** One network that was measured. */
export interface FrontierPoint {
  widths: Widths;
  cost: Cost;
  measurement: Measurement | null;
  /** Whether nothing that was measured is as good for less; the others were tried and are dominated. */
  onFront: boolean;
  /** The budget that it was sought for. */
  budget: number;
}

/**
 * The Pareto front of accuracy against a resource, by rising cost: for every budget the exact optimum of the sensitivities
 * as corrected by everything measured so far, each measured for real; what evaluations are left go to budgets whose
 * plan is dominated. Other ceilings of the problem hold everywhere. Throws as createSearch, and INVALID_ARGUMENT for a
 * resource that is not costed.
 */
export async function frontier(
  problem: Problem,
  { resource, points }: FrontierOptions,
): Promise<FrontierPoint[]> {
  const search = createSearch(problem, 'both');
  const [least, most] = [search.cost(search.smallest)[resource], search.cost(search.widest)[resource]];
  if (typeof least !== 'number')
    refuse(`one of ${Object.keys(search.cost(search.smallest)).join(', ')}`, 'resource', resource);
  const budgets = budgetsBetween(least, most, points);
  const sought = new Map<Candidate, number>();
  const propose = taughtPlans(search);
  const seek = async (budget: number, sources: readonly Source[]): Promise<boolean> => {
    const ceilings = [...search.ceilings, { resource, limit: budget, text: `${resource}=${budget}` }];
    const best = bestWithin(search, resource, budget);
    const next = await propose(ceilings, best, sources);
    const candidate = next && (await search.measure(next.plan));
    if (!candidate) return false;
    if (!sought.has(candidate)) sought.set(candidate, budget);
    return true;
  };
  // The widest first: from there on every measurement teaches the scores where the front is still flat.
  for (const budget of budgets.toReversed()) await seek(budget, ['optimum']);
  for (let gained = true; gained && search.left() > 0; ) {
    gained = false;
    for (const budget of dominated(search, resource, budgets))
      if (search.left() > 0 && (await seek(budget, SECOND))) gained = true;
  }
  return described(search, resource, sought);
}

function budgetsBetween(least: number, most: number, points: number): number[] {
  if (!(points >= 1)) refuse('at least one point', 'points', points);
  if (points === 1 || !(most > least)) return [least];
  const ratio = least > 0 ? most / least : 0;
  return Array.from({ length: points }, (_, point) => {
    const share = point / (points - 1);
    if (point === points - 1) return most;
    return ratio > 0 ? least * ratio ** share : most * share;
  });
}

function bestWithin(search: Search, resource: string, budget: number): Candidate | null {
  const fitting = search.candidates.filter(
    ({ cost }) => cost[resource] <= budget && within(search.ceilings, cost),
  );
  return smallestBy(fitting, search.loss) ?? null;
}

/** Budgets at which what was found loses no less than what a smaller one found. */
function dominated(search: Search, resource: string, budgets: readonly number[]): number[] {
  let least = Number.POSITIVE_INFINITY;
  return budgets.filter((budget) => {
    const best = bestWithin(search, resource, budget);
    const loss = best ? search.loss(best) : Number.POSITIVE_INFINITY;
    const better = loss < least;
    least = Math.min(least, loss);
    return !better;
  });
}

function described(
  search: Search,
  resource: string,
  sought: ReadonlyMap<Candidate, number>,
): FrontierPoint[] {
  const { layers, settings, candidates } = search;
  const loss = ({ measurement, score }: Candidate) => measurement?.drop ?? score;
  const divergence = ({ measurement }: Candidate) => measurement?.divergence ?? 0;
  const sorted = [...candidates].sort(
    (a, b) => a.cost[resource] - b.cost[resource] || loss(a) - loss(b) || divergence(a) - divergence(b),
  );
  let least = Number.POSITIVE_INFINITY;
  return sorted.map((candidate) => {
    const onFront = loss(candidate) < least;
    least = Math.min(least, loss(candidate));
    return {
      widths: widthsOf(layers, settings, candidate.plan),
      cost: candidate.cost,
      measurement: candidate.measurement,
      onFront,
      budget: sought.get(candidate) ?? candidate.cost[resource],
    };
  });
}
