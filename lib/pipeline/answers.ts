import type { Allocation, Ceiling, Cost, Measurement, Problem, Widths } from '../allocate/allocate.ts';
import { type FrontierOptions, type FrontierPoint, frontier, strategies } from '../allocate/index.ts';
import type { LayerProfile } from '../analysis/analysis.ts';
import { uniformWidths } from './choices.ts';
import { confirm, type Feasible } from './feasible.ts';
import { learns } from './learning.ts';
import { DEFAULTS, type QuantizeOptions } from './options.ts';
import { widthsKey } from './quantization.ts';
import { afterLearning, reallocate } from './reallocation.ts';
import { type Costs, goalOf, problemLayers, strategyOf } from './resources.ts';
import type { AccuracyResult, LearnedResult } from './result.ts';
import type { Scorer } from './scoring.ts';
import { accuracyOf, type Candidate, type Finished, type Floor, floorOf, measurementOf } from './search.ts';
import type { Job } from './study.ts';

/** What a study is asked for: ceilings, a floor, and who chooses. */
export type Ask = Pick<
  QuantizeOptions,
  'targets' | 'maxDrop' | 'minAccuracy' | 'minSqnr' | 'strategy' | 'evaluations' | 'minimize'
>;

/** What came of an ask. */
export interface Answer {
  allocation: Allocation;
  /** Where a target is missed: others near it, each of which the same search has met. */
  feasible: readonly Feasible[];
  ceilings: readonly Ceiling[];
  floor: Floor | null;
  strategy: string;
  /** What learning did; null where nothing was learned. */
  learned: LearnedResult | null;
  /** Of the chosen widths. */
  validation: AccuracyResult;
}

export interface UniformPoint {
  bits: number;
  cost: Cost;
  measurement: Measurement;
}

/** A network and all that was measured of it before anything is asked. */
export interface Measured {
  job: Job;
  profiles: readonly LayerProfile[];
  scorer: Scorer;
  candidate: Candidate;
  costs: Costs;
}

/** The problem that allocation solves, and the floor as people see it; `spent` gets every plan that is evaluated. */
async function problemOf(
  { job, profiles, scorer, candidate, costs }: Measured,
  ask: Ask,
  spent = new Set<string>(),
) {
  const { work, choices, options } = job;
  const floor = floorOf(ask, scorer);
  const problem: Problem = {
    ...work,
    layers: problemLayers(profiles, choices),
    ties: choices.ties,
    cost: costs.model,
    ceilings: await costs.ceilings(ask.targets),
    maxDrop: floor?.maxDrop ?? null,
    goal: goalOf(ask.minimize, costs.model),
    evaluate: async (widths) => {
      spent.add(widthsKey(widths));
      return measurementOf(scorer, await evaluateOn(job, candidate, widths), ask.minSqnr);
    },
    budget: ask.evaluations ?? DEFAULTS.evaluations,
    buffer: DEFAULTS.buffer,
    seed: options.seed ?? DEFAULTS.seed,
  };
  return { problem, floor };
}

/** Decides widths; the candidate has them afterwards. */
export async function answer(measured: Measured, ask: Ask): Promise<Answer> {
  const { job, scorer } = measured;
  const strategy = strategyOf(ask.strategy);
  const spent = new Set<string>();
  const { problem, floor } = await problemOf(measured, ask, spent);
  const search = (maxDrop: number | null) =>
    job.clock.time('allocate', async () => {
      const asked = { ...problem, maxDrop };
      return confirm(await strategies[strategy](asked), asked, ask, {
        strategy: strategies[strategy],
        problemOf: async (other) => (await problemOf(measured, { ...ask, ...other }, spent)).problem,
      });
    });
  const learn = async ({ widths }: Allocation) => {
    const finished = await finish(measured, widths, problem.maxDrop);
    return { finished, drop: measurementOf(scorer, finished.score, ask.minSqnr).drop };
  };
  // Within ceilings that are asked for there is nothing to be had from a lower floor.
  const least =
    learns(job) && problem.ceilings.length === 0 ? ({ cost }: Allocation) => cost[problem.goal] : null;
  const best = await reallocate(problem.maxDrop, least, search, learn);
  await finish(measured, best.answer.allocation.widths, problem.maxDrop);
  const { finished, drop } = best;
  const measurement = measurementOf(scorer, finished.score, ask.minSqnr);
  const allocation = afterLearning(best.answer.allocation, finished, drop, measurement, problem.maxDrop);
  return {
    allocation: { ...allocation, evaluations: spent.size },
    feasible: allocation.verdict === 'met' ? [] : best.answer.feasible,
    learned: finished.learned,
    ceilings: problem.ceilings,
    floor,
    strategy,
    validation: accuracyOf(scorer, finished.score),
  };
}

/** The network at these widths with all that learning can do, where something is learned. */
function finish({ job, candidate }: Measured, widths: Widths, maxDrop: number | null): Promise<Finished> {
  return job.clock.time('evaluate', () => candidate.finish(widths, maxDrop, job.work));
}

/** Makes the network have these widths, and scores it on validation samples. */
export async function validate(
  measured: Measured,
  widths: Widths,
  maxDrop: number | null,
): Promise<Pick<Answer, 'validation' | 'learned'>> {
  const { score, learned } = await finish(measured, widths, maxDrop);
  return { validation: accuracyOf(measured.scorer, score), learned };
}

/** Every width that some layer is offered, for all weights. */
export async function uniform(
  { job, scorer, candidate, costs }: Measured,
  ask: Ask,
): Promise<UniformPoint[]> {
  const { layers } = job.choices;
  const points: UniformPoint[] = [];
  for (const bits of new Set(layers.flatMap((layer) => layer.bits).sort((a, b) => a - b))) {
    const widths = uniformWidths(job.choices, bits);
    const measurement = measurementOf(scorer, await evaluateOn(job, candidate, widths), ask.minSqnr);
    points.push({ bits, cost: costs.model.cost(widths), measurement });
  }
  return points;
}

export async function front(
  measured: Measured,
  ask: Ask,
  options: FrontierOptions,
): Promise<FrontierPoint[]> {
  const { problem } = await problemOf(measured, ask);
  return measured.job.clock.time('allocate', () => frontier(problem, options));
}

async function evaluateOn(job: Job, candidate: Candidate, widths: Widths) {
  return job.clock.time('evaluate', () => candidate.score(widths, job.work));
}
