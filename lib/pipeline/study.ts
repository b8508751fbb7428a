import type { Allocation, Ceiling, CostModel, Widths } from '../allocate/allocate.ts';
import { strategies } from '../allocate/index.ts';
import type { Calibration, LayerProfile, WorkOptions } from '../analysis/analysis.ts';
import { calibrate, profile } from '../analysis/index.ts';
import type { Evaluator } from '../engine/engine.ts';
import type { Layer, Port } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import { createKernels } from '../kernels/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { createRecovery } from '../recovery/index.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { type Choices, choicesOf } from './choices.ts';
import { type Clock, createClock } from './clock.ts';
import { loadMetric, type MetricFunction } from './metric.ts';
import { type Executable, openExecutable, requireLayers } from './model.ts';
import { DEFAULTS, type QuantizeOptions } from './options.ts';
import { createQuantizers, inputChoices, type Quantizers, quantizable } from './quantization.ts';
import { costOf, goalOf, parseCeilings, problemLayers, recoveryOf, strategyOf } from './resources.ts';
import type { AccuracyResult, Seconds } from './result.ts';
import { assignRoles, type Roles, type Samples, sampleInput } from './samples.ts';
import { batchSize, createScorer, type Scorer } from './scoring.ts';
import { accuracyOf, type Candidate, createCandidate, type Floor, floorOf, measurementOf } from './search.ts';

const STAGES = ['calibrate', 'profile', 'allocate', 'recover', 'evaluate'] as const;
type Stage = (typeof STAGES)[number];

/** Everything that is decided or opened before the long work. */
interface Job extends Executable {
  options: StudyOptions;
  work: WorkOptions;
  clock: Clock<Stage>;
  kernels: Kernels;
  input: Port;
  /** Those that get a width, in execution order, and what they may take. */
  layers: Layer[];
  /** Those that stay in float. */
  floatLayers: Layer[];
  choices: Choices;
  roles: Roles;
  metric: MetricFunction | null;
  batch: number;
}

/** What a study is asked for: ceilings, a floor, and who chooses. */
export type Ask = Pick<
  QuantizeOptions,
  'targets' | 'maxDrop' | 'minAccuracy' | 'minSqnr' | 'strategy' | 'evaluations' | 'minimize'
>;

/** What came of an ask. */
export interface Answer {
  allocation: Allocation;
  ceilings: readonly Ceiling[];
  floor: Floor | null;
  strategy: string;
  /** Of the chosen widths. */
  validation: AccuracyResult;
}

export interface StudyOptions extends QuantizeOptions {
  /** All strategies that will be asked, where it is not only that of the options: what they go by is measured. */
  strategies?: readonly string[];
}

/** A network measured once, of which any number of targets can be asked. */
export interface Study extends Job {
  float: Evaluator;
  calibration: Calibration;
  profiles: readonly LayerProfile[];
  cost: CostModel;
  /** The quantized network, as the last answer left it. */
  candidate: Candidate;
  ask(ask: Ask): Promise<Answer>;
  /** Float and quantized network side by side on samples that nothing has looked at yet; null without such samples. */
  judge(): Promise<AccuracyResult | null>;
  seconds(): Seconds;
}

/**
 * Opens and measures a network, lends it to `use`, and frees everything. The ask of the options is checked before the
 * long work. Rejects as `quantize` does.
 */
export async function withStudy<T>(options: StudyOptions, use: (study: Study) => Promise<T>): Promise<T> {
  const clock = createClock<Stage>(STAGES);
  strategyOf(options.strategy);
  const opened = await openExecutable(options);
  let job: Job | undefined;
  try {
    job = await prepare(options, opened, clock);
    return await use(await study(job));
  } finally {
    job?.kernels.dispose();
    opened.dispose();
  }
}

async function prepare(options: StudyOptions, opened: Executable, clock: Clock<Stage>): Promise<Job> {
  const { model, graph } = opened;
  requireLayers(model.name, model.layers);
  const input = sampleInput(model.graph);
  const allLayers = layersOf(graph);
  const layers = quantizable(graph, allLayers);
  requireLayers(model.name, layers);
  const choices = choicesOf(graph, layers, options);
  parseCeilings(options.targets, allLayers);
  const metric = options.metric === undefined ? null : await loadMetric(options.metric);
  const roles = await assignRoles(options, input);
  const kernels = await createKernels({
    backend: options.backend,
    isa: options.isa,
    threads: options.threads,
  });
  const macs = model.layers.reduce((sum, layer) => sum + layer.macs, 0);
  const { signal, onProgress } = options;
  return {
    ...opened,
    options,
    work: { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) },
    clock,
    kernels,
    input,
    layers,
    floatLayers: allLayers.filter((layer) => !layers.includes(layer)),
    choices,
    roles,
    metric,
    batch: batchSize(macs, input),
  };
}

async function study(job: Job): Promise<Study> {
  const { graph, kernels, options, clock, layers, floatLayers, choices, compile } = job;
  const float = compile(graph, kernels);
  const calibration = await clock.time('calibrate', () => calibrateJob(job));
  const method = options.ranges ?? DEFAULTS.ranges;
  const quantizers = createQuantizers(graph, layers, calibration, method);
  const scorer = await clock.time('evaluate', () => scorerFor(job, float, job.roles.validation));
  floorOf(options, scorer);
  const recovery = timedRecovery(job, calibration, quantizers);
  const profiles = await clock.time('profile', () => profileJob(job, quantizers, recovery));
  const { signal } = job.work;
  const candidate = await createCandidate({
    layers,
    quantizers,
    recovery,
    scorer,
    first: widest(choices),
    compile: (quantization) => compile(graph, kernels, { quantization }),
    cacheBytes: Math.min(options.cacheBytes ?? DEFAULTS.cacheBytes, job.cacheBytes),
    ...(signal ? { signal } : {}),
  });
  const cost = costOf(layers, floatLayers);
  return {
    ...job,
    float,
    calibration,
    profiles,
    cost,
    candidate,
    ask: (ask) => answer({ job, profiles, scorer, candidate, cost }, ask),
    judge: () => clock.time('evaluate', () => judge(job, float, candidate)),
    seconds: () => clock.seconds(),
  };
}

function calibrateJob(job: Job): Promise<Calibration> {
  const { graph, layers, kernels, roles, options, batch, work, compile } = job;
  return calibrate(graph, layers, kernels, roles.calibration.dataset, {
    ...work,
    compile,
    samples: options.samples ?? DEFAULTS.samples,
    batch,
    gram: recoveryOf(options.recovery) !== 'none',
    patches: DEFAULTS.patches,
  });
}

function scorerFor(job: Job, float: Evaluator, samples: Samples): Promise<Scorer> {
  return createScorer(float, {
    ...job.work,
    samples,
    input: job.input,
    outputs: job.graph.outputs,
    batch: job.batch,
    metric: job.metric,
    sqnr: job.options.minSqnr !== undefined,
  });
}

function timedRecovery(
  { layers, kernels, choices, options, clock }: Job,
  calibration: Calibration,
  quantizers: Quantizers,
): Recovery {
  const name = recoveryOf(options.recovery);
  const recovery = createRecovery(name, {
    layers,
    calibration,
    // The smallest: a weight's scale is bounded by the finest grid that its bias may have to stand on.
    inputScales: new Map(
      choices.layers.map(({ name, activations }) => [
        name,
        quantizers.of(quantizers.owners.get(name)!, activations.at(-1)!).scale,
      ]),
    ),
    kernels,
  });
  return {
    name: recovery.name,
    quantize: (layer, bits, signal) => clock.time('recover', () => recovery.quantize(layer, bits, signal)),
    get cached() {
      return recovery.cached;
    },
  };
}

function profileJob(
  { graph, layers, kernels, roles, choices, options, batch, work, compile }: Job,
  quantizers: Quantizers,
  recovery: Recovery,
) {
  const widths = [...new Set(choices.layers.flatMap(({ bits }) => bits))].sort((a, b) => a - b);
  const inputs = inputChoices(quantizers, choices.layers);
  const curved = [options.strategy, ...(options.strategies ?? [])].includes('hessian');
  const probes = curved ? DEFAULTS.probes : 0;
  const runs = widths.length + probes + (inputs[0]?.quantizers.size ?? 0);
  return profile(graph, layers, kernels, roles.calibration.dataset, recovery.quantize, {
    ...work,
    compile,
    widths,
    inputs,
    probes,
    seed: options.seed ?? DEFAULTS.seed,
    samples: Math.min(options.samples ?? DEFAULTS.samples, profileSamples(layers, runs)),
    batch,
  });
}

/**
 * As many samples as the budget of multiply-accumulates pays for: for each sample, every layer runs what comes
 * after it so many times.
 */
function profileSamples(layers: readonly Layer[], runs: number): number {
  let after = 0;
  let perSample = 0;
  for (const { macs } of layers.toReversed()) perSample += runs * (after += macs);
  const { least, most, macs } = DEFAULTS.profile;
  return Math.max(least, Math.min(most, Math.floor(macs / Math.max(1, perSample))));
}

function widest({ layers }: Choices): Widths {
  return new Map(
    layers.map(({ name, bits, activations }) => [
      name,
      { weights: bits.at(-1)!, activations: activations.at(-1)! },
    ]),
  );
}

async function evaluateOn(job: Job, candidate: Candidate, widths: Widths) {
  return job.clock.time('evaluate', () => candidate.score(widths, job.work));
}

interface Measured {
  job: Job;
  profiles: readonly LayerProfile[];
  scorer: Scorer;
  candidate: Candidate;
  cost: CostModel;
}

async function answer({ job, profiles, scorer, candidate, cost }: Measured, ask: Ask): Promise<Answer> {
  const { work, layers, floatLayers, choices, clock } = job;
  const strategy = strategyOf(ask.strategy);
  const ceilings = parseCeilings(ask.targets, [...layers, ...floatLayers]);
  const floor = floorOf(ask, scorer);
  const allocation = await clock.time('allocate', async () => {
    const chosen = await strategies[strategy]({
      ...work,
      layers: problemLayers(profiles, choices),
      ties: choices.ties,
      cost,
      ceilings,
      goal: goalOf(ask.minimize, cost, widest(choices)),
      seed: job.options.seed ?? DEFAULTS.seed,
      maxDrop: floor?.maxDrop ?? null,
      evaluate: async (widths) =>
        measurementOf(scorer, await evaluateOn(job, candidate, widths), ask.minSqnr),
      budget: ask.evaluations ?? DEFAULTS.evaluations,
      buffer: DEFAULTS.buffer,
    });
    await candidate.become(chosen.widths, work.signal);
    return chosen;
  });
  const validation = accuracyOf(scorer, await evaluateOn(job, candidate, allocation.widths));
  return { allocation, ceilings, floor, strategy, validation };
}

/** Float and quantized network side by side on samples that nothing has looked at yet. */
async function judge(job: Job, float: Evaluator, candidate: Candidate): Promise<AccuracyResult | null> {
  const { judged } = job.roles;
  if (!judged) return null;
  const scorer = await scorerFor(job, float, judged);
  return accuracyOf(scorer, await scorer.score(candidate.executor, job.work));
}
