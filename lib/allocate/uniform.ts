import type { Strategy } from './allocate.ts';
import { atLeast } from './dials.ts';
import { conclude } from './outcome.ts';
import { createSearch, type Dial, type Plan, type Search } from './search.ts';
import { holds, within } from './targets.ts';

/**
 * One width for every layer that offers a choice; pinned layers keep theirs. With ceilings the widest plan that fits;
 * wider ones are measured only to tell what a missed floor would take. Otherwise every width is measured.
 */
export const uniform: Strategy = async (problem) => {
  const search = createSearch(problem);
  const plans = uniformPlans(search);
  const fitting = plans.filter((plan) => within(search.ceilings, search.cost(plan)));
  if (search.ceilings.length > 0) {
    const widest = fitting.at(-1)!;
    const candidate = await measure(search, widest);
    const wider = plans.slice(fitting.length);
    if (candidate && !holds(problem, candidate.measurement))
      for (const plan of wider) await measure(search, plan);
  } else {
    for (const plan of plans.reverse()) await measure(search, plan);
  }
  return conclude(search);
};

/**
 * By rising width: every width that some weights with a choice are offered, each dial at its nearest that is as wide, with
 * inputs at each width that they are offered.
 */
export function uniformPlans({ dials }: Search): Plan[] {
  const offered = (of: Dial['of']) => {
    const all = dials.filter((dial) => dial.of === of);
    const free = all.filter(({ bits }) => bits.length > 1);
    const list = (free.length > 0 ? free : all).flatMap(({ bits }) => bits);
    return [...new Set(list)].sort((a, b) => a - b);
  };
  const inputs = offered('activations');
  return offered('weights').flatMap((weights) =>
    inputs.map((activations) =>
      dials.map(({ of, bits }) => {
        const width = of === 'weights' ? weights : activations;
        return atLeast(bits, width);
      }),
    ),
  );
}

async function measure(search: Search, plan: Plan) {
  const candidate = await search.measure(plan);
  if (candidate) search.note('uniform', null, candidate, 'one width for all', true);
  return candidate;
}
