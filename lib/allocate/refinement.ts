import type { Candidate, Plan, Search } from './search.ts';
import { bindingResource, holds, usage, within } from './targets.ts';

/** Rolled-back steps in a row after which refinement ends, where no target is missed. */
const PATIENCE = 8;
/** Share of the dials that move in one step while a target is missed, or kept, by a whole buffer or more. */
const BOLD_SHARE = 0.25;

/** What the present plan asks for. `save` and `improve` are ours: the targets hold, the goal can still be served. */
type Need = 'lower' | 'raise' | 'save' | 'improve';

export interface Move {
  dial: number;
  to: number;
  /** Divergence won or lost per unit of the binding resource. */
  rate: number;
}

/**
 * Phase 2: refinement by divergence. A short accuracy raises the dials with the largest fall in divergence per unit of
 * the binding resource, a resource that is over lowers those with the smallest rise per unit saved; several layers a step
 * while far away, one when near. A step that did not help is rolled back and not tried again until another one was kept.
 * Leaves `reserve` evaluations unspent.
 */
export async function refine(search: Search, start: Candidate, reserve = 0): Promise<void> {
  let current = start;
  let cap = Number.POSITIVE_INFINITY;
  let idle = 0;
  const banned = new Set<string>();
  while (search.left() > reserve && idle < PATIENCE) {
    const need = needOf(search, current);
    if (need === null) return;
    const moves = movesFor(search, current, need, banned).slice(
      0,
      Math.min(cap, count(search, current, need)),
    );
    if (moves.length === 0) return;
    const plan = applied(search, current.plan, moves, need);
    const next = plan && (search.known(plan) ? null : await search.measure(plan));
    const kept = next !== null && helps(search, current, next, need);
    if (next) search.note('refinement', current.plan, next, reasonOf(need), kept);
    if (next && kept) {
      current = next;
      banned.clear();
      cap = Math.min(cap * 2, search.dials.length);
      idle = 0;
    } else if (moves.length > 1) {
      cap = moves.length >> 1;
    } else {
      banned.add(keyOf(moves[0]));
      if (next) idle++;
    }
  }
}

function needOf(search: Search, { cost, measurement }: Candidate): Need | null {
  const { problem, ceilings } = search;
  if (!within(ceilings, cost)) return 'lower';
  if (!holds(problem, measurement)) return 'raise';
  if (ceilings.length > 0) return problem.maxDrop === null ? 'improve' : null;
  return problem.maxDrop !== null && problem.evaluate ? 'save' : null;
}

function movesFor(search: Search, current: Candidate, need: Need, banned: ReadonlySet<string>): Move[] {
  const { ceilings } = search;
  const down = need === 'lower' || need === 'save';
  const moves = shifts(search, current.plan, down ? -1 : 1).filter((move) => !banned.has(keyOf(move)));
  if (down || ceilings.length === 0) return moves;
  // What fits comes first; what does not needs others to make room.
  const fits = ({ dial, to }: Move) => within(ceilings, search.cost(current.plan.with(dial, to)));
  const fitting = moves.filter(fits);
  if (fitting.length > 0) return fitting;
  return search.problem.evaluate ? moves : [];
}

/** Every dial one width up, best first, or one width down, cheapest first. */
export function shifts(search: Search, plan: Plan, by: 1 | -1): Move[] {
  const { dials, scores } = search;
  const resource = bindingResource(search.ceilings, search.cost(plan));
  return dials
    .flatMap(({ bits }, dial): Move[] => {
      const from = bits.indexOf(plan[dial]);
      const to = bits[from + by];
      if (to === undefined) return [];
      const units = Math.abs(search.change(plan, dial, to, resource));
      const rate = Math.abs(scores[dial][from + by] - scores[dial][from]) / (units || Number.MIN_VALUE);
      return [{ dial, to, rate }];
    })
    .sort((a, b) => by * (b.rate - a.rate) || a.dial - b.dial);
}

/** How many dials move: many while a whole buffer away, one when near. */
function count(search: Search, { cost, measurement }: Candidate, need: Need): number {
  const { problem, ceilings, dials } = search;
  const { buffer, maxDrop } = problem;
  const away =
    need === 'lower'
      ? (usage(ceilings, cost) - 1) / (buffer.cost || 1)
      : measurement && maxDrop !== null
        ? Math.abs(measurement.drop - maxDrop) / (buffer.drop || 1)
        : 0;
  return Math.max(1, Math.round(Math.min(1, away) * BOLD_SHARE * dials.length));
}

/** The plan after these moves; null where no room can be made for them. */
function applied(search: Search, plan: Plan, moves: readonly Move[], need: Need): Plan | null {
  const { ceilings } = search;
  const next = [...plan];
  for (const { dial, to } of moves) {
    next[dial] = to;
    // Nothing is gained by going further below a ceiling than it asks.
    if (need === 'lower' && within(ceilings, search.cost(next))) break;
  }
  if (need === 'lower' || need === 'save') return next;
  const raised = new Set(moves.map(({ dial }) => dial));
  while (!within(ceilings, search.cost(next))) {
    const cheapest = shifts(search, next, -1).find(({ dial }) => !raised.has(dial));
    if (cheapest === undefined) return null;
    next[cheapest.dial] = cheapest.to;
  }
  return next;
}

function helps(search: Search, current: Candidate, next: Candidate, need: Need): boolean {
  const { problem, ceilings } = search;
  if (need === 'lower') return usage(ceilings, next.cost) < usage(ceilings, current.cost);
  if (need === 'save') return holds(problem, next.measurement);
  return search.loss(next) < search.loss(current);
}

function keyOf({ dial, to }: Move): string {
  return `${dial}:${to}`;
}

function reasonOf(need: Need): string {
  if (need === 'lower') return 'cost over its ceiling: smallest rise in divergence per unit saved';
  if (need === 'raise') return 'accuracy short: largest fall in divergence per unit';
  if (need === 'save') return 'the floor holds: smallest rise in divergence per byte saved';
  return 'room within the ceilings: largest fall in divergence per unit';
}
