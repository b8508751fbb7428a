/** One way to serve an item: what it costs and what it loses. */
export interface Choice {
  cost: number;
  loss: number;
}

/** One choice per item. */
export interface Solution {
  /** Per item, index into its choices. */
  picks: readonly number[];
  cost: number;
  loss: number;
}

/** A move of one item along its lower convex hull. */
interface Step {
  item: number;
  to: number;
  cost: number;
  /** Loss removed per cost added; falls along the hull of an item. */
  gain: number;
}

interface State {
  cost: number;
  loss: number;
  pick: number;
  parent: State | null;
}

/** Sums of costs in float64 may pass a limit by their last bits; so may bounds on losses. */
export const COST_TOLERANCE = 1e-9;
const LOSS_TOLERANCE = 1e-12;

/**
 * Least total loss with total cost <= limit, exactly one choice per item; null where even the cheapest choices cost
 * more. Among equal losses the cheaper. Exact: lists of undominated partial sums (Nemhauser and Ullmann 1969), cut by
 * the Lagrangian bound at the multiplier of the linear relaxation, which leaves few of them. Losses and costs finite.
 */
export function knapsack(items: readonly (readonly Choice[])[], limit: number): Solution | null {
  const allowed = limit + COST_TOLERANCE * Math.abs(limit);
  const { incumbent, multiplier } = relaxation(items, allowed);
  if (incumbent === null) return null;
  const rest = bounds(items, multiplier);
  let states: State[] = [{ cost: 0, loss: 0, pick: -1, parent: null }];
  items.forEach((choices, index) => {
    const ceiling = incumbent.loss + LOSS_TOLERANCE * (1 + Math.abs(incumbent.loss));
    const grown: State[] = [];
    for (const state of states)
      choices.forEach((choice, pick) => {
        const cost = state.cost + choice.cost;
        const loss = state.loss + choice.loss;
        if (cost + rest.cost[index + 1] > allowed) return;
        if (loss + rest.lagrangian[index + 1] - multiplier * (allowed - cost) > ceiling) return;
        grown.push({ cost, loss, pick, parent: state });
      });
    states = undominated(grown);
  });
  const best = states.at(-1);
  return best && better(best, incumbent) ? unwind(best) : incumbent;
}

/**
 * The solutions on the lower convex hull of all (cost, loss), from the cheapest to the least loss: each is optimal for
 * its own cost. Neighbours differ in one item.
 */
export function front(items: readonly (readonly Choice[])[]): Solution[] {
  const picks = items.map((choices) => hull(choices)[0]);
  const solutions = [total(items, picks)];
  for (const { item, to } of steps(items)) {
    picks[item] = to;
    solutions.push(total(items, picks));
  }
  return solutions;
}

/** Linear relaxation by the steepest hull steps first; what fits of them is a good solution in whole choices. */
function relaxation(
  items: readonly (readonly Choice[])[],
  allowed: number,
): { incumbent: Solution | null; multiplier: number } {
  const picks = items.map((choices) => hull(choices)[0]);
  let { cost } = total(items, picks);
  if (!(cost <= allowed)) return { incumbent: null, multiplier: 0 };
  let multiplier = 0;
  const stopped = new Set<number>();
  for (const step of steps(items)) {
    if (stopped.has(step.item)) continue;
    if (cost + step.cost > allowed) {
      if (stopped.size === 0) multiplier = step.gain;
      stopped.add(step.item);
    } else {
      cost += step.cost;
      picks[step.item] = step.to;
    }
  }
  return { incumbent: total(items, picks), multiplier };
}

/** All hull steps of all items, steepest first; order among equals is that of the items. */
function steps(items: readonly (readonly Choice[])[]): Step[] {
  const all = items.flatMap((choices, item) => {
    const line = hull(choices);
    return line.slice(1).map((to, index): Step => {
      const from = choices[line[index]];
      const cost = choices[to].cost - from.cost;
      return { item, to, cost, gain: (from.loss - choices[to].loss) / cost };
    });
  });
  return all.sort((a, b) => b.gain - a.gain || a.item - b.item);
}

/** Indices of the choices on the lower convex hull, rising in cost, falling in loss. */
function hull(choices: readonly Choice[]): number[] {
  const order = choices
    .map((_, index) => index)
    .sort((a, b) => choices[a].cost - choices[b].cost || choices[a].loss - choices[b].loss);
  const line: number[] = [];
  for (const index of order) {
    const { cost, loss } = choices[index];
    if (line.length > 0 && loss >= choices[line.at(-1)!].loss) continue;
    while (line.length > 1) {
      const [a, b] = [choices[line.at(-2)!], choices[line.at(-1)!]];
      if ((a.loss - b.loss) * (cost - a.cost) > (a.loss - loss) * (b.cost - a.cost)) break;
      line.pop();
    }
    line.push(index);
  }
  return line;
}

/** Per item, the least cost and the least loss + multiplier * cost of it and all items after it. */
function bounds(items: readonly (readonly Choice[])[], multiplier: number) {
  const cost = new Float64Array(items.length + 1);
  const lagrangian = new Float64Array(items.length + 1);
  for (let i = items.length - 1; i >= 0; i--) {
    cost[i] = cost[i + 1] + Math.min(...items[i].map((choice) => choice.cost));
    lagrangian[i] =
      lagrangian[i + 1] + Math.min(...items[i].map((choice) => choice.loss + multiplier * choice.cost));
  }
  return { cost, lagrangian };
}

function undominated(states: State[]): State[] {
  states.sort((a, b) => a.cost - b.cost || a.loss - b.loss);
  let least = Number.POSITIVE_INFINITY;
  return states.filter(({ loss }) => {
    if (loss >= least) return false;
    least = loss;
    return true;
  });
}

function better(a: { cost: number; loss: number }, b: { cost: number; loss: number }): boolean {
  return a.loss < b.loss || (a.loss === b.loss && a.cost < b.cost);
}

function unwind(last: State): Solution {
  const picks: number[] = [];
  for (let state: State | null = last; state.parent !== null; state = state.parent) picks.push(state.pick);
  return { picks: picks.reverse(), cost: last.cost, loss: last.loss };
}

function total(items: readonly (readonly Choice[])[], picks: readonly number[]): Solution {
  let cost = 0;
  let loss = 0;
  picks.forEach((pick, item) => {
    cost += items[item][pick].cost;
    loss += items[item][pick].loss;
  });
  return { picks: [...picks], cost, loss };
}
