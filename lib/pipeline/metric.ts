import { refuse } from '../errors.ts';
import type { Host } from './host.ts';
import { sha256 } from './model.ts';

/** One output of the network for a batch: [count][...shape]. */
export interface MetricOutput {
  name: string;
  shape: readonly number[];
  data: Float32Array;
}

/** A batch of outputs to score, quantized ones beside those of the float network. */
export interface MetricInput {
  count: number;
  outputs: readonly MetricOutput[];
  /** The float network's outputs on the same samples. */
  reference: readonly MetricOutput[];
  labels: Int32Array | null;
}

/** One score per sample, higher is better; a score of 1 counts as 100 %. Called once per batch. */
export type MetricFunction = (input: MetricInput) => ArrayLike<number> | Promise<ArrayLike<number>>;

/** Imports FILE.mjs, which exports one function as default or as `metric`. Throws INVALID_ARGUMENT. */
export async function loadMetric(
  metric: string | MetricFunction,
  host: Pick<Host, 'importModule'>,
): Promise<MetricFunction> {
  if (typeof metric === 'function') return metric;
  const module = await host.importModule(metric);
  const exported = module['default'] ?? module['metric'];
  if (typeof exported !== 'function') refuse('a module that exports one function', 'metric', metric);
  return exported as MetricFunction;
}

/** A module that reads others is not told by its own text. */
const READS_OTHERS = /\b(?:import|require|process)\b/;

/**
 * The same text for metrics that give the same scores, in this process and the next; null where nobody can tell: for
 * a function, and for a module that reads others.
 */
export async function metricDigest(
  metric: string | MetricFunction | undefined,
  host: Pick<Host, 'readText'>,
): Promise<string | null> {
  if (metric === undefined) return '';
  if (typeof metric === 'function') return null;
  const text = await host.readText(metric);
  return READS_OTHERS.test(text) ? null : sha256(text);
}

/** Scores of a batch, checked: one finite number per sample. */
export async function scoresOf(metric: MetricFunction, input: MetricInput): Promise<Float64Array> {
  const scores = Float64Array.from(await metric(input));
  if (scores.length !== input.count || !scores.every(Number.isFinite))
    refuse(`${input.count} finite scores`, 'the result of metric', scores);
  return scores;
}
