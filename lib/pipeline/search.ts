import type { Measurement, Widths } from '../allocate/allocate.ts';
import type { WorkOptions } from '../analysis/analysis.ts';
import { SuffixRuns } from '../analysis/index.ts';
import type { Evaluator } from '../engine/engine.ts';
import { refuse } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { paired } from './interval.ts';
import type { QuantizeOptions } from './options.ts';
import { widthsKey } from './quantization.ts';
import type { AccuracyResult } from './result.ts';
import type { Score, Scorer } from './scoring.ts';

/** The accuracy floor as allocation sees it: a drop on validation that may not be passed. */
export interface Floor {
  /** As the user wrote it. */
  text: string;
  /** Percentage points; decibels below the floor for SQNR. */
  maxDrop: number;
}

/** Throws INVALID_ARGUMENT where the floor speaks of another metric than the one that is measured. */
export function floorOf(
  options: Pick<QuantizeOptions, 'maxDrop' | 'minAccuracy' | 'minSqnr'>,
  scorer: Scorer,
): Floor | null {
  const { maxDrop, minAccuracy, minSqnr } = options;
  if (minSqnr !== undefined) return { text: `min-sqnr=${minSqnr}`, maxDrop: 0 };
  if (maxDrop === undefined && minAccuracy === undefined) return null;
  if (scorer.metric === 'sqnr')
    refuse(
      'min-sqnr or a metric for outputs that are not classes',
      'the floor',
      maxDrop === undefined ? 'min-accuracy' : 'max-drop',
    );
  if (maxDrop !== undefined) return { text: `max-drop=${maxDrop}`, maxDrop: maxDrop };
  const { float } = paired(scorer.float, scorer.float);
  return { text: `min-accuracy=${minAccuracy}`, maxDrop: float - minAccuracy! };
}

/** What a score says to allocation. */
export function measurementOf(scorer: Scorer, score: Score, minSqnr = 0): Measurement {
  if (scorer.metric === 'sqnr')
    return { drop: minSqnr - score.sqnr, accuracy: score.sqnr, divergence: score.divergence };
  const { drop, quantized } = paired(scorer.float, score.scores);
  return { drop, accuracy: quantized, divergence: score.divergence };
}

/** What a score says to people. */
export function accuracyOf(scorer: Scorer, score: Score): AccuracyResult {
  const { metric } = scorer;
  if (metric === 'sqnr')
    return {
      metric,
      float: null,
      quantized: score.sqnr,
      drop: null,
      interval: null,
      samples: scorer.samples,
    };
  const { float, quantized, drop, interval, samples } = paired(scorer.float, score.scores);
  return { metric, float, quantized, drop, interval, samples };
}

/** The quantized network at any widths: one executor whose layers are replaced as they change. */
export interface Candidate {
  /** Makes the network have these widths. */
  become(widths: Widths, signal?: AbortSignal): Promise<void>;
  /** Score on validation; the same widths are never run twice. */
  score(widths: Widths, work: WorkOptions): Promise<Score>;
  readonly quantization: Quantization;
  readonly executor: Evaluator;
}

/** `cacheBytes`: of activations that evaluations may keep for one another. */
export async function createCandidate(
  networkLayers: readonly Layer[],
  quantizers: ReadonlyMap<string, Quantizer>,
  recovery: Recovery,
  scorer: Scorer,
  first: Widths,
  compileQuantized: (quantization: Quantization) => Evaluator,
  cacheBytes: number,
  signal?: AbortSignal,
): Promise<Candidate> {
  const layers = new Map<string, QuantizedLayer>();
  const quantization: Quantization = { activations: quantizers, layers };
  const scores = new Map<string, Score>();
  for (const [name, { weights }] of first) layers.set(name, await recovery.quantize(name, weights, signal));
  const executor = compileQuantized(quantization);
  const runs = new SuffixRuns(executor, networkLayers, { samples: scorer.samples, ceiling: cacheBytes });
  for (const [name, { bits }] of layers) runs.changed(name, bits);

  async function become(widths: Widths, abort?: AbortSignal): Promise<void> {
    for (const [name, { weights }] of widths) {
      if (layers.get(name)?.bits === weights) continue;
      layers.set(name, await recovery.quantize(name, weights, abort));
      executor.replaceLayer(name, quantization);
      runs.changed(name, weights);
    }
  }

  return {
    quantization,
    executor,
    become,
    score: async (widths, work) => {
      const key = widthsKey(widths);
      const known = scores.get(key);
      if (known) return known;
      await become(widths, work.signal);
      const score = await scorer.score(runs, work);
      scores.set(key, score);
      return score;
    },
  };
}
