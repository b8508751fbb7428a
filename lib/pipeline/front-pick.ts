import type { FrontierPoint } from '../allocate/index.ts';
import { refuse, SigmaQuantError } from '../errors.ts';

/** How the point is chosen whose artefacts are written. */
export type Pick =
  | { kind: 'knee' }
  /** The best within so much of the resource; as a target says it (`120kB`). */
  | { kind: 'budget'; text: string }
  /** The cheapest that loses at most so many points. */
  | { kind: 'drop'; points: number };

/** `knee`, `budget=120kB`, `drop=1`. Throws INVALID_ARGUMENT. */
export function parsePick(text: string): Pick {
  if (text === 'knee') return { kind: 'knee' };
  const [, kind, value] = /^(budget|drop)=(.+)$/.exec(text) ?? [];
  if (kind === 'budget') return { kind, text: value };
  const points = Number(value);
  if (kind === 'drop' && points >= 0 && points <= 100) return { kind, points };
  return refuse('knee, budget=120kB or drop=1', 'pick', text);
}

/**
 * A point of the front; `limit` is that of a budget. Throws TARGET_UNREACHABLE naming the nearest where none is within.
 */
export function pickPoint(
  points: readonly FrontierPoint[],
  resource: string,
  pick: Pick,
  limit: number,
): FrontierPoint {
  const front = points.filter(({ onFront }) => onFront);
  const cost = (point: FrontierPoint) => point.cost[resource];
  const drop = ({ measurement }: FrontierPoint) => measurement!.drop;
  const unreachable = (wanted: string, nearest: string): never => {
    throw new SigmaQuantError(
      'TARGET_UNREACHABLE',
      `Expected a point of the front with ${wanted} for pick but the nearest has ${nearest}; pick that, or sweep more --points.`,
    );
  };
  // By rising cost and falling drop.
  switch (pick.kind) {
    case 'budget':
      return (
        front.findLast((point) => cost(point) <= limit) ??
        unreachable(`${resource} of at most ${limit}`, `${cost(front[0])}`)
      );
    case 'drop':
      return (
        front.find((point) => drop(point) <= pick.points) ??
        unreachable(`a drop of at most ${pick.points}`, drop(front.at(-1)!).toFixed(2))
      );
    default:
      return kneeOf(front, cost, drop);
  }
}

/** The point farthest below the line that joins the ends, over the logarithm of the cost. */
function kneeOf(
  front: readonly FrontierPoint[],
  cost: (point: FrontierPoint) => number,
  drop: (point: FrontierPoint) => number,
): FrontierPoint {
  const [first, last] = [front[0], front.at(-1)!];
  const share = (low: number, high: number, value: number) => (high > low ? (value - low) / (high - low) : 0);
  const x = (point: FrontierPoint) => Math.log(Math.max(cost(point), Number.MIN_VALUE));
  const below = (point: FrontierPoint) =>
    1 - share(x(first), x(last), x(point)) - share(drop(last), drop(first), drop(point));
  return front.reduce((best, point) => (below(point) > below(best) ? point : best));
}
