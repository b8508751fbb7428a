/** What the layers of training share. */

/** Something that is learned, or could be. */
export interface Parameter {
  data: Float32Array;
  /** Of the same length; added to by each backward half. */
  gradient: Float32Array;
  /** False for what keeps its value. */
  trained: boolean;
}

/** Quantizes the activations of one value with a step size that can be learned. */
export interface ActivationStep {
  /** One number, positive. */
  scale: Parameter;
  zeroPoint: number;
  low: number;
  high: number;
}

/** Makes the weights that a layer computes with from those that are learned. */
export interface WeightQuantizer {
  /** [outChannels][taps][channels], made anew from the present parameters. */
  quantize(): Float32Array;
  /** Turns the gradient by what `quantize` gave into gradients of the parameters behind it, added to theirs. */
  backward(gradient: Float32Array): void;
}

/** Running statistics of a batch normalization, updated by each forward half that uses the batch's own. */
export interface NormState {
  mean: Float32Array;
  variance: Float32Array;
}

/** Bytes that a step of training plans at most where it can: half of what WebAssembly addresses. */
export const STEP_MEMORY = 2 ** 31;

export interface TapeOptions {
  /** By name of the constant. Others are frozen. */
  parameters: ReadonlyMap<string, Parameter>;
  /** By name of the value. */
  activations?: ReadonlyMap<string, ActivationStep>;
  /** By name of the layer. */
  weights?: ReadonlyMap<string, WeightQuantizer>;
  /** Values whose gradients are fed to the backward half. */
  outputs: readonly string[];
  /** Values that nodes make whose gradients are kept. */
  watch?: readonly string[];
  /** Batch normalization by the batch's own statistics, by name of the node; by the constants where missing. */
  norms?: ReadonlyMap<string, NormState>;
  /** Bytes that a step may plan: beyond them values are made again for the backward half. Default: no limit. */
  memory?: number;
  /** Share of the batch in the running statistics, 0.1 by default. */
  momentum?: number;
}

export function parameter(data: Float32Array, trained = true): Parameter {
  return { data, gradient: new Float32Array(data.length), trained };
}
