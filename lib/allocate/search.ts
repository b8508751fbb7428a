import { refuse } from '../errors.ts';
import type { AllocatableLayer, Ceiling, Cost, Measurement, Problem, TraceStep, Widths } from './allocate.ts';
import { type Dial, dialsOf, type Plan, type Setting, settingsOf, widthsAt } from './dials.ts';
import { expectedLoss } from './expected-loss.ts';
import { changeOf, type Part, partsOf } from './rows.ts';
import { type Reading, type Scores, scoreOf, scoresOf } from './scores.ts';
import { within } from './targets.ts';

export type { Dial, Plan };

export interface Candidate {
  plan: Plan;
  cost: Cost;
  /** Null where there is nothing to measure with. */
  measurement: Measurement | null;
  /** Sum of the dials' own scores. */
  score: number;
}

/**
 * One run of a strategy: what it may still spend, everything it has measured, and the trace. The same plan is never
 * measured twice.
 */
export interface Search {
  readonly problem: Problem;
  readonly layers: readonly AllocatableLayer[];
  readonly dials: readonly Dial[];
  /** Per layer, the dials that set it. */
  readonly settings: readonly Setting[];
  readonly scores: Scores;
  /** Those worth pursuing: none where the smallest widths already pass one. */
  readonly ceilings: readonly Ceiling[];
  readonly smallest: Plan;
  readonly widest: Plan;
  /** In the order they were measured. */
  readonly candidates: readonly Candidate[];
  readonly trace: readonly TraceStep[];
  /** Evaluations left; infinite where nothing is evaluated. */
  left(): number;
  cost(plan: Plan): Cost;
  parts(resource: string): readonly Part[];
  /** What a resource changes by when one dial of the plan is set to other bits: its largest part. */
  change(plan: Plan, dial: number, bits: number, resource: string): number;
  known(plan: Plan): Candidate | undefined;
  /** Null when the budget is spent. Rejects with signal.reason on abort. */
  measure(plan: Plan): Promise<Candidate | null>;
  /** Loss to compare candidates by, lower is better: expected-loss.ts, or without measurements the score. */
  loss(candidate: Candidate): number;
  note(phase: string, before: Plan | null, after: Candidate, reason: string, kept: boolean): void;
}

/**
 * Throws INVALID_ARGUMENT where the problem has no layers, names a resource that is not costed, or ties layers that
 * offer no common width.
 */
export function createSearch(problem: Problem, reading: Reading = 'divergence'): Search {
  const { layers, ceilings, evaluate } = problem;
  if (layers.length === 0) refuse('at least one layer', 'layers', 'none');
  for (const { name, bits, activations } of layers)
    if (bits.length === 0 || activations.length === 0) refuse('at least one width', name, 'none');
  if (evaluate && !(problem.budget >= 1)) refuse('at least 1', 'budget', problem.budget);
  const dials = dialsOf(problem);
  const settings = settingsOf(dials, layers.length);
  const scores = scoresOf(layers, dials, reading);
  const candidates: Candidate[] = [];
  const trace: TraceStep[] = [];
  const seen = new Map<string, Candidate>();
  const parts = new Map<string, Part[]>();
  const smallest = dials.map(({ bits }) => bits[0]);
  const widest = dials.map(({ bits }) => bits.at(-1)!);
  const widths = (plan: Plan) => widthsOf(layers, settings, plan);
  const cost = (plan: Plan) => problem.cost.cost(widths(plan));
  const least = cost(smallest);
  for (const { resource, text } of ceilings)
    if (typeof least[resource] !== 'number')
      refuse(`one of ${Object.keys(least).join(', ')}`, text, resource);
  const left = () => (evaluate ? Math.max(0, problem.budget - candidates.length) : Number.POSITIVE_INFINITY);
  let expected = expectedLoss([]);

  function partsIn(resource: string): Part[] {
    const known = parts.get(resource) ?? partsOf(problem, settings, dials, resource);
    parts.set(resource, known);
    return known;
  }

  return {
    problem,
    layers,
    dials,
    settings,
    scores,
    ceilings: within(ceilings, least) ? ceilings : [],
    smallest,
    widest,
    candidates,
    trace,
    left,
    cost,
    parts: partsIn,
    change: (plan, dial, bits, resource) => {
      const all = partsIn(resource);
      if (all.length === 1) return changeOf(all[0], settings, dials[dial], plan, bits);
      return cost(plan.with(dial, bits))[resource] - cost(plan)[resource];
    },
    known: (plan) => seen.get(plan.join()),
    measure: async (plan) => {
      const known = seen.get(plan.join());
      if (known) return known;
      problem.signal?.throwIfAborted();
      if (left() === 0) return null;
      const measurement = evaluate ? await evaluate(widths(plan)) : null;
      problem.signal?.throwIfAborted();
      const score = scoreOf(dials, scores, plan);
      const candidate = { plan: [...plan], cost: cost(plan), measurement, score };
      seen.set(plan.join(), candidate);
      candidates.push(candidate);
      expected = expectedLoss(candidates.flatMap((tried) => tried.measurement ?? []));
      if (evaluate) problem.onProgress?.('allocate', candidates.length, problem.budget);
      return candidate;
    },
    loss: ({ measurement, score }) => (measurement === null ? score : expected(measurement)),
    note: (phase, before, after, reason, kept) => {
      const moves = dials.flatMap(({ of, layers: members }, dial) => {
        const [from, to] = [before?.[dial] ?? widest[dial], after.plan[dial]];
        if (from === to) return [];
        return members.map((member) => ({
          layer: layers[member].name,
          from,
          to,
          ...(of === 'activations' ? { of } : {}),
        }));
      });
      trace.push({ phase, moves, reason, cost: after.cost, measurement: after.measurement, kept });
    },
  };
}

export function widthsOf(
  layers: readonly AllocatableLayer[],
  settings: readonly Setting[],
  plan: Plan,
): Widths {
  return new Map(layers.map(({ name }, layer) => [name, widthsAt(settings[layer], plan)]));
}
