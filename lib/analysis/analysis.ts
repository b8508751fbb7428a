import type { Dataset } from '../data/dataset.ts';
import type { CompileEvaluator } from '../engine/engine.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import type { RangeMethod } from '../quant/ranges.ts';

export type { RangeMethod };

/** What two streaming passes over the calibration data leave behind; its size does not depend on the data's. */
export interface Calibration {
  /** Samples seen. */
  samples: number;
  /** Per quantized value, a histogram; `quantizer` chooses scale and zero point from it. */
  values: ReadonlyMap<string, ValueStatistics>;
  /** Per layer, what its input looks like to its weights. */
  inputs: ReadonlyMap<string, InputStatistics>;
}

export interface ValueStatistics {
  min: number;
  max: number;
  mean: number;
  std: number;
  /** Fixed range [low, high] of the histogram. */
  low: number;
  high: number;
  counts: Float64Array;
}

export interface InputStatistics {
  /** Input patches that were summed. */
  rows: number;
  /**
   * [groups][k][k], Σ xᵀx over rows; the Hessian of the layer's squared output error, times rows / 2. Null where
   * not asked for, or where all Grams together would pass 1 GiB (largest layers lose theirs first), or k > 6144.
   */
  gram: Float64Array | null;
  /** [groups][k], mean of x² over rows: the importance of each weight. */
  power: Float64Array;
  /** [groups][k], mean of x over rows. */
  mean: Float64Array;
}

/** Facts about one layer that a search decides by. Divergences by width, in nats. */
export interface LayerProfile {
  name: string;
  op: 'Conv' | 'Linear';
  depthwise: boolean;
  outChannels: number;
  parameters: number;
  macs: number;
  /** Population standard deviation of the folded weights. */
  sigma: number;
  /** Of the weights before batch-norm folding, null where the network had no batch-norm. */
  rawSigma: number | null;
  moments: { min: number; max: number; mean: number; skewness: number; kurtosis: number };
  /** KL of the weights' histogram against its quantized one, per width. */
  weightDivergence: Readonly<Record<number, number>>;
  /**
   * Mean KL of the network's softmax when only this layer is quantized (squared error relative to the output's
   * power where outputs are not classes). Null without calibration data.
   */
  outputDivergence: Readonly<Record<number, number>> | null;
  /** The same when only this layer's input is quantized, per width; null where not asked for. */
  inputDivergence: Readonly<Record<number, number>> | null;
  /**
   * What the curvature of the loss expects of each width: half the Fisher matrix' mean trace times the squared error of
   * the weights (HAWQ-V2: Dong et al. 2020). Null where not asked for.
   */
  curvatureLoss: Readonly<Record<number, number>> | null;
}

/** Progress of long work, done of total within a named stage, and what else there is to say of it. */
export type Progress = (stage: string, done: number, total: number, detail?: string) => void;

/** Long work: an abort rejects with the signal's reason, progress is told per stage. */
export interface WorkOptions {
  signal?: AbortSignal;
  onProgress?: Progress;
}

/** Work that runs the network. */
export interface RunningOptions extends WorkOptions {
  /** Who runs it; our engine unless told otherwise. */
  compile?: CompileEvaluator;
}

export interface CalibrateOptions extends RunningOptions {
  /** Samples at most. */
  samples: number;
  batch: number;
  /** Sum Grams for second-order rounding. */
  gram: boolean;
  /** Patches per layer and sample at most, taken at a fixed stride. */
  patches: number;
}

export type Calibrate = (
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  data: Dataset,
  options: CalibrateOptions,
) => Promise<Calibration>;

export type ChooseQuantizer = (statistics: ValueStatistics, bits: number, method: RangeMethod) => Quantizer;
