import type { Graph, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization } from '../quant/quantizer.ts';

/** What one step of a run took. */
export interface StepProfile {
  /** Name and operator of the node that it was done for; empty for what outputs need. */
  node: string;
  op: string;
  milliseconds: number;
  /** Of activations that it read and wrote. */
  bytes: number;
}

export interface RunOptions {
  /** Buffers to be filled; nobody may look at them before the promise settles. */
  into?: ReadonlyMap<string, Tensor>;
  /** Rejects with its reason what has not begun, and between pieces of what has. */
  signal?: AbortSignal;
}

/**
 * A compiled graph: weights packed, memory planned. Runs any part of the graph: what is fed need not be computed,
 * what does not lead to a fetched value is not computed. Plans are cached per (feeds, fetches, batch).
 */
export interface Executor {
  readonly graph: Graph;
  /**
   * feeds: value name -> tensor, network inputs or any intermediate value (float32; in a quantized executor a
   * quantized value is fed as uint8, or as float32 that is quantized first). Feeds are read in place. All have
   * the same first dimension, the batch.
   * Returns the fetched values as copies that the caller owns; `into` gives tensors whose data are filled instead,
   * whatever shape they say.
   * Quantized values come as uint8, network outputs as float32.
   */
  run(
    feeds: ReadonlyMap<string, Tensor>,
    fetches: readonly string[],
    into?: ReadonlyMap<string, Tensor>,
  ): Map<string, Tensor>;
  /**
   * As `run`, off the calling thread where the backend can (native); elsewhere the event loop turns between steps.
   * Feeds are copied before this returns. Runs take turns; meanwhile everything else of the executor throws BUSY.
   */
  runLater(
    feeds: ReadonlyMap<string, Tensor>,
    fetches: readonly string[],
    options?: RunOptions,
  ): Promise<Map<string, Tensor>>;
  /** As `run`, but without results: what each step took by the clock `now`, in milliseconds. */
  profile(feeds: ReadonlyMap<string, Tensor>, fetches: readonly string[], now: () => number): StepProfile[];
  /**
   * Replaces a layer's float weights ([outChannels][taps][channels]) and bias until restored with null. Without
   * `bias` the layer keeps its own; null means none.
   * Float executors only.
   */
  replaceWeights(layer: string, weights: Float32Array | null, bias?: Float32Array | null): void;
  /** Quantized executors only: replaces one layer's integers; other layers stay packed. */
  replaceLayer(layer: string, quantization: Quantization): void;
  /** Bytes of the planned arena for a batch, all intermediates, before and after reuse. */
  memory(batch: number): { planned: number; withoutReuse: number };
  /** Names of nodes that run in float although a quantization was given ("float islands"). */
  readonly floatNodes: readonly string[];
  dispose(): void;
}

/** What measuring and searching need of an executor, whoever runs the graph. */
export type Evaluator = Pick<
  Executor,
  'graph' | 'run' | 'replaceWeights' | 'replaceLayer' | 'floatNodes' | 'dispose'
>;

export interface CompileOptions {
  /** Integer execution as decisions.md defines it; float without. */
  quantization?: Quantization;
}

/** Graph must be channels-last. Throws UNSUPPORTED_OPERATOR naming the node. */
export type Compile = (graph: Graph, kernels: Kernels, options?: CompileOptions) => Executor;

/** As Compile, by whoever runs the graph. */
export type CompileEvaluator = (graph: Graph, kernels: Kernels, options?: CompileOptions) => Evaluator;
