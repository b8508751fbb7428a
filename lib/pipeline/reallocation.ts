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
const ROUNDS = 5;
/** Floors nearer than this to one that was tried, in points, would give the same widths again. */
const RESOLUTION = 0.05;

/**
 * The search goes by rounding alone, so what learning wins back stands as room above the floor. Where the floor is what
 * keeps the network large, the search is asked again with a floor that is lower by as much, then between the lowest that
 * the learned network held and the highest that it did not: the smallest that holds the floor is taken, or the best
 * where none does. `search` chooses widths at a floor for rounded networks; `cost` is what is to be least, null where
 * the best accuracy is asked for.
 */
export async function reallocate<T extends { allocation: Allocation }>(
  maxDrop: number | null,
  cost: ((allocation: Allocation) => number) | null,
  search: (maxDrop: number | null) => Promise<T>,
  learn: (allocation: Allocation) => Promise<{ finished: Finished; drop: number }>,
): Promise<LearnedAllocation<T>> {
  const round = async (floor: number | null): Promise<LearnedAllocation<T>> => {
    const answer = await search(floor);
    return { answer, ...(await learn(answer.allocation)) };
  };
  let best = await round(maxDrop);
  if (maxDrop === null || cost === null || best.drop > maxDrop) return best;
  let made = best;
  let [held, failed] = [maxDrop, Number.POSITIVE_INFINITY];
  for (let rounds = 1; rounds < ROUNDS; rounds++) {
    const rounded = made.answer.allocation.measurement?.drop;
    if (rounded === undefined) break;
    // What learning won here it should win there too.
    const floor = floorBetween(held, failed, maxDrop + (rounded - made.drop));
    if (floor === null) break;
    made = await round(floor);
    if (made.drop <= maxDrop) held = floor;
    else failed = floor;
    if (isBetter(made, best, maxDrop, cost)) best = made;
  }
  return best;
}

/** The guess, where it lies between; the middle otherwise. Null where there is nothing left between. */
function floorBetween(held: number, failed: number, guess: number): number | null {
  if (guess >= held + RESOLUTION && guess <= failed - RESOLUTION) return guess;
  const middle = (held + failed) / 2;
  return Number.isFinite(failed) && middle >= held + RESOLUTION ? middle : null;
}

function isBetter<T extends { allocation: Allocation }>(
  made: LearnedAllocation<T>,
  best: LearnedAllocation<T>,
  maxDrop: number,
  cost: (allocation: Allocation) => number,
): boolean {
  const [before, after] = [best, made].map(({ answer }) => cost(answer.allocation));
  return made.drop <= maxDrop && (after < before || (after === before && made.drop < best.drop));
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
