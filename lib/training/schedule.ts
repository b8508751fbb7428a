import { type MemoryPlan, planMemory } from '../engine/memory-plan.ts';
import { byteLength, type Slot } from '../engine/storage.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { aliveAfter } from '../graph/index.ts';
import type { TapeStep } from './tape.ts';

/** A place that a slot has from one step on. */
export interface Placement {
  slot: Slot;
  /** Bytes from the start of the arena. */
  offset: number;
}

/** The steps in the order that they run, and where everything lies meanwhile. */
export interface Schedule extends Pick<MemoryPlan, 'planned' | 'withoutReuse'> {
  steps: readonly TapeStep[];
  /** Steps of the forward half. */
  forward: number;
  /** By step: places that slots take before it runs. */
  placements: ReadonlyMap<number, readonly Placement[]>;
}

/** What a schedule is made of. */
export interface Emitted {
  forward: readonly TapeStep[];
  backward: readonly TapeStep[];
  /** Read or written between the halves by whoever runs them. */
  between: readonly Slot[];
  /** Written before the first step. */
  fed: readonly Slot[];
  /** Read behind the last step. */
  kept: readonly Slot[];
}

/** Per try, one of so many cuts is used. */
const STRIDES = [1, 2, 3, 4, 6, 8, 12, 16];

/**
 * All steps in order where that fits into `memory` bytes. Otherwise the network is cut where only one value is alive,
 * what lies between two cuts is forgotten after the forward half and made again when the backward half gets there (Chen
 * et al. 2016), by those cuts that need least memory: the same numbers for a third more work.
 */
export function schedule(
  emitted: Emitted,
  graph: Graph,
  nodes: readonly Node[],
  outputs: readonly string[],
  memory: number,
): Schedule {
  const whole = scheduled(emitted, () => 0);
  if (whole.planned <= memory) return whole;
  const cuts = cutsOf(graph, nodes, outputs);
  const tries = STRIDES.filter((stride) => stride <= cuts.length).map((stride) => {
    const used = cuts.filter((_, i) => i % stride === stride - 1);
    return scheduled(emitted, (node) => used.filter((cut) => cut < node).length);
  });
  return tries.reduce((least, other) => (other.planned < least.planned ? other : least), whole);
}

/** Positions of nodes behind which one value alone is alive. */
function cutsOf({ inputs }: Graph, nodes: readonly Node[], outputs: readonly string[]): number[] {
  const alive = aliveAfter(
    nodes,
    inputs.map(({ name }) => name),
    outputs,
  );
  return alive.flatMap((names, i) => (names.length === 1 && i < nodes.length - 1 ? [i] : []));
}

/** `segmentOf` a node's position, ascending; what the last segment made is still there when the backward half begins. */
function scheduled(emitted: Emitted, segmentOf: (node: number) => number): Schedule {
  const { forward, backward } = emitted;
  const last = segmentOf(Number.POSITIVE_INFINITY);
  const steps = [...forward];
  let segment = last;
  for (const step of backward) {
    for (; segment > segmentOf(step.position); segment--) {
      const again = segment - 1;
      steps.push(...forward.filter(({ position, once }) => !once && segmentOf(position) === again));
    }
    steps.push(step);
  }
  return { steps, forward: forward.length, ...placed(steps, emitted, segmentOf) };
}

interface Life {
  slot: Slot;
  byteLength: number;
  first: number;
  last: number;
}

function placed(
  steps: readonly TapeStep[],
  { forward, between, fed, kept }: Emitted,
  segmentOf: (node: number) => number,
): Pick<Schedule, 'placements' | 'planned' | 'withoutReuse'> {
  const last = segmentOf(Number.POSITIVE_INFINITY);
  const pinned = new Set([...between, ...fed, ...kept]);
  const uses = new Map<Slot, number[]>();
  const use = (slot: Slot, step: number) => {
    if (slot.borrowed) return;
    const known = uses.get(slot);
    if (known) known.push(step);
    else uses.set(slot, [step]);
  };
  for (const slot of fed) use(slot, 0);
  for (const [i, step] of steps.entries()) for (const slot of step.uses) use(slot, i);
  for (const slot of between) use(slot, forward.length);
  for (const slot of kept) use(slot, steps.length);
  /** Of a slot that lives inside one segment and is made again: its life ends with the forward half of that. */
  const forgotten = (slot: Slot, all: readonly number[]) => {
    if (pinned.has(slot)) return false;
    const before = all.filter((step) => step < forward.length);
    const segments = new Set(before.map((step) => segmentOf(steps[step].position)));
    return segments.size === 1 && !segments.has(last);
  };
  const lives = [...uses].flatMap(([slot, all]): Life[] => {
    const lifeOf = (own: readonly number[]): Life[] =>
      own.length === 0
        ? []
        : [{ slot, byteLength: byteLength(slot), first: Math.min(...own), last: Math.max(...own) }];
    if (!forgotten(slot, all)) return lifeOf(all);
    const isForward = (step: number) => step < forward.length;
    return [...lifeOf(all.filter(isForward)), ...lifeOf(all.filter((step) => !isForward(step)))];
  });
  const { offsets, planned, withoutReuse } = planMemory(lives);
  const placements = new Map<number, Placement[]>();
  lives.forEach(({ slot, first }, i) => {
    placements.set(first, [...(placements.get(first) ?? []), { slot, offset: offsets[i] }]);
  });
  return { placements, planned, withoutReuse };
}
