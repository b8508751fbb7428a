import type { Ceiling, Cost, Measurement, Problem } from './allocate.ts';
import { COST_TOLERANCE } from './knapsack.ts';

/** Floors are differences of percentages: a floor met exactly must not be missed by a last bit. */
const DROP_TOLERANCE = 1e-9;

/** The largest ratio of a cost to its ceiling: at most 1 where all ceilings hold, 0 without ceilings. */
export function usage(ceilings: readonly Ceiling[], cost: Cost): number {
  return ceilings.reduce((most, ceiling) => Math.max(most, usageOf(ceiling, cost)), 0);
}

export function usageOf({ resource, limit }: Ceiling, cost: Cost): number {
  return limit > 0 ? cost[resource] / limit : cost[resource] > limit ? Number.POSITIVE_INFINITY : 1;
}

export function within(ceilings: readonly Ceiling[], cost: Cost): boolean {
  return usage(ceilings, cost) <= 1 + COST_TOLERANCE;
}

/** Whether the floor holds; true without a floor, and where nothing can be measured. */
export function holds({ maxDrop }: Pick<Problem, 'maxDrop'>, measurement: Measurement | null): boolean {
  return maxDrop === null || measurement === null || measurement.drop <= maxDrop + DROP_TOLERANCE;
}

/** The resource to be thrifty with: that of the tightest ceiling at this cost, else weight bytes. */
export function bindingResource(ceilings: readonly Ceiling[], cost: Cost): string {
  let [binding, most] = ['weightBytes', Number.NEGATIVE_INFINITY];
  for (const ceiling of ceilings) {
    const share = usageOf(ceiling, cost);
    if (share > most) [binding, most] = [ceiling.resource, share];
  }
  return binding;
}
