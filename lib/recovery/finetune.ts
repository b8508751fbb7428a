import type { Pace } from '../analysis/pace.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization } from '../quant/quantizer.ts';
import {
  type Augmentation,
  adam,
  blend,
  crossEntropy,
  distillation,
  learnedNetwork,
  minimize,
  STEP_MEMORY,
  squaredError,
  type TrainingProgress,
  type TrainingSet,
  type TrainingState,
  tapeOf,
} from '../training/index.ts';

export interface FinetuneOptions {
  /** Parts of an epoch are served. */
  epochs: number;
  batch: number;
  /** Highest rate, in steps of weights per step of learning. */
  rate: number;
  augmentation: Augmentation;
  /** Share of the loss that the labels have, the float network's answers the rest; 0 without labels. */
  labels: number;
  seed: number;
  pace: Pace;
  onProgress?: (progress: TrainingProgress) => void;
  /** Told every so many steps, and once at the end. */
  save?: (state: TrainingState) => Promise<void>;
  from?: TrainingState | null;
}

export interface FinetuneResult {
  quantization: Quantization;
  /** A sentence where training diverged and its last good state was taken. */
  diverged: string | null;
}

const WARMUP = 0.05;
/** Limit of the gradients' common norm: far above what they are, but for a batch gone wrong. */
const CLIP = 10;
const AVERAGE = 0.99;
/** Steps between two checkpoints: some 20 seconds. */
const EVERY = 50;

/**
 * Short training of the whole quantized network at its widths: weights, steps and biases, straight through the
 * rounding (LSQ), towards the float network's answers (distillation) and, where asked for, the labels. Adam, a cosine,
 * an exponential average. Throws UNSUPPORTED_OPERATOR for an operator without a gradient, DATA_MISMATCH for a batch
 * larger than the data or labels that are not there.
 */
export async function finetune(
  graph: Graph,
  kernels: Kernels,
  start: Quantization,
  data: TrainingSet,
  options: FinetuneOptions,
): Promise<FinetuneResult> {
  const [input, output] = [graph.inputs[0].name, graph.outputs[0].name];
  const classes = graph.outputs[0].shape.length === 2 ? graph.outputs[0].shape[1] : null;
  if (options.labels > 0) checkLabels(data, classes);
  const batch = options.batch;
  const network = learnedNetwork(graph, start, { fixed: null, offMiddle: 0 });
  const tape = tapeOf(graph, kernels, batch, { ...network.options, outputs: [output], memory: STEP_MEMORY });
  const teacher = compile(graph, kernels);
  const shape = [batch, ...data.shape];
  const answers = (x: Float32Array): Float32Array => {
    const feed: Tensor = { dtype: 'float32', shape, data: x };
    return teacher.run(new Map([[input, feed]]), [output]).get(output)!.data as Float32Array;
  };
  const lossOf = (x: Float32Array, indices: Uint32Array) => {
    if (classes === null) return squaredError(answers(x));
    const soft = distillation(answers(x));
    if (!(options.labels > 0)) return soft;
    const hard = crossEntropy(Array.from(indices, (index) => data.labels![index]));
    return blend(soft, hard, options.labels);
  };
  let diverged: string | null = null;
  try {
    await minimize(
      {
        tape,
        trained: network.trained,
        optimizer: adam(network.trained),
        carried: [],
        input,
        output,
        lossOf,
        hold: network.hold,
      },
      data,
      { ...options, warmup: WARMUP, clip: CLIP, average: AVERAGE, every: EVERY },
    );
  } catch (error) {
    if (!(error instanceof SigmaQuantError) || error.code !== 'TRAINING_DIVERGED') throw error;
    diverged = error.message;
  } finally {
    tape.dispose();
    teacher.dispose();
  }
  return { quantization: network.quantization(), diverged };
}

function checkLabels({ labels }: TrainingSet, classes: number | string | null): void {
  if (!labels)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      'Expected labelled samples for training by labels but received none: give labelled data, or train by the float network alone.',
    );
  if (typeof classes !== 'number')
    throw new SigmaQuantError('DATA_MISMATCH', 'Expected one output of class scores for training by labels.');
  const wrong = labels.findIndex((label) => !(label >= 0 && label < classes));
  if (wrong >= 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected labels from 0 to ${classes - 1} but received ${labels[wrong]} for sample ${wrong}.`,
    );
}
