import { hash } from '../data/split.ts';
import type { Strategy } from './allocate.ts';
import { conclude } from './outcome.ts';
import { type Propose, pursue } from './pursuit.ts';
import { createSearch, type Plan, type Search } from './search.ts';
import { within } from './targets.ts';

/** Draws that may all be known or too large before a size is given up. */
const DRAWS = 200;
/** 2^32: range of the hash. */
const RANGE = 4294967296;

/** Plans drawn at random that just fit the ceilings: what a search must beat to have found anything. */
export const random: Strategy = async (problem) => {
  const search = createSearch(problem);
  let counter = 0;
  const next = (below: number) => Math.floor((hash(problem.seed, counter++) / RANGE) * below);
  const propose: Propose = async (ceilings) => {
    for (let draw = 0; draw < DRAWS; draw++) {
      const plan = fitted(search, ceilings, next);
      if (plan && search.known(plan) === undefined) return { plan, reason: 'drawn at random' };
    }
    return null;
  };
  await pursue(search, propose);
  return conclude(search);
};

/** Random widths, then random dials a width down until the ceilings hold, or up while they still do. */
function fitted(
  search: Search,
  ceilings: Parameters<Propose>[0],
  next: (below: number) => number,
): Plan | null {
  const { dials } = search;
  let plan: Plan = dials.map(({ bits }) => bits[next(bits.length)]);
  const fits = (candidate: Plan) => within(ceilings, search.cost(candidate));
  const shift = (by: 1 | -1) => {
    const movable = dials.flatMap(({ bits }, dial) =>
      bits[bits.indexOf(plan[dial]) + by] === undefined ? [] : [dial],
    );
    if (movable.length === 0) return null;
    const dial = movable[next(movable.length)];
    const { bits } = dials[dial];
    return plan.with(dial, bits[bits.indexOf(plan[dial]) + by]);
  };
  while (!fits(plan)) {
    const lower = shift(-1);
    if (lower === null) return null;
    plan = lower;
  }
  for (let misses = 0; misses < dials.length; ) {
    const higher = shift(1);
    if (higher === null) break;
    if (fits(higher)) plan = higher;
    else misses++;
  }
  return plan;
}
