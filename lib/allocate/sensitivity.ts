import type { Strategy } from './allocate.ts';
import { conclude } from './outcome.ts';
import { type Proposal, type Propose, pursue, type Source } from './pursuit.ts';
import type { Scores } from './scores.ts';
import { createSearch, type Plan, type Search } from './search.ts';
import { bestPlan, neighbours } from './solver.ts';
import { corrected } from './surrogate.ts';

/**
 * Exact optima over measured sensitivities, corrected by real evaluations as they come in.
 *
 * Every plan that is measured teaches the scores (surrogate.ts); the next plan is the exact optimum of the corrected
 * scores, or where that is known already, of one of the variants of `scoreVariants` or an exchange away.
 */
export const sensitivity: Strategy = async (problem) => {
  const search = createSearch(problem);
  await pursue(search, taughtPlans(search));
  return conclude(search);
};

export function taughtPlans(search: Search): Propose {
  return async (ceilings, best, sources) => {
    const { dials, candidates, scores } = search;
    const interest = (best ?? candidates.at(-1))?.measurement?.divergence ?? 0;
    const taught = corrected(dials, scores, candidates, interest);
    const isNew = (plan: Plan | null): plan is Plan => plan !== null && search.known(plan) === undefined;
    const optimumOf = async (variant: { name: string; scores: Scores }) => {
      const plan = await bestPlan(search, variant.scores, ceilings);
      return isNew(plan) ? { plan, reason: `optimum by ${variant.name}` } : null;
    };
    const from: Record<Source, () => Promise<Proposal | null>> = {
      optimum: () => optimumOf({ name: 'knapsack', scores: taught }),
      variants: async () => {
        for (const variant of scoreVariants(search, taught)) {
          const found = await optimumOf(variant);
          if (found) return found;
        }
        return null;
      },
      near: async () => {
        const plan = best && neighbours(search, taught, best.plan, ceilings).find(isNew);
        return plan ? { plan, reason: 'a few widths away' } : null;
      },
    };
    for (const source of sources) {
      const found = await from[source]();
      if (found) return found;
    }
    return null;
  };
}

/**
 * Other readings of the same sensitivities. Single-layer scores overstate or understate large losses when losses are
 * compounded; a power above 1 spreads them over the dials, one below 1 gathers them in few.
 */
function scoreVariants({ dials }: Search, scores: Scores): { name: string; scores: Scores }[] {
  const power = (exponent: number) => scores.map((losses) => losses.map((loss) => loss ** exponent));
  const narrowest = Math.min(...dials.filter(({ bits }) => bits.length > 1).map(({ bits }) => bits[0]));
  const total = scores.reduce((sum, losses) => sum + losses[0], 0);
  const careful = scores.map((losses, dial) =>
    losses.map((loss, index) =>
      dials[dial].bits.length > 1 && dials[dial].bits[index] === narrowest ? loss + total : loss,
    ),
  );
  return [
    { name: 'knapsack, large losses weighing more', scores: power(1.4) },
    { name: 'knapsack, narrowest width avoided', scores: careful },
    { name: 'knapsack, large losses weighing less', scores: power(0.7) },
  ];
}
