import type { AllocatableLayer, Strategy } from './allocate.ts';
import { atLeast } from './dials.ts';
import { adaptiveKmeans } from './kmeans.ts';
import { conclude, smallestBy } from './outcome.ts';
import { refine } from './refinement.ts';
import { type Candidate, createSearch, type Dial, type Plan, type Search } from './search.ts';
import { holds, usage } from './targets.ts';

/** Share of the evaluations that phase 1 may spend. */
const CLUSTER_SHARE = 0.3;
/** Share of the rest that is kept for the least size above the floor, should the ceilings not allow it. */
const FLOOR_SHARE = 0.3;

/** Clusters by rising centroid, members by rising sigma, and the level of each: a position in the list of widths. */
interface Clusters {
  groups: readonly (readonly number[])[];
  levels: readonly number[];
}

/**
 * The paper's two phases (arXiv 2602.22136; docs/method.md says where a rule is ours): clusters of layers by the standard
 * deviation of their weights, then refinement layer by layer by divergence. Sigma is taken before batch-norm folding
 * where every layer still knew it, after folding otherwise.
 */
export const sigma: Strategy = async (problem) => {
  const search = createSearch(problem);
  const unreachable = problem.ceilings.length > search.ceilings.length;
  if (unreachable && problem.maxDrop === null) {
    const candidate = await search.measure(search.smallest);
    if (candidate) search.note('clusters', null, candidate, 'no plan keeps the ceilings', true);
  } else {
    const start = await clusterPhase(search);
    if (start) await refineAll(search, start);
  }
  return conclude(search);
};

/** Phase 2; where the ceilings do not let the floor hold, what is left tells what it would take. */
async function refineAll(search: Search, start: Candidate): Promise<void> {
  const { problem, candidates } = search;
  const both = search.ceilings.length > 0 && problem.maxDrop !== null && problem.evaluate;
  await refine(search, start, both ? Math.floor(search.left() * FLOOR_SHARE) : 0);
  const anyHeld = () => candidates.some(({ measurement }) => holds(problem, measurement));
  if (anyHeld()) return;
  if (both) await refine({ ...search, ceilings: [] }, smallestBy(candidates, search.loss)!);
  if (anyHeld() || problem.maxDrop === null) return;
  // ours: where raising layer by layer gave up, the widest plan is where lowering them can begin.
  const widest = await search.measure(search.widest);
  if (widest === null) return;
  search.note('clusters', null, widest, 'no plan above the floor was found: from the widest down', true);
  await refine({ ...search, ceilings: [] }, widest);
}

/** Phase 1. The plan nearest to all targets, measured; null where the budget did not allow one. */
async function clusterPhase(search: Search): Promise<Candidate | null> {
  const { layers, dials } = search;
  const free = dials.flatMap(({ of, bits }, dial) => (of === 'weights' && bits.length > 1 ? [dial] : []));
  if (free.length === 0) return search.measure(search.widest);
  const raw = layers.every(({ rawSigma }) => rawSigma !== null);
  const values = free.map((dial) => sigmaOf(dials[dial], layers, raw));
  const offered = [...new Set(free.flatMap((dial) => dials[dial].bits))].sort((a, b) => a - b);
  const clusters = adaptiveKmeans(values, offered.length);
  let state: Clusters = {
    groups: clusters.map(({ members }) => members.map((index) => free[index])),
    levels: spreadLevels(clusters.length, offered.length),
  };
  const seen = new Set<string>();
  let best: Candidate | null = null;
  let before: Plan | null = null;
  const reserve = Number.isFinite(search.left()) ? search.left() * (1 - CLUSTER_SHARE) : 0;
  for (;;) {
    const plan = planOf(search, state, offered);
    seen.add(plan.join());
    const standing = await stand(search, plan, before, raw ? 'raw sigma' : 'sigma');
    before = plan;
    if (standing === null) return best;
    const { candidate, direction } = standing;
    if (candidate && (best === null || nearer(search, candidate, best))) best = candidate;
    if (direction === null || (best && search.left() <= reserve)) return best;
    const next = neighbours(search, state, direction, offered.length).find(
      (other) => !seen.has(planOf(search, other, offered).join()),
    );
    if (next === undefined) return best ?? (await search.measure(plan));
    state = next;
  }
}

/** Of layers that share a width, the mean by number of weights. */
function sigmaOf(dial: Dial, layers: readonly AllocatableLayer[], raw: boolean): number {
  const members = dial.layers.map((layer) => layers[layer]);
  const all = members.reduce((sum, { parameters }) => sum + parameters, 0);
  const weighted = members.map(({ parameters, sigma, rawSigma }) => parameters * (raw ? rawSigma! : sigma));
  return weighted.reduce((sum, value) => sum + value, 0) / all;
}

/** Inputs keep their widest: the paper clusters weights. */
function planOf({ dials, widest }: Search, { groups, levels }: Clusters, offered: readonly number[]): Plan {
  const plan = [...widest];
  groups.forEach((members, cluster) => {
    for (const dial of members) plan[dial] = atLeast(dials[dial].bits, offered[levels[cluster]]);
  });
  return plan;
}

/**
 * Where a plan of phase 1 stands: the direction that the failing target asks for, null when phase 2 can take over.
 * A plan whose cost alone is beyond the buffer is not measured. Null when the budget is spent.
 */
async function stand(
  search: Search,
  plan: Plan,
  before: Plan | null,
  source: string,
): Promise<{ candidate: Candidate | null; direction: 1 | -1 | null } | null> {
  const { problem, ceilings } = search;
  const { buffer, maxDrop } = problem;
  const cost = search.cost(plan);
  const over = usage(ceilings, cost) - 1;
  const draft: Candidate = { plan, cost, measurement: null, score: 0 };
  if (over > buffer.cost) {
    search.note('clusters', before, draft, `by ${source}; cost beyond its buffer`, false);
    return { candidate: null, direction: -1 };
  }
  const candidate = await search.measure(plan);
  if (candidate === null) return null;
  const drop = candidate.measurement?.drop ?? Number.NEGATIVE_INFINITY;
  const short = maxDrop !== null && drop > maxDrop + buffer.drop;
  // ours: with a floor alone the clusters go down while it holds, for the smallest plan near it.
  const spare = maxDrop !== null && ceilings.length === 0 && holds(problem, candidate.measurement);
  const direction = short ? (over > 0 ? null : 1) : spare && problem.evaluate ? -1 : null;
  const reason = short
    ? 'accuracy beyond its buffer'
    : spare
      ? 'the floor holds'
      : 'within reach of the targets';
  search.note('clusters', before, candidate, `by ${source}; ${reason}`, true);
  return { candidate, direction };
}

/**
 * What phase 1 may try next, in this order: all clusters one width up or down; one cluster alone, the one with most
 * weights first when going down and last when going up; one cluster split, its lower half going down or its upper up.
 */
function neighbours(search: Search, state: Clusters, direction: 1 | -1, widths: number): Clusters[] {
  const { groups, levels } = state;
  const moved = (level: number) => Math.min(widths - 1, Math.max(0, level + direction));
  const weight = (members: readonly number[]) =>
    members
      .flatMap((dial) => search.dials[dial].layers)
      .reduce((sum, layer) => sum + search.layers[layer].parameters, 0);
  const order = groups
    .map((_, index) => index)
    .sort((a, b) => direction * (weight(groups[a]) - weight(groups[b])) || a - b);
  const single = order.map((cluster) => ({ groups, levels: levels.with(cluster, moved(levels[cluster])) }));
  const split = order
    .filter((cluster) => groups[cluster].length > 1)
    .map((cluster) => {
      const members = groups[cluster];
      const half = [members.slice(0, members.length >> 1), members.slice(members.length >> 1)];
      const level = levels[cluster];
      const halves = direction < 0 ? [moved(level), level] : [level, moved(level)];
      return {
        groups: groups.toSpliced(cluster, 1, ...half),
        levels: levels.toSpliced(cluster, 1, ...halves),
      };
    });
  return [{ groups, levels: levels.map(moved) }, ...single, ...split];
}

/** Rising levels, spread over all widths: the lowest cluster gets the narrowest, the highest the widest. */
function spreadLevels(clusters: number, widths: number): number[] {
  if (clusters === 1) return [widths >> 1];
  return Array.from({ length: clusters }, (_, index) => Math.round((index * (widths - 1)) / (clusters - 1)));
}

/** Whether a is a better start for phase 2 than b: floor first, then ceilings, then the goal. */
function nearer(search: Search, a: Candidate, b: Candidate): boolean {
  const { problem, ceilings } = search;
  const excess = ({ cost }: Candidate) => Math.max(0, usage(ceilings, cost) - 1);
  const short = ({ measurement }: Candidate) =>
    holds(problem, measurement) ? 0 : measurement!.drop - problem.maxDrop!;
  const miss = (candidate: Candidate) =>
    excess(candidate) / Math.max(problem.buffer.cost, Number.MIN_VALUE) +
    short(candidate) / Math.max(problem.buffer.drop, Number.MIN_VALUE);
  const [missA, missB] = [miss(a), miss(b)];
  if (missA !== missB) return missA < missB;
  return ceilings.length === 0 && problem.maxDrop !== null
    ? a.cost['weightBytes'] < b.cost['weightBytes']
    : search.loss(a) < search.loss(b);
}
