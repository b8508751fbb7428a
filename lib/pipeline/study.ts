import type { Widths } from '../allocate/allocate.ts';
import type { FrontierOptions, FrontierPoint } from '../allocate/index.ts';
import type { Calibration, LayerProfile, WorkOptions } from '../analysis/analysis.ts';
import { calibrate, type ProfileCheckpoint, profile } from '../analysis/index.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Evaluator } from '../engine/engine.ts';
import type { Layer, Port } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import type { Device } from '../hardware/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { createRecovery } from '../recovery/index.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { type Answer, type Ask, answer, front, type UniformPoint, uniform, validate } from './answers.ts';
import { openCache, type StudyCache } from './cache.ts';
import { type Choices, choicesOf, uniformWidths } from './choices.ts';
import { type Clock, createClock } from './clock.ts';
import { equalized } from './equalization.ts';
import type { Host } from './host.ts';
import { type Learn, type Learning, learningOf, roundingOf } from './learning.ts';
import { loadMetric, type MetricFunction } from './metric.ts';
import { type Executable, openExecutable, requireLayers } from './model.ts';
import { once } from './once.ts';
import { DEFAULTS, type QuantizeOptions, recoveryOf, WIDTHS } from './options.ts';
import {
  chooseRanges,
  createQuantizers,
  inputChoices,
  type Quantizers,
  quantizable,
  type Ranges,
} from './quantization.ts';
import { type Costs, costsOn, deviceOf, digitsFrom, strategyOf } from './resources.ts';
import type { AccuracyResult, Seconds } from './result.ts';
import { assignRoles, openSamples, type Roles, type Samples, sampleInput } from './samples.ts';
import { batchSize, createScorer, type Scorer } from './scoring.ts';
import { accuracyOf, type Candidate, createCandidate, floorOf } from './search.ts';

const STAGES = ['calibrate', 'profile', 'allocate', 'recover', 'evaluate'] as const;
type Stage = (typeof STAGES)[number];

/** Everything that is decided or opened before the long work. */
export interface Job extends Executable {
  host: Host;
  options: QuantizeOptions;
  work: WorkOptions;
  clock: Clock<Stage>;
  kernels: Kernels;
  input: Port;
  /** Those that get a width, in execution order, and what they may take. */
  layers: Layer[];
  /** Those that stay in float. */
  floatLayers: Layer[];
  choices: Choices;
  device: Device;
  roles: Roles;
  /** What is learned from. */
  training: Dataset;
  metric: MetricFunction | null;
  batch: number;
}

/** A network measured once, of which any number of targets can be asked. */
export interface Study extends Job {
  float: Evaluator;
  ranges: Ranges;
  cache: StudyCache;
  profiles: readonly LayerProfile[];
  costs: Costs;
  /** The quantized network, as the last answer left it. */
  candidate: Candidate;
  ask(ask: Ask): Promise<Answer>;
  /** Accuracy against a resource, every point measured on validation samples; `ask` gives ceilings and evaluations. */
  front(ask: Ask, options: FrontierOptions): Promise<FrontierPoint[]>;
  /** One width for all weights, inputs as wide as they may be: measured for comparison. The candidate has the widest of them afterwards. */
  uniform(ask: Ask): Promise<UniformPoint[]>;
  /** Float and quantized network side by side on samples that nothing has looked at yet; null without such samples. */
  judge(): Promise<AccuracyResult | null>;
  /** Makes the network have these widths, and scores it on validation samples. */
  validate(widths: Widths, maxDrop: number | null): Promise<Pick<Answer, 'validation' | 'learned'>>;
  /** What scores are. */
  metricName: string;
  seconds(): Seconds;
}

/**
 * Opens and measures a network, lends it to `use`, and frees everything. The ask of the options is checked before the
 * long work. Rejects as `quantize` does.
 */
export async function withStudy<T>(
  host: Host,
  options: QuantizeOptions,
  use: (study: Study) => Promise<T>,
): Promise<T> {
  const clock = createClock<Stage>(STAGES);
  strategyOf(options.strategy);
  const opened = await openExecutable(options, host);
  let job: Job | undefined;
  try {
    job = await prepare(host, options, opened, clock);
    return await use(await study(job));
  } finally {
    job?.kernels.dispose();
    opened.dispose();
  }
}

async function prepare(
  host: Host,
  options: QuantizeOptions,
  opened: Executable,
  clock: Clock<Stage>,
): Promise<Job> {
  const { model, graph } = opened;
  requireLayers(model.name, model.layers);
  const input = sampleInput(model.graph);
  const allLayers = layersOf(graph);
  const offered = quantizable(graph, allLayers);
  requireLayers(model.name, offered);
  const choices = choicesOf(graph, offered, options);
  const device = await deviceOf(options.device, host);
  const rest = allLayers.filter((layer) => !offered.includes(layer));
  await costsOn(device, graph, offered, rest, () => null, host).ceilings(options.targets);
  const metric = options.metric === undefined ? null : await loadMetric(options.metric, host);
  const roles = await assignRoles(options, input, host);
  const training =
    options.training === undefined
      ? roles.calibration.dataset
      : await openSamples(options.training, input, options.preprocessing ?? {}, host);
  const { backend, isa, threads, signal, onProgress } = options;
  const kernels = await host.createKernels({ backend, isa, threads });
  const macs = model.layers.reduce((sum, layer) => sum + layer.macs, 0);
  const work = { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) };
  const batch = batchSize(macs, input);
  try {
    const samples = options.samples ?? DEFAULTS.samples;
    const data = roles.calibration.dataset;
    const ready = await equalized(opened, { options, kernels, data, samples, batch, work });
    const isOffered = ({ name }: Layer) => choices.layers.some((layer) => layer.name === name);
    const layers = layersOf(ready.graph).filter(isOffered);
    const floatLayers = layersOf(ready.graph).filter((layer) => !isOffered(layer));
    const opening = { host, options, work, clock, kernels, input, batch };
    return { ...ready, ...opening, layers, floatLayers, device, choices, roles, training, metric };
  } catch (error) {
    kernels.dispose();
    throw error;
  }
}

async function study(job: Job): Promise<Study> {
  const { graph, kernels, options, clock, layers, floatLayers, choices, compile } = job;
  const float = compile(graph, kernels);
  const cache = await openCache(job);
  // Before anything is kept: labels that the network cannot have end the run without a trace.
  const scorer = await clock.time('evaluate', () => scorerFor(job, float, job.roles.validation));
  floorOf(options, scorer);
  const calibration = once(() => clock.time('calibrate', () => calibrateJob(job)));
  const ranges = await cache.ranges(async () => {
    const offered = choices.layers.flatMap(({ activations }) => activations);
    return chooseRanges(graph, await calibration(), options.ranges ?? DEFAULTS.ranges, offered);
  });
  const quantizers = createQuantizers(graph, layers, ranges);
  const recovery = cache.recovery(recoveryWhenNeeded(job, calibration, quantizers));
  const profiles = await clock.time('profile', () =>
    cache.profile((checkpoint) => profileJob(job, quantizers, recovery, checkpoint)),
  );
  const { signal } = job.work;
  const uncached = await createCandidate({
    layers,
    quantizers,
    recovery,
    scorer,
    learning: timed(job, await learningFor(job, cache)),
    first: uniformWidths(choices, WIDTHS.high),
    compile: (quantization) => compile(graph, kernels, { quantization }),
    cacheBytes: Math.min(options.cacheBytes ?? DEFAULTS.cacheBytes, job.cacheBytes),
    ...(signal ? { signal } : {}),
  });
  const candidate = await cache.candidate(uncached, scorer.metric, job.training);
  const digits = job.device.array ? await digitsFrom(recovery, choices, signal) : () => null;
  const costs = costsOn(job.device, graph, layers, floatLayers, digits, job.host);
  const measured = { job, profiles, scorer, candidate, costs };
  const judging = once(async () => job.roles.judged && scorerFor(job, float, job.roles.judged));
  return {
    ...job,
    float,
    ranges,
    cache,
    profiles,
    costs,
    candidate,
    ask: (ask) => answer(measured, ask),
    front: (ask, frontOptions) => front(measured, ask, frontOptions),
    uniform: (ask) => uniform(measured, ask),
    judge: () => clock.time('evaluate', async () => judge(job, await judging(), candidate)),
    validate: (widths, maxDrop) => validate(measured, widths, maxDrop),
    metricName: scorer.metric,
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
    gram: roundingOf(recoveryOf(options.recovery)) !== 'none',
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

/** What the options want learned, from the calibration data where they name no other. */
async function learningFor(job: Job, cache: StudyCache): Promise<Learning> {
  const { options, graph, kernels, training } = job;
  const entries = await cache.learning(training);
  return learningOf(recoveryOf(options.recovery), { options, graph, kernels, training, entries });
}

/** Learning counts as recovery. */
function timed({ clock }: Job, { between, last }: Learning): Learning {
  const charged = (learn: Learn | null): Learn | null =>
    learn && ((start, key, work) => clock.time('recover', () => learn(start, key, work)));
  return { between: charged(between), last: charged(last) };
}

/** A recovery that calibrates for the first integers that nobody has kept. */
function recoveryWhenNeeded(
  { layers, kernels, choices, options, clock }: Job,
  calibration: () => Promise<Calibration>,
  quantizers: Quantizers,
): Recovery {
  const name = roundingOf(recoveryOf(options.recovery));
  let made = 0;
  // The smallest scales: a weight's scale is bounded by the finest grid that its bias may have to stand on.
  const inputScales = new Map(
    choices.layers.map(({ name: layer, activations }) => [
      layer,
      quantizers.of(quantizers.owners.get(layer)!, activations.at(-1)!).scale,
    ]),
  );
  const create = once(async () =>
    createRecovery(name, { layers, calibration: await calibration(), inputScales, kernels }),
  );
  return {
    name,
    quantize: async (layer, bits, signal) => {
      const recovery = await create();
      return clock.time('recover', async () => {
        const integers = await recovery.quantize(layer, bits, signal);
        made = recovery.cached;
        return integers;
      });
    },
    get cached() {
      return made;
    },
  };
}

function profileJob(
  { graph, layers, kernels, roles, choices, options, batch, work, compile }: Job,
  quantizers: Quantizers,
  recovery: Recovery,
  checkpoint: ProfileCheckpoint,
) {
  const widths = [...new Set(choices.layers.flatMap(({ bits }) => bits))].sort((a, b) => a - b);
  const inputs = inputChoices(quantizers, choices.layers);
  const runs = widths.length + DEFAULTS.probes + (inputs[0]?.quantizers.size ?? 0);
  return profile(graph, layers, kernels, roles.calibration.dataset, recovery.quantize, {
    ...work,
    compile,
    widths,
    inputs,
    probes: DEFAULTS.probes,
    seed: options.seed ?? DEFAULTS.seed,
    samples: Math.min(options.samples ?? DEFAULTS.samples, profileSamples(layers, runs)),
    batch,
    checkpoint,
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

/** Float and quantized network side by side on samples that nothing has looked at yet. */
async function judge(job: Job, scorer: Scorer | null, candidate: Candidate): Promise<AccuracyResult | null> {
  return scorer && accuracyOf(scorer, await scorer.score(candidate.executor, job.work));
}
