import type { Measurement, Widths } from '../allocate/allocate.ts';
import type { WorkOptions } from '../analysis/analysis.ts';
import { SuffixRuns } from '../analysis/index.ts';
import type { Evaluator } from '../engine/engine.ts';
import { refuse } from '../errors.ts';
import type { Layer } from '../graph/graph.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { paired } from './interval.ts';
import type { Learning } from './learning.ts';
import type { QuantizeOptions } from './options.ts';
import { type Quantizers, widthsKey } from './quantization.ts';
import type { AccuracyResult, LearnedResult } from './result.ts';
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
  /**
   * Makes the network have these widths with all that learning can do for them. Rounding alone is taken where its
   * outputs are nearer to the float network's on validation (a finer measure than top-1), or where it alone keeps within
   * `maxDrop`.
   */
  finish(widths: Widths, maxDrop: number | null, work: WorkOptions): Promise<Finished>;
  /** Score on validation; the same widths are never run twice. */
  score(widths: Widths, work: WorkOptions): Promise<Score>;
  /** As it is now. */
  readonly quantization: Quantization;
  readonly executor: Evaluator;
}

/** A network at its final widths. */
export interface Finished {
  score: Score;
  /** What learning did; null where nothing was learned. */
  learned: LearnedResult | null;
}

export interface CandidateSource {
  layers: readonly Layer[];
  quantizers: Quantizers;
  recovery: Recovery;
  scorer: Scorer;
  learning: Learning;
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

  function replace(next: Network): void {
    network.executor.dispose();
    network = next;
  }

  async function become(widths: Widths, abort?: AbortSignal): Promise<void> {
    // Scales of inputs are compiled in, and what learns moves them.
    if (inputsKey(widths) !== network.inputs || network.learned) {
      replace(await compiled(source, widths, abort));
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

  async function score(widths: Widths, work: WorkOptions): Promise<Score> {
    const key = widthsKey(widths);
    const known = scores.get(key);
    if (known) return known;
    await become(widths, work.signal);
    const made = await scorer.score(network.runs, work);
    scores.set(key, made);
    return made;
  }

  async function finish(widths: Widths, maxDrop: number | null, work: WorkOptions): Promise<Finished> {
    const before = await score(widths, work);
    await become(widths, work.signal);
    const { last } = source.learning;
    if (!last) return { score: before, learned: null };
    const { quantization, blocks, notes } = await last(network.quantization, widthsKey(widths), work);
    const executor = source.compile(quantization);
    const after = await scorer.score(executor, work);
    const drops = [before, after].map((made) => measurementOf(scorer, made).drop);
    const onlyRounded = maxDrop !== null && drops[0] <= maxDrop && drops[1] > maxDrop;
    const kept = after.divergence <= before.divergence && !onlyRounded;
    if (kept) replace(wrapped(source, widths, quantization, executor, true));
    else executor.dispose();
    return {
      score: kept ? after : before,
      learned: { before: drops[0], after: drops[1], kept, blocks, notes },
    };
  }

  return {
    get quantization() {
      return network.quantization;
    },
    get executor() {
      return network.executor;
    },
    become,
    score,
    finish,
  };
}

interface Network {
  inputs: string;
  /** Whether learning made it: then its steps are its own. */
  learned: boolean;
  layers: Map<string, QuantizedLayer>;
  quantization: Quantization;
  executor: Evaluator;
  runs: SuffixRuns;
}

async function compiled(source: CandidateSource, widths: Widths, signal?: AbortSignal): Promise<Network> {
  const { quantizers, recovery } = source;
  const layers = new Map<string, QuantizedLayer>();
  for (const [name, { weights }] of widths) layers.set(name, await recovery.quantize(name, weights, signal));
  const rounded = { activations: quantizers.at(widths), layers };
  const { between } = source.learning;
  const learned = between && (await between(rounded, widthsKey(widths), signal ? { signal } : {}));
  const quantization = learned?.quantization ?? rounded;
  return wrapped(source, widths, quantization, source.compile(quantization), learned !== null);
}

function wrapped(
  source: CandidateSource,
  widths: Widths,
  quantization: Quantization,
  executor: Evaluator,
  learned: boolean,
): Network {
  const { scorer, cacheBytes } = source;
  const runs = new SuffixRuns(executor, source.layers, { samples: scorer.samples, ceiling: cacheBytes });
  const layers = new Map(quantization.layers);
  for (const [name, { bits }] of layers) runs.changed(name, bits);
  return {
    inputs: inputsKey(widths),
    learned,
    layers,
    quantization: { ...quantization, layers },
    executor,
    runs,
  };
}

function inputsKey(widths: Widths): string {
  return [...widths.values()].map(({ activations }) => activations).join();
}
