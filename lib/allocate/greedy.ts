import type { Strategy } from './allocate.ts';
import { conclude, smallestBy } from './outcome.ts';
import { refine, shifts } from './refinement.ts';
import { createSearch, type Plan, type Search } from './search.ts';
import { holds, within } from './targets.ts';

/** Share of the evaluations that bisection of the path may take. */
const BISECTION_SHARE = 0.5;

/**
 * The greedy descent of most toolkits: from the widest plan, one dial a width down at a time, always the one whose loss
 * rises least per unit saved. The path is bisected for the targets; single moves are then tried from there.
 */
export const greedy: Strategy = async (problem) => {
  const search = createSearch(problem);
  const path = pathOf(search);
  const fitting = path.findIndex((plan) => within(problem.ceilings, search.cost(plan)));
  const last = path.length - 1;
  if (problem.maxDrop !== null && problem.evaluate) await bisect(search, path);
  else await measure(search, path[fitting < 0 ? last : fitting]);
  if (problem.ceilings.length > 0 && fitting >= 0 && problem.maxDrop !== null)
    await measure(search, path[fitting]);
  const kept = search.candidates.filter((candidate) => within(search.ceilings, candidate.cost));
  const held = kept.filter(({ measurement }) => holds(problem, measurement));
  const start =
    search.ceilings.length > 0
      ? smallestBy(kept, search.loss)
      : smallestBy(held, ({ cost }) => cost[problem.goal]);
  if (start && problem.evaluate) await refine(search, start);
  return conclude(search);
};

/** From the widest plan to the smallest. */
function pathOf(search: Search): Plan[] {
  const path: Plan[] = [search.widest];
  for (let plan = search.widest; ; path.push(plan)) {
    const [cheapest] = shifts(search, plan, -1);
    if (cheapest === undefined) return path;
    plan = plan.with(cheapest.dial, cheapest.to);
  }
}

/** The last plan of the path that holds the floor, as far as losses rise along it. */
async function bisect(search: Search, path: readonly Plan[]): Promise<void> {
  const reserve = Math.floor(search.left() * (1 - BISECTION_SHARE));
  let [held, missed] = [-1, path.length];
  while (missed - held > 1 && search.left() > reserve) {
    const middle = (held + missed) >> 1;
    const candidate = await measure(search, path[middle]);
    if (candidate === null) return;
    if (holds(search.problem, candidate.measurement)) held = middle;
    else missed = middle;
  }
}

async function measure(search: Search, plan: Plan) {
  const candidate = await search.measure(plan);
  if (candidate) search.note('path', null, candidate, 'smallest rise in divergence per unit saved', true);
  return candidate;
}
