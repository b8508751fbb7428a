import { setImmediate as turn } from 'node:timers/promises';
import type { WorkOptions } from '../analysis/analysis.ts';
import type { Batch } from '../data/dataset.ts';
import type { Executor } from '../engine/engine.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Port, Tensor } from '../graph/graph.ts';
import { exp, log } from '../kernels/index.ts';
import { type MetricFunction, type MetricOutput, scoresOf } from './metric.ts';
import type { Samples } from './samples.ts';

/** Float outputs that are kept for comparison; beyond this the float network runs again for each batch. */
const REFERENCE_BYTES_LIMIT = 256 * 2 ** 20;
/** Multiply-accumulates of one batch at most, so that an abort is heard within 200 ms. */
const BATCH_MACS = 1.5e9;
const BATCH_LIMIT = 64;
/** Probabilities below this count as this, or one saturated logit would make a mean infinite. */
const PROBABILITY_FLOOR = 1e-12;

export type MetricName = 'top-1' | 'agreement' | 'sqnr' | 'custom';

/** Samples per batch for a network with so many multiply-accumulates per sample. */
export function batchSize(macs: number, input: Port): number {
  if (input.shape[0] === 1) return 1;
  return Math.max(1, Math.min(BATCH_LIMIT, Math.floor(BATCH_MACS / Math.max(1, macs))));
}

export interface Score {
  /** One per sample; empty for SQNR. */
  scores: Float64Array;
  /** Mean KL(float ‖ this) of softmax outputs in nats, or relative squared error where outputs are not classes. */
  divergence: number;
  /** Decibels over all outputs. */
  sqnr: number;
}

export interface Scorer {
  readonly metric: MetricName;
  /** Scores of the float network. */
  readonly float: Float64Array;
  readonly samples: number;
  /** Runs an executor of the same network over the same samples. */
  score(executor: Executor, work?: WorkOptions): Promise<Score>;
}

export interface ScorerOptions extends WorkOptions {
  samples: Samples;
  input: Port;
  outputs: readonly Port[];
  batch: number;
  metric: MetricFunction | null;
  /** SQNR is what the floor is about, even where outputs are classes. */
  sqnr?: boolean;
}

interface Reference {
  outputs: MetricOutput[];
  predictions: Int32Array | null;
}

/** Classes of a network with one output [N, classes]; null for any other. */
export function classesOf(outputs: readonly Port[]): number | null {
  const [first] = outputs;
  if (outputs.length !== 1 || first.shape.length !== 2) return null;
  return typeof first.shape[1] === 'number' ? first.shape[1] : null;
}

/** Runs the float network once over the samples and keeps what comparisons need. */
export async function createScorer(float: Executor, options: ScorerOptions): Promise<Scorer> {
  const { outputs, metric } = options;
  const names = outputs.map(({ name }) => name);
  const classes = classesOf(outputs);
  const name = metricName(options, classes);
  const references: Reference[] = [];
  const floatScores: number[] = [];
  let kept = 0;

  async function* batches(stage: string, work: WorkOptions): AsyncGenerator<[Batch, number]> {
    const { dataset, select, size } = options.samples;
    let done = 0;
    let index = 0;
    const common = {
      size: options.batch,
      ...(select ? { select } : {}),
      ...(work.signal ? { signal: work.signal } : {}),
    };
    for await (const batch of dataset.batches(common)) {
      await turn();
      work.signal?.throwIfAborted();
      yield [batch, index++];
      done += batch.count;
      work.onProgress?.(stage, done, size ?? done);
    }
  }

  function run(executor: Executor, batch: Batch): MetricOutput[] {
    const shape = [batch.count, ...options.samples.dataset.shape];
    const x: Tensor = { dtype: 'float32', shape, data: batch.x };
    const fetched = executor.run(new Map([[options.input.name, x]]), names);
    return names.map((output) => {
      const { shape: of, data } = fetched.get(output)!;
      return { name: output, shape: of, data: data as Float32Array };
    });
  }

  async function scoresFor(
    batch: Batch,
    produced: MetricOutput[],
    reference: Reference,
  ): Promise<ArrayLike<number>> {
    if (name === 'custom')
      return scoresOf(metric!, {
        count: batch.count,
        outputs: produced,
        reference: reference.outputs,
        labels: batch.labels,
      });
    if (name === 'sqnr') return [];
    const predictions = argmax(produced[0], batch.count);
    const wanted = name === 'top-1' ? batch.labels! : reference.predictions!;
    return predictions.map((value, index) => (value === wanted[index] ? 1 : 0));
  }

  for await (const [batch, index] of batches('float', options)) {
    const produced = run(float, batch);
    if (name === 'top-1') checkLabels(batch, classes!, options.samples.dataset.name);
    const predictions = classes === null ? null : argmax(produced[0], batch.count);
    const scores = await scoresFor(batch, produced, { outputs: produced, predictions });
    for (let i = 0; i < scores.length; i++) floatScores.push(scores[i]);
    const bytes = produced.reduce((sum, { data }) => sum + data.byteLength, 0);
    const keep = kept + bytes <= REFERENCE_BYTES_LIMIT;
    if (keep) kept += bytes;
    references[index] = { outputs: keep ? produced : [], predictions };
  }
  const counted = references.reduce(
    (sum, { outputs: o, predictions }) => sum + (predictions?.length ?? o[0]?.shape[0] ?? 0),
    0,
  );
  if (references.length === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample but received none from ${options.samples.dataset.name}.`,
    );

  return {
    metric: name,
    float: Float64Array.from(floatScores),
    samples: name === 'sqnr' ? counted : floatScores.length,
    score: async (executor, work = {}) => {
      const scores: number[] = [];
      const total = createComparison(classes);
      for await (const [batch, index] of batches('evaluate', work)) {
        const produced = run(executor, batch);
        const { predictions, outputs: stored } = references[index];
        const needed = stored.length > 0 || name === 'custom' || name === 'sqnr';
        const reference = stored.length > 0 || !needed ? stored : run(float, batch);
        const list = await scoresFor(batch, produced, { outputs: reference, predictions });
        for (let i = 0; i < list.length; i++) scores.push(list[i]);
        if (needed) total.add(reference, produced, batch.count);
      }
      return { scores: Float64Array.from(scores), ...total.result() };
    },
  };
}

function metricName(options: ScorerOptions, classes: number | null): MetricName {
  if (options.metric) return 'custom';
  if (options.sqnr || classes === null) return 'sqnr';
  return options.samples.dataset.labelled ? 'top-1' : 'agreement';
}

function checkLabels(batch: Batch, classes: number, name: string): void {
  const wrong = batch.labels!.findIndex((label) => label < 0 || label >= classes);
  if (wrong >= 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected labels from 0 to ${classes - 1} but received ${batch.labels![wrong]} at sample ${batch.indices[wrong]} of ${name}.`,
    );
}

/** The first of the largest values of each row. */
function argmax({ data }: MetricOutput, rows: number): Int32Array {
  const columns = data.length / rows;
  return Int32Array.from({ length: rows }, (_, row) => {
    let best = 0;
    for (let i = 1; i < columns; i++) if (data[row * columns + i] > data[row * columns + best]) best = i;
    return best;
  });
}

/** Adds up how far outputs are from the float network's. */
function createComparison(classes: number | null) {
  let divergence = 0;
  let rows = 0;
  let power = 0;
  let noise = 0;
  return {
    add(reference: readonly MetricOutput[], produced: readonly MetricOutput[], count: number): void {
      reference.forEach(({ data: p }, output) => {
        const { data: q } = produced[output];
        for (let i = 0; i < p.length; i++) {
          power += p[i] * p[i];
          noise += (p[i] - q[i]) * (p[i] - q[i]);
        }
        if (classes !== null) divergence += klRows(p, q, count);
      });
      rows += count;
    },
    result(): Omit<Score, 'scores'> {
      const relative = power > 0 ? noise / power : noise === 0 ? 0 : 1;
      return {
        divergence: classes !== null ? divergence / Math.max(1, rows) : relative,
        sqnr: noise === 0 ? SQNR_LIMIT : Math.min(SQNR_LIMIT, -10 * Math.log10(relative)),
      };
    },
  };
}

/** Stands for outputs that are equal to the last bit; JSON has no Infinity. Decibels. */
const SQNR_LIMIT = 200;

/** Σ over rows of KL(softmax p ‖ softmax q). */
function klRows(p: Float32Array, q: Float32Array, rows: number): number {
  const columns = p.length / rows;
  const first = new Float64Array(columns);
  const second = new Float64Array(columns);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    softmax(p, row * columns, first);
    softmax(q, row * columns, second);
    for (let i = 0; i < columns; i++)
      sum +=
        first[i] * (log(Math.max(first[i], PROBABILITY_FLOOR)) - log(Math.max(second[i], PROBABILITY_FLOOR)));
  }
  return sum;
}

function softmax(x: Float32Array, offset: number, into: Float64Array): void {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < into.length; i++) max = Math.max(max, x[offset + i]);
  let total = 0;
  for (let i = 0; i < into.length; i++) total += into[i] = exp(x[offset + i] - max);
  for (let i = 0; i < into.length; i++) into[i] /= total;
}
