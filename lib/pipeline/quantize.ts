import type { Allocation, Ceiling, Problem, Widths } from '../allocate/allocate.ts';
import { strategies } from '../allocate/index.ts';
import type { Calibration, LayerProfile, WorkOptions } from '../analysis/analysis.ts';
import { calibrate, profile } from '../analysis/index.ts';
import type { Evaluator } from '../engine/engine.ts';
import type { Layer, Port } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import { createKernels } from '../kernels/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { createRecovery } from '../recovery/index.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { makeArtefacts, OUTPUT_NAMES, outputFiles, writeArtefacts } from './artefacts.ts';
import { type Clock, createClock } from './clock.ts';
import { refuseExisting } from './files.ts';
import { loadMetric, type MetricFunction } from './metric.ts';
import { type Executable, openExecutable, requireLayers } from './model.ts';
import { checkOptions, DEFAULTS, type QuantizeOptions } from './options.ts';
import {
  chooseQuantizers,
  inputScales,
  type LayerChoice,
  layerChoices,
  quantizable,
} from './quantization.ts';
import { costOf, floatBytesOf, parseCeilings, problemLayers, recoveryOf, strategyOf } from './resources.ts';
import type { AccuracyResult, Artefacts, QuantizeResult, Seconds } from './result.ts';
import { assignRoles, type Roles, type Samples, sampleInput } from './samples.ts';
import { batchSize, classesOf, createScorer, type Scorer } from './scoring.ts';
import { accuracyOf, type Candidate, createCandidate, type Floor, floorOf, measurementOf } from './search.ts';

const STAGES = ['calibrate', 'profile', 'allocate', 'recover', 'evaluate'] as const;
type Stage = (typeof STAGES)[number];

/** Everything that is decided or opened before the long work. */
interface Job extends Executable {
  options: QuantizeOptions;
  work: WorkOptions;
  clock: Clock<Stage>;
  kernels: Kernels;
  input: Port;
  /** Those that get a width, in execution order, and what they may take. */
  layers: Layer[];
  /** Those that stay in float. */
  floatLayers: Layer[];
  choices: LayerChoice[];
  ceilings: Ceiling[];
  roles: Roles;
  metric: MetricFunction | null;
  batch: number;
}

/**
 * Chooses a width for every layer and makes the quantized network.
 *
 * The search sees calibration and validation samples only; `accuracy` comes from samples that were scored once, after
 * the widths were frozen. With `out` four files are written, all or none. Rejects with `signal.reason` on abort, and
 * with SigmaQuantError: OUTPUT_EXISTS, INVALID_ARGUMENT, MALFORMED_MODEL, UNSUPPORTED_MODEL, UNSUPPORTED_OPERATOR,
 * DATA_MISMATCH, DATA_UNREADABLE, BACKEND_UNAVAILABLE. An unreachable target is a verdict, not an error.
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeResult> {
  const clock = createClock<Stage>(STAGES);
  checkOptions(options);
  options.signal?.throwIfAborted();
  if (options.out !== undefined) await refuseExisting(options.out, options.force ?? false, OUTPUT_NAMES);
  const strategy = strategyOf(options.strategy);
  const opened = await openExecutable(options);
  let job: Job | undefined;
  try {
    job = await prepare({ ...options, strategy }, opened, clock);
    return await run(job);
  } finally {
    job?.kernels.dispose();
    opened.dispose();
  }
}

async function prepare(options: QuantizeOptions, opened: Executable, clock: Clock<Stage>): Promise<Job> {
  const { model, graph } = opened;
  requireLayers(model.name, model.layers);
  const input = sampleInput(model.graph);
  const allLayers = layersOf(graph);
  const layers = quantizable(graph, allLayers);
  requireLayers(model.name, layers);
  const choices = layerChoices(layers, options);
  const ceilings = parseCeilings(options.targets, allLayers);
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
    ceilings,
    roles,
    metric,
    batch: batchSize(macs, input),
  };
}

async function run(job: Job): Promise<QuantizeResult> {
  const { graph, kernels, options, clock, layers, choices, roles, model, compile, executor } = job;
  const float = compile(graph, kernels);
  const calibration = await clock.time('calibrate', () => calibrateJob(job));
  const method = options.ranges ?? DEFAULTS.ranges;
  const quantizers = chooseQuantizers(graph, layers, choices, calibration, method);
  const scorer = await clock.time('evaluate', () => scorerFor(job, float, roles.validation));
  const floor = floorOf(options, scorer);
  const recovery = timedRecovery(job, calibration, quantizers);
  const profiles = await clock.time('profile', () => profileJob(job, recovery));
  const candidate = await createCandidate(
    layers,
    quantizers,
    recovery,
    scorer,
    widest(choices),
    (quantization) => compile(graph, kernels, { quantization }),
    Math.min(options.cacheBytes ?? DEFAULTS.cacheBytes, job.cacheBytes),
    job.work.signal,
  );
  const allocation = await clock.time('allocate', () => allocate(job, floor, profiles, scorer, candidate));
  const validation = accuracyOf(scorer, await evaluateOn(job, candidate, allocation.widths));
  const accuracy = await clock.time('evaluate', () => judge(job, float, candidate));
  const artefacts = await makeArtefacts({
    options,
    model,
    executor,
    layers,
    floatBytes: floatBytesOf([...layers, ...job.floatLayers]),
    ceilings: job.ceilings,
    profiles,
    roles,
    calibrationSamples: calibration.samples,
    quantization: candidate.quantization,
    floatNodes: candidate.executor.floatNodes,
    allocation,
    floor,
    validation,
    accuracy,
    classes: classesOf(graph.outputs),
  });
  const { out } = options;
  if (out !== undefined) await writeArtefacts(out, artefacts, options.force ?? false, job.work.signal);
  return summarize(job, artefacts, out, clock.seconds());
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
  { layers, kernels, graph, options, clock }: Job,
  calibration: Calibration,
  quantizers: ReadonlyMap<string, Quantizer>,
): Recovery {
  const name = recoveryOf(options.recovery);
  const recovery = createRecovery(name, {
    layers,
    calibration,
    inputScales: inputScales(graph, layers, quantizers),
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
  recovery: Recovery,
) {
  const widths = [...new Set(choices.flatMap(({ bits }) => bits))].sort((a, b) => a - b);
  return profile(graph, layers, kernels, roles.calibration.dataset, recovery.quantize, {
    ...work,
    compile,
    widths,
    samples: Math.min(options.samples ?? DEFAULTS.samples, profileSamples(layers, widths.length)),
    batch,
  });
}

/**
 * As many samples as the budget of multiply-accumulates pays for: for each sample, every layer at every width runs
 * what comes after it.
 */
function profileSamples(layers: readonly Layer[], widths: number): number {
  let after = 0;
  let perSample = 0;
  for (const { macs } of layers.toReversed()) perSample += widths * (after += macs);
  const { least, most, macs } = DEFAULTS.profile;
  return Math.max(least, Math.min(most, Math.floor(macs / Math.max(1, perSample))));
}

function widest(choices: readonly LayerChoice[]): Widths {
  return new Map(
    choices.map(({ name, bits, activations }) => [name, { weights: bits.at(-1)!, activations }]),
  );
}

async function evaluateOn(job: Job, candidate: Candidate, widths: Widths) {
  return job.clock.time('evaluate', () => candidate.score(widths, job.work));
}

async function allocate(
  job: Job,
  floor: Floor | null,
  profiles: readonly LayerProfile[],
  scorer: Scorer,
  candidate: Candidate,
): Promise<Allocation> {
  const { options, work, layers, floatLayers, choices, ceilings } = job;
  const problem: Problem = {
    ...work,
    layers: problemLayers(profiles, choices),
    cost: costOf(layers, floatLayers),
    ceilings,
    maxDrop: floor?.maxDrop ?? null,
    evaluate: async (widths) =>
      measurementOf(scorer, await evaluateOn(job, candidate, widths), options.minSqnr),
    budget: options.evaluations ?? DEFAULTS.evaluations,
    buffer: DEFAULTS.buffer,
  };
  const allocation = await strategies[options.strategy!](problem);
  await candidate.become(allocation.widths, work.signal);
  return allocation;
}

/** Float and quantized network side by side on samples that nothing has looked at yet. */
async function judge(job: Job, float: Evaluator, candidate: Candidate): Promise<AccuracyResult | null> {
  const { judged } = job.roles;
  if (!judged) return null;
  const scorer = await scorerFor(job, float, judged);
  return accuracyOf(scorer, await scorer.score(candidate.executor, job.work));
}

function summarize(
  { options, kernels, executor }: Job,
  artefacts: Artefacts,
  out: string | undefined,
  seconds: Seconds,
): QuantizeResult {
  const { allocation } = artefacts;
  return {
    model: allocation.model.name,
    layers: allocation.layers.map(({ name, op, parameters, macs, sigma, weights, activations }) => ({
      name,
      op,
      parameters,
      macs,
      sigma,
      weights,
      activations,
    })),
    averageBits: allocation.cost['averageBits'],
    floatBytes: allocation.floatBytes,
    weightBytes: allocation.cost['weightBytes'],
    fileBytes: artefacts.model.length,
    sqntBytes: artefacts.sqnt?.length ?? null,
    accuracy: allocation.accuracy,
    validation: allocation.validation!,
    verdict: allocation.verdict,
    warnings: allocation.warnings,
    binding: allocation.binding,
    reachable: allocation.reachable,
    strategy: options.strategy!,
    recovery: allocation.recovery,
    executor,
    backend: kernels.backend,
    isa: kernels.isa,
    threads: kernels.threads,
    seconds,
    evaluations: allocation.evaluations,
    files: out === undefined ? null : outputFiles(out, artefacts.sqnt !== null),
    artefacts,
  };
}
