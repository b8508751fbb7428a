import { hash } from '../data/split.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Loss } from './losses.ts';
import { clipGradients, cosine, type Optimizer, type Trained } from './optimizers.ts';
import { type Augmentation, shuffled, type TrainingSet, writeSample } from './samples.ts';
import type { Tape } from './tape.ts';

/** Where training stands: plain arrays, from which it goes on to the same bytes. */
export interface TrainingState {
  /** Steps done. */
  step: number;
  /** Parameters, then the optimizer's state, then averages, then what else changes. */
  arrays: readonly Float32Array[];
}

export interface TrainingProgress {
  step: number;
  steps: number;
  epoch: number;
  /** Mean over the steps since the last report. */
  loss: number;
  /** Share of the samples since the last report whose label scored highest; null without labels. */
  accuracy: number | null;
  samples: number;
}

export interface MinimizeOptions {
  epochs: number;
  batch: number;
  /** Highest rate; falls to zero along a cosine. */
  rate: number;
  /** Share of all steps that it rises linearly from zero. */
  warmup: number;
  /** Limit of the gradients' common norm. */
  clip: number;
  /** Decay per step of the exponential average that training ends with; 0 for the last parameters. */
  average: number;
  seed: number;
  augmentation: Augmentation;
  /** Steps between two checkpoints. */
  every: number;
  pace: (work: number) => Promise<void>;
  onProgress?: (progress: TrainingProgress) => void;
  /** Called with the state after every `every` steps and at the end. */
  save?: (state: TrainingState) => Promise<void>;
  /** Where to go on. */
  from?: TrainingState | null;
}

/** What is trained and by what. */
export interface Training {
  tape: Tape;
  trained: readonly Trained[];
  optimizer: Optimizer;
  /** Other arrays that a step changes: running statistics. */
  carried: readonly Float32Array[];
  input: string;
  output: string;
  /** The loss of a batch: x as the tape has it, and the indices of its samples. */
  lossOf(x: Float32Array, indices: Uint32Array): Promise<Loss> | Loss;
  /** After each step. */
  hold(): void;
}

/** A loss of so many times the first one, or none at all, is divergence. */
const DIVERGED = 20;
/** Steps over which losses are averaged for that judgement. */
const WINDOW = 20;

/**
 * Minimizes the mean loss over the samples. Each epoch is a permutation of them by the seed; a last batch that would be
 * smaller is left out. Throws DATA_MISMATCH for a batch larger than the data, and TRAINING_DIVERGED, after the last
 * good state was put back, where the loss explodes.
 */
export async function minimize(
  training: Training,
  data: TrainingSet,
  options: MinimizeOptions,
): Promise<void> {
  const { tape, trained, optimizer, output } = training;
  const { batch, epochs } = options;
  if (data.count < batch)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least ${batch} samples for a batch of training but received ${data.count}: give more samples or a smaller batch.`,
    );
  const perEpoch = Math.floor(data.count / batch);
  const steps = Math.max(1, Math.round(epochs * perEpoch));
  const parameters = trained.map(({ parameter }) => parameter);
  const averages = options.average > 0 ? parameters.map(({ data: values }) => values.slice()) : [];
  const arrays = [
    ...parameters.map(({ data: values }) => values),
    ...optimizer.state,
    ...averages,
    ...training.carried,
  ];
  if (options.from) restore(options.from, arrays);
  optimizer.steps = options.from?.step ?? 0;
  let good = stateOf(optimizer.steps, arrays);
  /** Good once a loss has been computed with it: a step can leave anything behind. */
  let reached = good;
  const losses = lossWatch();
  const diverged = (step: number, received: string): never => {
    restore(good, arrays);
    throw new SigmaQuantError(
      'TRAINING_DIVERGED',
      `Expected a loss near ${losses.first.toPrecision(3)} or below but received ${received} at step ${step + 1} of ${steps}: the state of step ${good.step} was kept; train with a lower rate.`,
    );
  };
  const tally = { loss: 0, steps: 0, hits: 0 };
  const indices = new Uint32Array(batch);
  let order: Uint32Array = new Uint32Array(0);
  for (let step = optimizer.steps; step < steps; step++) {
    const epoch = Math.floor(step / perEpoch);
    if (order.length === 0 || step % perEpoch === 0) order = shuffled(data.count, options.seed, epoch);
    const first = (step % perEpoch) * batch;
    indices.set(order.subarray(first, first + batch));
    const x = tape.input(training.input);
    const size = x.length / batch;
    indices.forEach((index, i) => {
      writeSample(data, index, options.augmentation, hash(hash(options.seed + 1, epoch), index), x, i * size);
    });
    const lossOf = await training.lossOf(x, indices);
    await tape.run('forward', options.pace);
    const logits = tape.output(output);
    const loss = lossOf(logits, logits.length / batch, tape.seed(output));
    if (!losses.accept(loss)) diverged(step, loss.toPrecision(3));
    good = reached;
    for (const { gradient } of parameters) gradient.fill(0);
    if (data.labels) tally.hits += hitsOf(logits, data.labels, indices);
    await tape.run('backward', options.pace);
    // A clamp hides what is no number from the loss, never from the gradients.
    if (!Number.isFinite(clipGradients(parameters, options.clip)))
      diverged(step, 'gradients that are no numbers');
    optimizer.step(options.rate * cosine(step / steps, options.warmup));
    training.hold();
    averageInto(averages, parameters, options.average, step);
    tally.loss += loss;
    tally.steps++;
    if ((step + 1) % options.every !== 0 && step + 1 !== steps) continue;
    if (!parameters.every(({ data: values }) => values.every(Number.isFinite)))
      diverged(step, 'weights that are no numbers');
    reached = stateOf(step + 1, arrays);
    options.onProgress?.({
      step: step + 1,
      steps,
      epoch,
      loss: tally.loss / tally.steps,
      accuracy: data.labels ? tally.hits / (tally.steps * batch) : null,
      samples: (step + 1) * batch,
    });
    Object.assign(tally, { loss: 0, steps: 0, hits: 0 });
    await options.save?.(reached);
  }
  averages.forEach((values, p) => {
    parameters[p].data.set(values);
  });
}

function restore({ arrays }: TrainingState, into: readonly Float32Array[]): void {
  into.forEach((target, i) => {
    target.set(arrays[i]);
  });
}

const stateOf = (step: number, arrays: readonly Float32Array[]): TrainingState => ({
  step,
  arrays: arrays.map((values) => values.slice()),
});

/** The average of few steps is of those few alone: its decay rises to `decay`. */
function averageInto(
  averages: readonly Float32Array[],
  parameters: readonly { data: Float32Array }[],
  decay: number,
  step: number,
): void {
  const share = 1 - Math.min(decay, (step + 1) / (step + 10));
  averages.forEach((values, p) => {
    const { data } = parameters[p];
    for (let i = 0; i < values.length; i++) values[i] += share * (data[i] - values[i]);
  });
}

function hitsOf(logits: Float32Array, labels: Int32Array, indices: Uint32Array): number {
  const classes = logits.length / indices.length;
  let hits = 0;
  indices.forEach((index, row) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits[row * classes + c] > logits[row * classes + best]) best = c;
    if (best === labels[index]) hits++;
  });
  return hits;
}

/** Accepts losses until their recent mean is far above the first ones'. */
function lossWatch() {
  const recent: number[] = [];
  let first = Number.NaN;
  return {
    get first() {
      return first;
    },
    accept(loss: number): boolean {
      if (Number.isNaN(first)) first = loss;
      recent.push(loss);
      if (recent.length > WINDOW) recent.shift();
      const mean = recent.reduce((sum, value) => sum + value, 0) / recent.length;
      return Number.isFinite(loss) && (recent.length < WINDOW || mean <= DIVERGED * Math.max(first, 0.1));
    },
  };
}
