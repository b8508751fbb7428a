import { align, type Lifetime, largestFirst, type MemoryPlan, planMemory } from '../../engine/memory-plan.ts';
import type { Operation, Place, Program } from './program.ts';

/** Of places in the arena and of outputs: a word, so that copies are quick. Nothing depends on it. */
export const C_ALIGNMENT = 4;

/** Orders that are tried. Most networks reach the least possible within a few. */
const ATTEMPTS = 64;

export interface Memory {
  /** Where a place of the arena begins. */
  offsets: ReadonlyMap<Place, number>;
  /** Where an operation may work, in the order of operations; -1 where it needs nothing. */
  scratch: readonly number[];
  /** Bytes of the arena. */
  arena: number;
}

/** The places that an operation reads or writes. */
function placesIn({ values }: Operation, places: ReadonlySet<Place>): Place[] {
  return (values as readonly unknown[]).filter((value): value is Place => places.has(value as Place));
}

/** Plans the arena as the engine does, with what each operation needs for itself and without `outside`. */
export function planArena(
  { operations, places }: Program,
  outside: ReadonlySet<Place>,
  scratchOf: (operation: Operation) => number,
): Memory {
  const lifetimes = new Map<Place | number, { byteLength: number; first: number; last: number }>();
  operations.forEach((operation, step) => {
    for (const place of placesIn(operation, places)) {
      if (outside.has(place)) continue;
      const lifetime = lifetimes.get(place);
      if (lifetime) lifetime.last = step;
      else lifetimes.set(place, { byteLength: place.byteLength, first: step, last: step });
    }
    const byteLength = scratchOf(operation);
    if (byteLength > 0) lifetimes.set(step, { byteLength, first: step, last: step });
  });
  const { offsets, planned } = smallestPlan([...lifetimes.values()]);
  const at = new Map([...lifetimes.keys()].map((key, i) => [key, offsets[i]]));
  return {
    offsets: new Map([...at].filter((entry): entry is [Place, number] => typeof entry[0] !== 'number')),
    scratch: operations.map((_, step) => at.get(step) ?? -1),
    arena: planned,
  };
}

/**
 * The engine's plan, and where that takes more than what is alive at once: the same with the buffers that lie highest
 * placed earlier, again and again; the best of all.
 */
function smallestPlan(lifetimes: readonly Lifetime[]): MemoryPlan {
  const size = ({ byteLength }: Lifetime) => align(byteLength, C_ALIGNMENT);
  const steps = lifetimes.reduce((most, { last }) => Math.max(most, last + 1), 0);
  const alive = new Float64Array(steps);
  for (const lifetime of lifetimes)
    for (let step = lifetime.first; step <= lifetime.last; step++) alive[step] += size(lifetime);
  const least = alive.reduce((most, bytes) => Math.max(most, bytes), 0);
  let order = largestFirst(lifetimes);
  let best = planMemory(lifetimes, C_ALIGNMENT, order);
  let plan = best;
  for (let attempt = 0; attempt < ATTEMPTS && best.planned > least; attempt++) {
    const { offsets, planned } = plan;
    const isHighest = (index: number) => offsets[index] + size(lifetimes[index]) === planned;
    order = [...order.filter(isHighest), ...order.filter((index) => !isHighest(index))];
    plan = planMemory(lifetimes, C_ALIGNMENT, order);
    if (plan.planned < best.planned) best = plan;
  }
  return best;
}
