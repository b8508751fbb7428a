import type { Ceiling } from './allocate.ts';
import { type Choice, COST_TOLERANCE, front, knapsack } from './knapsack.ts';
import type { Scores } from './scores.ts';
import type { Plan, Search } from './search.ts';
import { usageOf, within } from './targets.ts';

/** Rounds of price adjustment where several ceilings bind. */
const PRICE_ROUNDS = 40;
/** How fast a price follows the use of its resource. */
const PRICE_RATE = 4;
/** Neighbours offered: more than a search will ever measure. */
const NEIGHBOURS = 100;

/**
 * The plan of least score within the ceilings; null where no plan fits. Exact for one ceiling. For several: exact for
 * their priced sum, prices rising for what is overused; the best plan that fits all of them.
 */
export function bestPlan(search: Search, scores: Scores, ceilings: readonly Ceiling[]): Plan | null {
  if (ceilings.length === 0) return search.widest;
  if (ceilings.length === 1) return planWithin(search, scores, [ceilings[0]], [1]);
  let best: { plan: Plan; score: number } | null = null;
  const offer = (plan: Plan | null) => {
    if (plan === null || !within(ceilings, search.cost(plan))) return;
    const score = scored(search, scores, plan);
    if (best === null || score < best.score) best = { plan, score };
  };
  for (const ceiling of ceilings) offer(planWithin(search, scores, [ceiling], [1]));
  let prices = ceilings.map(() => 1 / ceilings.length);
  for (let round = 0; round < PRICE_ROUNDS; round++) {
    const plan = planWithin(search, scores, ceilings, prices);
    offer(plan);
    if (plan === null) break;
    const cost = search.cost(plan);
    const raised = prices.map((price, index) => price * usageOf(ceilings[index], cost) ** PRICE_RATE);
    const sum = raised.reduce((a, b) => a + b, 0);
    prices = raised.map((price) => price / sum);
  }
  if (best === null) offer(search.smallest);
  return (best as { plan: Plan } | null)?.plan ?? null;
}

/** The plans on the lower convex hull of (resource, score), cheapest first. */
export function frontPlans(search: Search, scores: Scores, resource: string): Plan[] {
  const items = search.layers.map(({ bits }, layer) =>
    bits.map(
      (width, index): Choice => ({
        cost: search.layerCost(layer, width, resource),
        loss: scores[layer][index],
      }),
    ),
  );
  return front(items).map(({ picks }) => picks.map((pick, layer) => search.layers[layer].bits[pick]));
}

/**
 * Plans a few widths away that keep the ceilings, least score first: one layer a width up or none, and as many others a
 * width down, up to two, as the ceilings ask for.
 */
export function neighbours(search: Search, scores: Scores, plan: Plan, ceilings: readonly Ceiling[]): Plan[] {
  const { layers } = search;
  const cost = search.cost(plan);
  const room = ceilings.map(({ resource, limit }) => limit * (1 + COST_TOLERANCE) - cost[resource]);
  const shift = (by: number) =>
    layers.map(({ bits }, layer): Shift | null => {
      const from = bits.indexOf(plan[layer]);
      const width = bits[from + by];
      if (width === undefined) return null;
      return {
        layer,
        width,
        score: scores[layer][from + by] - scores[layer][from],
        costs: ceilings.map(
          ({ resource }) =>
            search.layerCost(layer, width, resource) - search.layerCost(layer, plan[layer], resource),
        ),
      };
    });
  const fits = (shifts: readonly Shift[]) =>
    room.every((spare, index) => shifts.reduce((sum, { costs }) => sum + costs[index], 0) <= spare);
  const lower = shift(-1).filter((move) => move !== null);
  const found: { shifts: Shift[]; score: number }[] = [];
  const offer = (shifts: Shift[]): boolean => {
    if (!fits(shifts)) return false;
    found.push({ shifts, score: shifts.reduce((sum, move) => sum + move.score, 0) });
    return true;
  };
  const raise = shift(1).filter((move) => move !== null);
  for (const raised of [[], ...raise.map((move) => [move])]) {
    if (raised.length > 0 && offer(raised)) continue;
    const others = lower.filter(({ layer }) => layer !== raised[0]?.layer);
    for (const first of others) {
      if (offer([...raised, first])) continue;
      for (const second of others) if (second.layer > first.layer) offer([...raised, first, second]);
    }
  }
  return found
    .sort((a, b) => a.score - b.score)
    .slice(0, NEIGHBOURS)
    .map(({ shifts }) => apply(plan, shifts));
}

interface Shift {
  layer: number;
  width: number;
  score: number;
  /** Change in the resource of each ceiling. */
  costs: readonly number[];
}

function apply(plan: Plan, shifts: readonly Shift[]): Plan {
  const next = [...plan];
  for (const { layer, width } of shifts) next[layer] = width;
  return next;
}

export function scored(search: Search, scores: Scores, plan: Plan): number {
  return plan.reduce((sum, bits, layer) => sum + scores[layer][search.layers[layer].bits.indexOf(bits)], 0);
}

function planWithin(
  search: Search,
  scores: Scores,
  ceilings: readonly Ceiling[],
  prices: readonly number[],
): Plan | null {
  const price = (layer: number, width: number) =>
    ceilings.reduce((sum, { resource, limit }, index) => {
      const share = search.layerCost(layer, width, resource) / (ceilings.length === 1 ? 1 : limit);
      return sum + prices[index] * share;
    }, 0);
  const items = search.layers.map(({ bits }, layer) =>
    bits.map((width, index): Choice => ({ cost: price(layer, width), loss: scores[layer][index] })),
  );
  const solution = knapsack(items, ceilings.length === 1 ? ceilings[0].limit : 1);
  return solution?.picks.map((pick, layer) => search.layers[layer].bits[pick]) ?? null;
}
