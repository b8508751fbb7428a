import type { Strategy } from './allocate.ts';
import { conclude } from './outcome.ts';
import { type Proposal, type Propose, pursue, type Source } from './pursuit.ts';
import { type Reading, type Scores, scoreOf, scoresOf } from './scores.ts';
import { createSearch, type Plan, type Search } from './search.ts';
import { bestPlan, neighbours } from './solver.ts';
import { corrected, strayOf } from './surrogate.ts';
import { within } from './targets.ts';
import { uniformPlans } from './uniform.ts';

/** In the order in which they are believed before anything was measured. */
const READINGS: readonly Reading[] = ['both', 'divergence', 'curvature'];

/**
 * Exact optima over measured sensitivities (divergence and curvature), corrected by evaluations as they come in.
 *
 * Every plan that is measured teaches the scores (surrogate.ts); the next plan is the exact optimum of the corrected
 * scores, or where that is known already, of one of the variants of `scoreVariants` or an exchange away.
 */
export const sensitivity: Strategy = async (problem) => {
  const search = createSearch(problem, 'both');
  await pursue(search, taughtPlans(search));
  return conclude(search);
};

/** Plans by the reading of the sensitivities that foretold best so far, taught by all that was measured. */
export function taughtPlans(search: Search): Propose {
  const { dials, layers } = search;
  const readings = READINGS.map((name) => ({ name, scores: scoresOf(layers, dials, name) }));
  return async (ceilings, best, sources) => {
    const interest = (best ?? search.candidates.at(-1))?.measurement?.divergence ?? 0;
    const ranked = readings
      .map((reading) => {
        const candidates = search.candidates.map((candidate) => ({
          ...candidate,
          score: scoreOf(dials, reading.scores, candidate.plan),
        }));
        return { ...reading, candidates, stray: strayOf(candidates, interest) };
      })
      .sort((a, b) => a.stray - b.stray)
      .map(({ name, scores, candidates }) => ({
        name,
        scores: corrected(dials, scores, candidates, interest),
      }));
    const isNew = (plan: Plan | null): plan is Plan => plan !== null && search.known(plan) === undefined;
    const optimumOf = async (list: readonly Variant[]): Promise<Proposal | null> => {
      for (const { name, scores } of list) {
        const plan = await bestPlan(search, scores, ceilings);
        if (isNew(plan)) return { plan, reason: `optimum by ${name}` };
      }
      return null;
    };
    const from: Record<Source, () => Promise<Proposal | null>> = {
      optimum: () => optimumOf(ranked.slice(0, 1)),
      variants: () => optimumOf([...ranked.slice(1), ...scoreVariants(search, ranked[0].scores)]),
      uniform: async () => {
        const plan = uniformPlans(search).findLast((own) => within(ceilings, search.cost(own)));
        return isNew(plan ?? null) ? { plan: plan!, reason: 'the widest uniform plan that fits' } : null;
      },
      near: async () => {
        const plan = best && neighbours(search, ranked[0].scores, best.plan, ceilings).find(isNew);
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

interface Variant {
  name: string;
  scores: Scores;
}

/**
 * The same scores bent. Single-layer scores overstate or understate large losses when losses are
 * compounded; a power above 1 spreads them over the dials, one below 1 gathers them in few.
 */
function scoreVariants({ dials }: Search, scores: Scores): Variant[] {
  const power = (exponent: number) => scores.map((losses) => losses.map((loss) => loss ** exponent));
  const narrowest = Math.min(...dials.filter(({ bits }) => bits.length > 1).map(({ bits }) => bits[0]));
  const total = scores.reduce((sum, losses) => sum + losses[0], 0);
  const careful = scores.map((losses, dial) =>
    losses.map((loss, index) =>
      dials[dial].bits.length > 1 && dials[dial].bits[index] === narrowest ? loss + total : loss,
    ),
  );
  return [
    { name: 'large losses weighing more', scores: power(1.4) },
    { name: 'narrowest width avoided', scores: careful },
    { name: 'large losses weighing less', scores: power(0.7) },
  ];
}
