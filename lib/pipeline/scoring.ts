import type { WorkOptions } from '../analysis/analysis.ts';
import { SuffixRuns } from '../analysis/index.ts';
import type { Batch } from '../data/dataset.ts';
import type { Evaluator } from '../engine/engine.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Port, Tensor } from '../graph/graph.ts';
import { nextTask } from '../kernels/later.ts';
import { Compared, createComparison } from './comparison.ts';
import { type MetricFunction, type MetricOutput, scoresOf } from './metric.ts';
import type { Samples } from './samples.ts';

/** Float outputs that are kept for comparison; beyond this the float network runs again for each batch. */
const REFERENCE_BYTES_LIMIT = 256 * 2 ** 20;
/** Multiply-accumulates of one batch at most, so that an abort is heard within 200 ms. */
const BATCH_MACS = 1.5e9;
const BATCH_LIMIT = 64;

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
  /** Runs an executor of the same network over the same samples, or only what changed since `runs` last saw them. */
  score(source: Evaluator | SuffixRuns, work?: WorkOptions): Promise<Score>;
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

/** What the float network made of a batch. */
interface Reference {
  count: number;
  labels: Int32Array | null;
  predictions: Int32Array | null;
  /** Null where memory did not suffice. */
  outputs: Compared | null;
}

/** Classes of a network with one output [N, classes]; null for any other. */
export function classesOf(outputs: readonly Port[]): number | null {
  const [first] = outputs;
  if (outputs.length !== 1 || first.shape.length !== 2) return null;
  return typeof first.shape[1] === 'number' ? first.shape[1] : null;
}

/** Runs the float network once over the samples and keeps what comparisons need. */
export async function createScorer(float: Evaluator, options: ScorerOptions): Promise<Scorer> {
  const scorer = new SampleScorer(float, options);
  await scorer.begin();
  return scorer;
}

class SampleScorer implements Scorer {
  readonly metric: MetricName;
  readonly #float: Evaluator;
  readonly #options: ScorerOptions;
  readonly #names: readonly string[];
  readonly #classes: number | null;
  readonly #references: Reference[] = [];
  readonly #floatScores: number[] = [];
  #kept = 0;

  constructor(float: Evaluator, options: ScorerOptions) {
    this.#float = float;
    this.#options = options;
    this.#names = options.outputs.map(({ name }) => name);
    this.#classes = classesOf(options.outputs);
    this.metric = metricName(options, this.#classes);
  }

  get float(): Float64Array {
    return Float64Array.from(this.#floatScores);
  }

  get samples(): number {
    return this.#references.reduce((sum, { count }) => sum + count, 0);
  }

  /** The float network's own turn. */
  async begin(): Promise<void> {
    const { samples } = this.#options;
    for await (const [batch, index] of this.#batches('float', this.#options)) {
      const produced = this.#outputs(this.#float.run(this.#feeds(batch), this.#names));
      if (this.metric === 'top-1') checkLabels(batch, this.#classes!, samples.dataset.name);
      const { count, labels } = batch;
      const predictions = this.#classes === null ? null : argmax(produced[0], count);
      const bytes = produced.reduce((sum, { data }) => sum + data.byteLength, 0);
      const outputs = new Compared(produced, count, this.#classes);
      const scores = await this.#scores(produced, { count, labels, predictions, outputs });
      for (let i = 0; i < scores.length; i++) this.#floatScores.push(scores[i]);
      const keep = this.#kept + bytes <= REFERENCE_BYTES_LIMIT;
      if (keep) this.#kept += bytes;
      this.#references[index] = { count, labels, predictions, outputs: keep ? outputs : null };
    }
    if (this.#references.length === 0)
      throw new SigmaQuantError(
        'DATA_MISMATCH',
        `Expected at least one sample but received none from ${samples.dataset.name}.`,
      );
  }

  async score(source: Evaluator | SuffixRuns, work: WorkOptions = {}): Promise<Score> {
    const scores: number[] = [];
    const total = createComparison(this.#classes);
    for await (const [batch, index] of this.#needed(source, work)) {
      const reference = this.#references[index];
      const feeds = batch && this.#feeds(batch);
      const produced = this.#outputs(
        source instanceof SuffixRuns ? source.run(index, feeds) : source.run(feeds!, this.#names),
      );
      const needed = reference.outputs !== null || this.metric === 'custom' || this.metric === 'sqnr';
      const outputs = needed ? (reference.outputs ?? this.#floatAgain(batch!)) : null;
      const list = await this.#scores(produced, { ...reference, outputs });
      for (let i = 0; i < list.length; i++) scores.push(list[i]);
      if (outputs) total.add(outputs, produced);
    }
    return { scores: Float64Array.from(scores), ...total.result() };
  }

  /** The batches; without their samples where nothing needs them. */
  async *#needed(source: Evaluator | SuffixRuns, work: WorkOptions): AsyncGenerator<[Batch | null, number]> {
    const known =
      source instanceof SuffixRuns &&
      this.#references.every(({ outputs }, index) => outputs !== null && source.knows(index));
    if (!known) {
      yield* this.#batches('evaluate', work);
      return;
    }
    let done = 0;
    for (const [index, { count }] of this.#references.entries()) {
      await nextTask();
      work.signal?.throwIfAborted();
      yield [null, index];
      done += count;
      work.onProgress?.('evaluate', done, this.samples);
    }
  }

  async *#batches(stage: string, work: WorkOptions): AsyncGenerator<[Batch, number]> {
    const { samples, batch: size } = this.#options;
    const { dataset, select } = samples;
    const { signal } = work;
    let done = 0;
    let index = 0;
    const options = { size, ...(select ? { select } : {}), ...(signal ? { signal } : {}) };
    for await (const batch of dataset.batches(options)) {
      await nextTask();
      signal?.throwIfAborted();
      yield [batch, index++];
      done += batch.count;
      work.onProgress?.(stage, done, samples.size ?? done);
    }
  }

  #feeds({ count, x }: Batch): Map<string, Tensor> {
    const { input, samples } = this.#options;
    const shape = [count, ...samples.dataset.shape];
    return new Map([[input.name, { dtype: 'float32', shape, data: x }]]);
  }

  #outputs(fetched: ReadonlyMap<string, Tensor>): MetricOutput[] {
    return this.#names.map((name) => {
      const { shape, data } = fetched.get(name)!;
      return { name, shape, data: data as Float32Array };
    });
  }

  #floatAgain(batch: Batch): Compared {
    const produced = this.#outputs(this.#float.run(this.#feeds(batch), this.#names));
    return new Compared(produced, batch.count, this.#classes);
  }

  async #scores(produced: MetricOutput[], reference: Reference): Promise<ArrayLike<number>> {
    const { count, labels, outputs } = reference;
    if (this.metric === 'custom')
      return scoresOf(this.#options.metric!, {
        count,
        outputs: produced,
        reference: outputs!.outputs,
        labels,
      });
    if (this.metric === 'sqnr') return [];
    const predictions = argmax(produced[0], count);
    const wanted = this.metric === 'top-1' ? labels! : reference.predictions!;
    return predictions.map((value, index) => (value === wanted[index] ? 1 : 0));
  }
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
