import type { Ceiling } from './allocate.ts';
import { integerProgram } from './integer-program.ts';
import { type Choice, COST_TOLERANCE, front, knapsack } from './knapsack.ts';
import { changeOf, type Part, type Row, rowsOf, sumOf } from './rows.ts';
import type { Scores } from './scores.ts';
import type { Dial, Plan, Search } from './search.ts';
import { within } from './targets.ts';

/** Neighbours offered: more than a search will ever measure. */
const NEIGHBOURS = 100;

/**
 * The plan of least score within the ceilings, exactly; null where no plan fits. One limit on a sum over dials is a
 * knapsack of our own, everything else an integer program.
 */
export async function bestPlan(
  search: Search,
  scores: Scores,
  ceilings: readonly Ceiling[],
): Promise<Plan | null> {
  const rows = rowsOf(ceilings, search.parts);
  if (rows.length === 0) return search.widest;
  const items = rows.length === 1 ? itemsOf(search, scores, rows[0]) : null;
  if (items === null) return integerProgram(search.dials, search.settings, scores, rows);
  const solution = knapsack(items, rows[0].limit);
  return solution && planOf(search, solution.picks);
}

/** The plans on the lower convex hull of (resource, score), cheapest first; null for a resource that is no sum over dials. */
export function frontPlans(search: Search, scores: Scores, resource: string): Plan[] | null {
  const parts = search.parts(resource);
  const items = parts.length === 1 ? itemsOf(search, scores, parts[0]) : null;
  return items && front(items).map(({ picks }) => planOf(search, picks));
}

function planOf({ dials }: Search, picks: readonly number[]): Plan {
  return picks.map((pick, dial) => dials[dial].bits[pick]);
}

/** Every dial's choices for a knapsack; null where the part depends on pairs of dials. */
function itemsOf(search: Search, scores: Scores, part: Part): Choice[][] | null {
  const { dials, settings, smallest } = search;
  const base = sumOf(part, settings, smallest) / dials.length;
  const items = dials.map((dial, index) =>
    dial.bits.map((bits, choice) => ({
      cost: base + changeOf(part, settings, dial, smallest, bits),
      loss: scores[index][choice],
    })),
  );
  const exact = settings.every(({ weights, activations }, layer) =>
    dials[weights].bits.every((w) =>
      dials[activations].bits.every((a) =>
        isSum(part, layer, [w, smallest[weights]], [a, smallest[activations]]),
      ),
    ),
  );
  return exact ? items : null;
}

function isSum(part: Part, layer: number, [w, w0]: [number, number], [a, a0]: [number, number]): boolean {
  if (w === w0 || a === a0) return true;
  const share = (weights: number, activations: number) => part.share(layer, { weights, activations });
  const rest = share(w, a) - share(w, a0) - share(w0, a) + share(w0, a0);
  return Math.abs(rest) <= COST_TOLERANCE * Math.abs(part.most);
}

/**
 * Plans a few widths away that keep the ceilings, least score first: one dial a width up or none, and as many others a
 * width down, up to two, as the ceilings ask for.
 */
export function neighbours(search: Search, scores: Scores, plan: Plan, ceilings: readonly Ceiling[]): Plan[] {
  const rows = rowsOf(ceilings, search.parts);
  const room = rows.map((row) => row.limit * (1 + COST_TOLERANCE) - sumOf(row, search.settings, plan));
  const fits = (shifts: readonly Shift[]) =>
    room.every((spare, index) => shifts.reduce((sum, { changes }) => sum + changes[index], 0) <= spare);
  const lower = shiftsOf(search, scores, plan, rows, -1);
  const found: { shifts: Shift[]; score: number }[] = [];
  const offer = (shifts: Shift[]): boolean => {
    if (!fits(shifts)) return false;
    found.push({ shifts, score: shifts.reduce((sum, move) => sum + move.score, 0) });
    return true;
  };
  const raise = shiftsOf(search, scores, plan, rows, 1);
  for (const raised of [[], ...raise.map((move) => [move])]) {
    if (raised.length > 0 && offer(raised)) continue;
    const others = lower.filter(({ dial }) => dial !== raised[0]?.dial);
    for (const first of others) {
      if (offer([...raised, first])) continue;
      for (const second of others) if (second.dial > first.dial) offer([...raised, first, second]);
    }
  }
  return found
    .sort((a, b) => a.score - b.score)
    .slice(0, NEIGHBOURS)
    .map(({ shifts }) => apply(plan, shifts))
    .filter((next) => within(ceilings, search.cost(next))); // pairs of dials may cost more than their sum
}

interface Shift {
  dial: number;
  bits: number;
  score: number;
  /** In each row. */
  changes: readonly number[];
}

/** Every dial one width up or down. */
function shiftsOf(search: Search, scores: Scores, plan: Plan, rows: readonly Row[], by: 1 | -1): Shift[] {
  return search.dials.flatMap((dial: Dial, index): Shift[] => {
    const from = dial.bits.indexOf(plan[index]);
    const bits = dial.bits[from + by];
    if (bits === undefined) return [];
    const score = scores[index][from + by] - scores[index][from];
    const changes = rows.map((row) => changeOf(row, search.settings, dial, plan, bits));
    return [{ dial: index, bits, score, changes }];
  });
}

function apply(plan: Plan, shifts: readonly Shift[]): Plan {
  const next = [...plan];
  for (const { dial, bits } of shifts) next[dial] = bits;
  return next;
}
