import type { Allocation } from '../allocate/allocate.ts';
import type { Finished } from './search.ts';

/** An allocation with what learning made of it. */
export interface LearnedAllocation<T> {
  answer: T;
  finished: Finished;
  /** On validation, after learning. */
  drop: number;
}

/** Searches at most: each but the first costs learning once more. */
const ROUNDS = 3;
/** Floors nearer than this to one that was tried, in points, would give the same widths again. */
const RESOLUTION = 0.05;

/**
 * The search goes by rounding alone, so what learning wins back stands as room above the floor. Where the floor is what
 * keeps the network large, the search is asked again with a floor that is lower by as much, until the learned network
 * uses the room up: the smallest that holds the floor is taken, or the best where none does. `search` chooses widths at
 * a floor for rounded networks; `cost` is what is to be least, null where the best accuracy is asked for.
 */
export async function reallocate<T extends { allocation: Allocation }>(
  maxDrop: number | null,
  cost: ((allocation: Allocation) => number) | null,
  search: (maxDrop: number | null) => Promise<T>,
  learn: (allocation: Allocation) => Promise<{ finished: Finished; drop: number }>,
): Promise<LearnedAllocation<T>> {
  const tried: number[] = [];
  let best: LearnedAllocation<T> | null = null;
  let floor = maxDrop;
  for (let round = 0; round < ROUNDS; round++) {
    const answer = await search(floor);
    const made = { answer, ...(await learn(answer.allocation)) };
    if (best === null || isBetter(made, best, maxDrop, cost)) best = made;
    if (maxDrop === null || floor === null || cost === null) break;
    tried.push(floor);
    const rounded = answer.allocation.measurement?.drop;
    if (rounded === undefined) break;
    // What learning won here it should win there too.
    const next: number = maxDrop + (rounded - made.drop);
    if (tried.some((known) => Math.abs(known - next) < RESOLUTION)) break;
    floor = next;
  }
  return best!;
}

function isBetter<T extends { allocation: Allocation }>(
  made: LearnedAllocation<T>,
  best: LearnedAllocation<T>,
  maxDrop: number | null,
  cost: ((allocation: Allocation) => number) | null,
): boolean {
  const holds = ({ drop }: LearnedAllocation<T>) => maxDrop === null || drop <= maxDrop;
  if (holds(made) !== holds(best)) return holds(made);
  if (!holds(made) || cost === null) return made.drop < best.drop;
  return cost(made.answer.allocation) < cost(best.answer.allocation);
}

/** The allocation as learning left it: its verdict is about the learned network. */
export function afterLearning(
  allocation: Allocation,
  { learned }: Finished,
  drop: number,
  measurement: Allocation['measurement'],
  maxDrop: number | null,
): Allocation {
  if (!learned?.kept) return allocation;
  const step = {
    phase: 'learning',
    moves: [],
    reason: `what was learned took the drop from ${learned.before.toFixed(2)} to ${learned.after.toFixed(2)} points`,
    cost: allocation.cost,
    measurement,
    kept: true,
  };
  const trace = [...allocation.trace, step];
  const holds = maxDrop === null || drop <= maxDrop;
  const within = allocation.verdict === 'met' || allocation.verdict === 'resource-only';
  if (within && holds)
    return { ...allocation, measurement, trace, verdict: 'met', binding: [], reachable: null, feasible: [] };
  if (allocation.verdict === 'met' && !holds)
    return { ...allocation, measurement, trace, verdict: 'resource-only' };
  return { ...allocation, measurement, trace };
}
