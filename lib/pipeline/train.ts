import { pause } from '../analysis/pace.ts';
import type { Dataset } from '../data/dataset.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Port } from '../graph/graph.ts';
import { importGraph, toChannelsLast } from '../graph/index.ts';
import { createKernels } from '../kernels/index.ts';
import type { BackendName, Isa, Kernels } from '../kernels/kernels.ts';
import {
  adam,
  blend,
  crossEntropy,
  distillation,
  hasGradient,
  minimize,
  type Optimizer,
  STEP_MEMORY,
  sgd,
  type Trained,
  type Training,
  type TrainingSet,
  tapeOf,
  trainable,
  trainedGraph,
} from '../training/index.ts';
import { initialize, layerWeights } from '../training/initialization.ts';
import { Checkpoint } from './checkpoint.ts';
import { type Classifier, classifierOf } from './classifier.ts';
import { refuseExistingFile, writeNewFile } from './files.ts';
import { type ReadSource, readSource, sha256 } from './model.ts';
import { nodeHost } from './node-host.ts';
import { openSamples, sampleInput } from './samples.ts';
import { openTeacher, type Teacher } from './teacher.ts';
import {
  settingsOf,
  type TrainEpoch,
  type TrainOptions,
  type TrainSettings,
  type ValidationScore,
} from './train-options.ts';
import { TrainedFile } from './trained-file.ts';
import { trainingSet } from './training-data.ts';
import { TrainingJournal } from './training-journal.ts';
import { requireLabels, validated } from './validator.ts';

export type {
  OptimizerName,
  TrainEpoch,
  TrainOptions,
  TrainSettings,
  ValidationScore,
} from './train-options.ts';

/** Temperature of distillation, and its share of the loss. */
const DISTILLATION = { temperature: 2, share: 0.5 } as const;

/** Far below the 200 ms that an abort may take. */
const MILLISECONDS_BETWEEN_PAUSES = 20;

/** The document of `train --json`, beside the network. */
export interface TrainResult extends TrainSettings {
  model: string;
  /** That were trained on. */
  samples: number;
  /** That were learned. */
  parameters: number;
  steps: number;
  /** Step of the checkpoint from which training went on; 0 where there was none. */
  resumedAt: number;
  /** Epochs that ended in this run. */
  history: readonly TrainEpoch[];
  /** Of the network that is written; null without validation data. */
  score: ValidationScore | null;
  /** Path that was written; null where none was asked for. */
  file: string | null;
  /** The trained ONNX file. */
  network: Uint8Array<ArrayBuffer>;
  backend: BackendName;
  isa: Isa;
  threads: number;
  seconds: number;
}

/**
 * Trains a float network that tells classes apart on labelled samples; the file comes out with other weights and is
 * otherwise the same. Deterministic by `seed`: the same bytes for any number of threads and on every instruction set
 * with fused multiply-adds. Throws as `evaluate` does, and UNSUPPORTED_OPERATOR for operators without a gradient,
 * DATA_MISMATCH for labels that are missing or no classes and for a batch larger than the data, TRAINING_DIVERGED
 * (the last good state is written to `out`), OUTPUT_EXISTS.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const started = performance.now();
  const settings = settingsOf(options);
  options.signal?.throwIfAborted();
  if (options.out !== undefined) await refuseExistingFile(options.out, 'out', options.force ?? false);
  const source = await readSource(options.model, nodeHost);
  const task = taskOf(source, options);
  const samples = await openRoles(task.input, options);
  const data = await trainingSet(samples.dataset, task.classifier.classes, options.signal);
  checkBatch(settings, data);
  const { backend, isa, threads, distill } = options;
  const kernels = await createKernels({ backend, isa, threads });
  let teacher: Teacher | null = null;
  try {
    if (distill !== undefined)
      teacher = await openTeacher(distill, kernels, task.classifier.classes, options.signal);
    const run = { source, task, ...samples, data, kernels, teacher, settings, options };
    const { bytes, ...outcome } = await trainOn(run);
    if (options.out !== undefined) await writeNewFile(options.out, 'out', bytes, options.force ?? false);
    await outcome.checkpoint?.remove();
    return {
      model: source.name,
      ...settings,
      samples: data.count,
      parameters: outcome.parameters,
      steps: settings.epochs * perEpochOf(run),
      resumedAt: outcome.resumedAt,
      history: outcome.history,
      score: outcome.score,
      file: options.out ?? null,
      network: bytes,
      backend: kernels.backend,
      isa: kernels.isa,
      threads: kernels.threads,
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } finally {
    teacher?.dispose();
    kernels.dispose();
  }
}

/** What is trained: fixed before any data is read. */
interface Task {
  graph: Graph;
  classifier: Classifier;
  input: Port;
}

interface Roles {
  dataset: Dataset;
  validation: Dataset | null;
}

interface Run extends Roles {
  source: ReadSource;
  task: Task;
  data: TrainingSet & { labels: Int32Array };
  kernels: Kernels;
  teacher: Teacher | null;
  settings: TrainSettings;
  options: TrainOptions;
}

/**
 * Channels-last with batch norms as they stand. Throws UNSUPPORTED_OPERATOR naming every operator without a gradient,
 * UNSUPPORTED_MODEL for a fixed batch.
 */
function taskOf({ proto }: ReadSource, { inputShapes }: TrainOptions): Task {
  const shapes = inputShapes ? { inputShapes } : {};
  const { graph: imported } = importGraph(proto, { foldBatchNorm: false, ...shapes });
  const fixed = classifierOf(imported).nodes.filter((node) => !hasGradient(node));
  if (fixed.length > 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected operators with a gradient for training but received ${fixed.map(({ op, name }) => `${op} (node ${name})`).join(', ')}.`,
    );
  const graph = toChannelsLast(imported);
  const input = sampleInput(graph);
  if (typeof input.shape[0] === 'number')
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected an open batch for input ${input.name} but received ${input.shape[0]}; export the network with a named first dimension.`,
    );
  return { graph, classifier: classifierOf(graph), input };
}

async function openRoles(input: Port, options: TrainOptions): Promise<Roles> {
  const { data, validation, preprocessing = {} } = options;
  const dataset = await openSamples(data, input, preprocessing, nodeHost);
  const scored =
    validation === undefined ? null : await openSamples(validation, input, preprocessing, nodeHost);
  for (const samples of [dataset, scored]) if (samples) requireLabels(samples);
  return { dataset, validation: scored };
}

function checkBatch({ batch }: TrainSettings, { count }: TrainingSet): void {
  if (batch <= count) return;
  throw new SigmaQuantError(
    'DATA_MISMATCH',
    `Expected at least ${batch} samples for a batch of training but received ${count}: give more samples or a smaller batch.`,
  );
}

const perEpochOf = ({ data, settings }: Pick<Run, 'data' | 'settings'>) =>
  Math.floor(data.count / settings.batch);

async function trainOn(run: Run) {
  const { source, task, data, kernels, settings, options } = run;
  const { graph, classifier, input } = task;
  const network = trainable(graph);
  const { parameters, norms } = network;
  const file = new TrainedFile(source.proto, network);
  if (settings.reset) initialize(network, settings.seed);
  const trained = trainedOf(network, settings);
  const optimizer = settings.optimizer === 'adam' ? adam(trained) : sgd(trained);
  const carried = [...norms.values()].flatMap(({ mean, variance }) => [mean, variance]);
  const checkpoint = await checkpointOf(run, stateLengths(trained, optimizer, settings, carried));
  const from = (await checkpoint?.read()) ?? null;
  const encode = () => file.encode(trainedGraph(network));
  const journal = new TrainingJournal({
    ...settings,
    perEpoch: perEpochOf(run),
    first: from?.step ?? 0,
    checkpoint,
    score: async () => (run.validation ? validated(encode(), run.validation, kernels, options) : null),
    options,
  });
  const outputs = [classifier.logits];
  const part = { parameters, norms, outputs, memory: STEP_MEMORY };
  const tape = tapeOf(graph, kernels, settings.batch, part, classifier.nodes);
  const training: Training = {
    tape,
    trained,
    optimizer,
    carried,
    input: input.name,
    output: classifier.logits,
    lossOf: lossOf(run),
    hold: () => journal.step(),
  };
  try {
    await minimize(training, data, {
      ...settings,
      augmentation: settings,
      every: journal.every,
      pace: timedPace(options.signal),
      onProgress: (progress) => journal.add(progress),
      save: (state) => journal.save(state),
      from,
    });
  } catch (error) {
    if (!(error instanceof SigmaQuantError) || error.code !== 'TRAINING_DIVERGED') throw error;
    await checkpoint?.remove();
    throw await keptAfter(error, encode(), options);
  } finally {
    tape.dispose();
  }
  return {
    bytes: encode(),
    score: await journal.closeEpoch(),
    history: journal.history,
    parameters: trained.reduce((sum, { parameter }) => sum + parameter.data.length, 0),
    resumedAt: from?.step ?? 0,
    checkpoint,
  };
}

/** Lets events run after every few milliseconds: much of a small network's step is no multiply-add. */
function timedPace(signal: AbortSignal | undefined): () => Promise<void> {
  let paused = performance.now();
  return async () => {
    if (performance.now() - paused < MILLISECONDS_BETWEEN_PAUSES) return;
    await pause(signal);
    paused = performance.now();
  };
}

/** Weights of layers decay, biases and normalizations do not. */
function trainedOf(network: ReturnType<typeof trainable>, { decay }: TrainSettings): Trained[] {
  const decaying = layerWeights(network);
  return [...network.parameters].map(([name, parameter]) => ({
    parameter,
    rate: 1,
    decay: decaying.has(name) ? decay : 0,
  }));
}

/** In the order of `TrainingState.arrays`. */
function stateLengths(
  trained: readonly Trained[],
  { state }: Optimizer,
  { average }: TrainSettings,
  carried: readonly Float32Array[],
): number[] {
  const own = trained.map(({ parameter }) => parameter.data);
  return [...own, ...state, ...(average > 0 ? own : []), ...carried].map(({ length }) => length);
}

async function checkpointOf(run: Run, lengths: readonly number[]): Promise<Checkpoint | null> {
  const { source, dataset, teacher, settings, options } = run;
  const { checkpoint, preprocessing, inputShapes, onWarning } = options;
  if (checkpoint === undefined) return null;
  const all = [
    source.sha256,
    await dataset.fingerprint(),
    preprocessing,
    inputShapes,
    settings,
    teacher?.sha256,
  ];
  return new Checkpoint(checkpoint, {
    digest: sha256(JSON.stringify(all)),
    lengths,
    warn: onWarning ?? ((sentence) => process.emitWarning(sentence)),
  });
}

function lossOf({ data, teacher, settings }: Run): Training['lossOf'] {
  return async (x, indices) => {
    const labels = Int32Array.from(indices, (index) => data.labels[index]);
    const own = crossEntropy(labels, settings.smoothing);
    if (!teacher) return own;
    const scores = await teacher.scores(x, indices.length, data.shape);
    return blend(own, distillation(scores, DISTILLATION.temperature), DISTILLATION.share);
  };
}

/** Writes the last good network, which is what `bytes` hold, and says so. */
async function keptAfter(
  error: SigmaQuantError,
  bytes: Uint8Array,
  options: TrainOptions,
): Promise<SigmaQuantError> {
  const { out, force = false } = options;
  if (out === undefined) return error;
  await writeNewFile(out, 'out', bytes, force);
  const sentence = `${error.message.replace(/\.$/, '')} (its network is in ${JSON.stringify(out)}).`;
  return new SigmaQuantError('TRAINING_DIVERGED', sentence, { cause: error });
}
