import type { Strategy } from './allocate.ts';
import { conclude } from './outcome.ts';
import { type Propose, pursue } from './pursuit.ts';
import { createSearch } from './search.ts';
import { bestPlan } from './solver.ts';

/**
 * HAWQ-V2 and V3 (Dong et al. 2020, Yao et al. 2021): the exact optimum of the sum of each layer's mean trace of the
 * curvature times the squared error of its weights. The scores stay what they are; evaluations only find the size.
 * Falls back to divergences where the curvature was not measured.
 */
export const hessian: Strategy = async (problem) => {
  const search = createSearch(problem, 'curvature');
  const optimum: Propose = async (ceilings) => {
    const plan = await bestPlan(search, search.scores, ceilings);
    return plan && search.known(plan) === undefined ? { plan, reason: 'optimum by curvature' } : null;
  };
  await pursue(search, optimum);
  return conclude(search);
};
