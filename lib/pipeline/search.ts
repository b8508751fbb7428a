import type { Measurement, Widths } from '../allocate/allocate.ts';
import type { WorkOptions } from '../analysis/analysis.ts';
import { SuffixRuns } from '../analysis/index.ts';
import type { Evaluator } from '../engine/engine.ts';
import { refuse } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { paired } from './interval.ts';
import type { QuantizeOptions } from './options.ts';
import { type Quantizers, widthsKey } from './quantization.ts';
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
  /** As it is now. */
  readonly quantization: Quantization;
  readonly executor: Evaluator;
}

export interface CandidateSource {
  layers: readonly Layer[];
  quantizers: Quantizers;
  recovery: Recovery;
  scorer: Scorer;
  /** Widths to begin with. */
  first: Widths;
  compile: (quantization: Quantization) => Evaluator;
  /** Bytes of activations that evaluations may keep for one another. */
  cacheBytes: number;
  signal?: AbortSignal;
}

export async function createCandidate(source: CandidateSource): Promise<Candidate> {
  const { recovery, scorer } = source;
  const scores = new Map<string, Score>();
  let network = await compiled(source, source.first, source.signal);

  async function become(widths: Widths, abort?: AbortSignal): Promise<void> {
    if (inputsKey(widths) !== network.inputs) {
      // Scales of inputs are compiled in.
      const next = await compiled(source, widths, abort);
      network.executor.dispose();
      network = next;
      return;
    }
    const { executor, quantization, layers, runs } = network;
    for (const [name, { weights }] of widths) {
      if (layers.get(name)?.bits === weights) continue;
      layers.set(name, await recovery.quantize(name, weights, abort));
      executor.replaceLayer(name, quantization);
      runs.changed(name, weights);
    }
  }

  return {
    get quantization() {
      return network.quantization;
    },
    get executor() {
      return network.executor;
    },
    become,
    score: async (widths, work) => {
      const key = widthsKey(widths);
      const known = scores.get(key);
      if (known) return known;
      await become(widths, work.signal);
      const score = await scorer.score(network.runs, work);
      scores.set(key, score);
      return score;
    },
  };
}

interface Network {
  inputs: string;
  layers: Map<string, QuantizedLayer>;
  quantization: Quantization;
  executor: Evaluator;
  runs: SuffixRuns;
}

async function compiled(source: CandidateSource, widths: Widths, signal?: AbortSignal): Promise<Network> {
  const { quantizers, recovery, scorer, cacheBytes } = source;
  const layers = new Map<string, QuantizedLayer>();
  for (const [name, { weights }] of widths) layers.set(name, await recovery.quantize(name, weights, signal));
  const quantization = { activations: quantizers.at(widths), layers };
  const executor = source.compile(quantization);
  const runs = new SuffixRuns(executor, source.layers, { samples: scorer.samples, ceiling: cacheBytes });
  for (const [name, { bits }] of layers) runs.changed(name, bits);
  return { inputs: inputsKey(widths), layers, quantization, executor, runs };
}

function inputsKey(widths: Widths): string {
  return [...widths.values()].map(({ activations }) => activations).join();
}
