import { refuse } from '../errors.ts';
import type { AllocatableLayer, Ceiling, Cost, Measurement, Problem, TraceStep, Widths } from './allocate.ts';
import { expectedLoss } from './expected-loss.ts';
import { type Scores, scoreOf, scoresOf } from './scores.ts';
import { within } from './targets.ts';

/** Weight bits by position of the layer in the problem. */
export type Plan = readonly number[];

export interface Candidate {
  plan: Plan;
  cost: Cost;
  /** Null where there is nothing to measure with. */
  measurement: Measurement | null;
  /** Sum of the layers' own scores. */
  score: number;
}

/**
 * One run of a strategy: what it may still spend, everything it has measured, and the trace. The same plan is never
 * measured twice.
 */
export interface Search {
  readonly problem: Problem;
  readonly layers: readonly AllocatableLayer[];
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
  layerCost(layer: number, bits: number, resource: string): number;
  known(plan: Plan): Candidate | undefined;
  /** Null when the budget is spent. Rejects with signal.reason on abort. */
  measure(plan: Plan): Promise<Candidate | null>;
  /** Loss to compare candidates by, lower is better: expected-loss.ts, or without measurements the score. */
  loss(candidate: Candidate): number;
  note(phase: string, before: Plan | null, after: Candidate, reason: string, kept: boolean): void;
}

/** Throws INVALID_ARGUMENT where the problem has no layers or names a resource that is not costed. */
export function createSearch(problem: Problem): Search {
  const { layers, ceilings, evaluate } = problem;
  if (layers.length === 0) refuse('at least one layer', 'layers', 'none');
  for (const { name, bits } of layers) if (bits.length === 0) refuse('at least one width', name, 'none');
  if (evaluate && !(problem.budget >= 1)) refuse('at least 1', 'budget', problem.budget);
  const scores = scoresOf(layers);
  const candidates: Candidate[] = [];
  const trace: TraceStep[] = [];
  const seen = new Map<string, Candidate>();
  const smallest = layers.map(({ bits }) => bits[0]);
  const widest = layers.map(({ bits }) => bits.at(-1)!);
  const cost = (plan: Plan) => problem.cost.cost(widthsOf(layers, plan));
  const least = cost(smallest);
  for (const { resource, text } of ceilings)
    if (typeof least[resource] !== 'number')
      refuse(`one of ${Object.keys(least).join(', ')}`, text, resource);
  const left = () => (evaluate ? Math.max(0, problem.budget - candidates.length) : Number.POSITIVE_INFINITY);
  let expected = expectedLoss([]);

  return {
    problem,
    layers,
    scores,
    ceilings: within(ceilings, least) ? ceilings : [],
    smallest,
    widest,
    candidates,
    trace,
    left,
    cost,
    layerCost: (layer, bits, resource) => {
      const { name, activations } = layers[layer];
      return problem.cost.layerCost(name, { weights: bits, activations }, resource);
    },
    known: (plan) => seen.get(plan.join()),
    measure: async (plan) => {
      const known = seen.get(plan.join());
      if (known) return known;
      problem.signal?.throwIfAborted();
      if (left() === 0) return null;
      const measurement = evaluate ? await evaluate(widthsOf(layers, plan)) : null;
      problem.signal?.throwIfAborted();
      const candidate = {
        plan: [...plan],
        cost: cost(plan),
        measurement,
        score: scoreOf(layers, scores, plan),
      };
      seen.set(plan.join(), candidate);
      candidates.push(candidate);
      expected = expectedLoss(candidates.flatMap((tried) => tried.measurement ?? []));
      if (evaluate) problem.onProgress?.('allocate', candidates.length, problem.budget);
      return candidate;
    },
    loss: ({ measurement, score }) => (measurement === null ? score : expected(measurement)),
    note: (phase, before, after, reason, kept) => {
      const moves = layers.flatMap(({ name }, index) => {
        const [from, to] = [before?.[index] ?? widest[index], after.plan[index]];
        return from === to ? [] : [{ layer: name, from, to }];
      });
      trace.push({ phase, moves, reason, cost: after.cost, measurement: after.measurement, kept });
    },
  };
}

export function widthsOf(layers: readonly AllocatableLayer[], plan: Plan): Widths {
  return new Map(layers.map(({ name, activations }, index) => [name, { weights: plan[index], activations }]));
}
