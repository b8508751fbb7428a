import type { Allocation, Verdict } from './allocate.ts';
import { widthsAt } from './dials.ts';
import { figure } from './figures.ts';
import { sumOf } from './rows.ts';
import { type Candidate, type Plan, type Search, widthsOf } from './search.ts';
import { bindingResource, holds, usage, usageOf, within } from './targets.ts';

/** Sizes this close count as equal when the smallest is chosen, and the smaller loss decides. */
const SIZE_TIE = 0.0025;
/** Nearest points that a verdict names. */
const FEASIBLE = 5;
/** Layers that a verdict names. */
const BINDING_LAYERS = 5;

/**
 * The answer of a run, from what it measured. With a floor alone: the smallest weight bytes above it; with ceilings:
 * the least loss within them (and above the floor, where there is one); with neither: the knee of the front.
 */
export function conclude(search: Search): Allocation {
  const { problem, candidates, layers, settings } = search;
  const { verdict, chosen, reachable } = judge(search);
  return {
    widths: widthsOf(layers, settings, chosen.plan),
    cost: chosen.cost,
    measurement: chosen.measurement,
    verdict,
    binding: verdict === 'met' ? [] : bindingLayers(search, verdict, chosen),
    reachable: verdict === 'met' ? null : reachable,
    feasible: verdict === 'met' ? [] : feasible(search),
    evaluations: problem.evaluate ? candidates.length : 0,
    trace: search.trace,
  };
}

interface Judgement {
  verdict: Verdict;
  chosen: Candidate;
  reachable: Allocation['reachable'];
}

function judge(search: Search): Judgement {
  const { problem, candidates } = search;
  const { ceilings, maxDrop } = problem;
  const fits = (candidate: Candidate) => within(ceilings, candidate.cost);
  const held = candidates.filter(({ measurement }) => holds(problem, measurement));
  const met = held.filter(fits);
  if (met.length > 0) return { verdict: 'met', chosen: choose(search, met), reachable: null };

  const least = (list: readonly Candidate[]) => smallestBy(list, search.loss);
  const fitting = candidates.filter(fits);
  if (maxDrop !== null && ceilings.length > 0 && fitting.length > 0) {
    const cheapest = smallestBy(held, ({ cost }) => usage(ceilings, cost)) ?? least(candidates)!;
    return { verdict: 'resource-only', chosen: least(fitting)!, reachable: pointOf(cheapest) };
  }
  const minimum = search.known(search.smallest);
  const smallest = { cost: search.cost(search.smallest), measurement: minimum?.measurement ?? null };
  if (maxDrop !== null && ceilings.length > 0 && held.length > 0) {
    const chosen = smallestBy(held, ({ cost }) => usage(ceilings, cost))!;
    return { verdict: 'accuracy-only', chosen, reachable: smallest };
  }
  if (ceilings.length > 0)
    return { verdict: 'impossible', chosen: minimum ?? least(candidates)!, reachable: smallest };
  const chosen = least(candidates)!;
  return { verdict: 'impossible', chosen, reachable: pointOf(chosen) };
}

function pointOf({ cost, measurement }: Candidate) {
  return { cost, measurement };
}

/** Among candidates that keep all targets. */
function choose(search: Search, met: readonly Candidate[]): Candidate {
  const { ceilings, maxDrop, goal } = search.problem;
  if (ceilings.length > 0) return smallestBy(met, search.loss)!;
  if (maxDrop === null) return knee(search, met);
  const spent = ({ cost }: Candidate) => cost[goal];
  const enough = spent(smallestBy(met, spent)!) * (1 + SIZE_TIE);
  return smallestBy(
    met.filter((candidate) => spent(candidate) <= enough),
    search.loss,
  )!;
}

/**
 * Measured points that would meet targets near those asked for: the one nearest the floor within the ceilings, the one
 * nearest the ceilings above the floor, and those between that miss both by the least in all, none of them worse than
 * another in both.
 */
function feasible(search: Search): Allocation['feasible'] {
  const { problem, candidates } = search;
  const { ceilings, maxDrop } = problem;
  const over = ({ cost }: Candidate) =>
    ceilings.reduce((sum, ceiling) => sum + Math.max(0, usageOf(ceiling, cost) - 1), 0);
  const short = ({ measurement }: Candidate) =>
    maxDrop === null || measurement === null ? 0 : Math.max(0, measurement.drop - maxDrop);
  const miss = (candidate: Candidate) =>
    over(candidate) / problem.buffer.cost + short(candidate) / problem.buffer.drop;
  const sorted = [...candidates].sort((a, b) => miss(a) - miss(b));
  const fitting = sorted.filter((candidate) => within(ceilings, candidate.cost));
  const holding = sorted.filter(({ measurement }) => holds(problem, measurement));
  const front: Candidate[] = [];
  for (const next of sorted)
    if (!front.some((known) => over(known) <= over(next) && short(known) <= short(next))) front.push(next);
  const points = [smallestBy(fitting, short), smallestBy(holding, over), ...front].filter(
    (point) => point !== undefined,
  );
  return [...new Set(points)].slice(0, FEASIBLE).map(pointOf);
}

/** The point of the front farthest below the straight line between its ends, both axes scaled to 1. */
export function knee(search: Search, candidates: readonly Candidate[]): Candidate {
  const bytes = ({ cost }: Candidate) => cost['weightBytes'];
  const sorted = [...candidates].sort((a, b) => bytes(a) - bytes(b) || search.loss(a) - search.loss(b));
  const line: Candidate[] = [];
  for (const candidate of sorted)
    if (line.length === 0 || search.loss(candidate) < search.loss(line.at(-1)!)) line.push(candidate);
  const [first, last] = [line[0], line.at(-1)!];
  const width = bytes(last) - bytes(first) || 1;
  const height = search.loss(first) - search.loss(last) || 1;
  return smallestBy(
    line,
    (candidate) =>
      (bytes(candidate) - bytes(first)) / width + (search.loss(candidate) - search.loss(last)) / height,
  )!;
}

/** The first of the smallest; undefined for an empty list. */
export function smallestBy<T>(list: readonly T[], value: (item: T) => number): T | undefined {
  let best: T | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const item of list) {
    const current = value(item);
    if (best === undefined || current < least) [best, least] = [item, current];
  }
  return best;
}

/** Ceilings missed: who takes most of the resource at the least widths. Floor missed: who still loses most. */
function bindingLayers(search: Search, verdict: Verdict, chosen: Candidate): Allocation['binding'] {
  const { ceilings } = search.problem;
  return verdict === 'resource-only' || ceilings.length === 0
    ? losingLayers(search, chosen.plan)
    : costlyLayers(search);
}

function costlyLayers(search: Search): Allocation['binding'] {
  const { layers, smallest, settings, problem } = search;
  const cost = search.cost(smallest);
  const resource = bindingResource(problem.ceilings, cost);
  const missed = problem.ceilings.find((ceiling) => ceiling.resource === resource)!;
  const over = usageOf(missed, cost);
  const largest = smallestBy(search.parts(resource), (part) => -sumOf(part, settings, smallest))!;
  return layers
    .map(({ name, bits }, layer) => {
      const widths = widthsAt(settings[layer], smallest);
      const share = largest.share(layer, widths);
      const pinned = bits.length === 1 ? ', the only width it offers' : '';
      return {
        layer: name,
        share,
        reason: `takes ${figure(share)} of ${figure(cost[resource])} ${resource} at ${widths.weights} bits${pinned}; ${missed.text} is passed by ${figure((over - 1) * 100)} %`,
      };
    })
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share)
    .slice(0, BINDING_LAYERS)
    .map(({ layer, reason }) => ({ layer, reason }));
}

function losingLayers(search: Search, plan: Plan): Allocation['binding'] {
  const { layers, dials, scores, problem } = search;
  const resource = bindingResource(problem.ceilings, search.cost(plan));
  return dials
    .map(({ of, layers: members, bits }, dial) => {
      const position = bits.indexOf(plan[dial]);
      const score = scores[dial][position];
      const wider = bits[position + 1];
      const more =
        wider === undefined
          ? 'it offers no wider one'
          : `${wider} bits would take ${figure(search.change(plan, dial, wider, resource))} more ${resource}`;
      const what = of === 'weights' ? '' : 'its input ';
      return {
        layer: layers[members[0]].name,
        score,
        reason: `${what}diverges by ${figure(score)} nats at ${plan[dial]} bits; ${more}`,
      };
    })
    .sort((a, b) => b.score - a.score)
    .slice(0, BINDING_LAYERS)
    .map(({ layer, reason }) => ({ layer, reason }));
}
