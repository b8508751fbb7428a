export { type LearnedNetwork, learnedNetwork } from './learned-network.ts';
export { blend, crossEntropy, distillation, type Loss, squaredError } from './losses.ts';
export {
  type MinimizeOptions,
  minimize,
  type Training,
  type TrainingProgress,
  type TrainingState,
} from './minimize.ts';
export { type TrainableNetwork, tapeOf, trainable, trainedGraph } from './network.ts';
export { adam, clipGradients, cosine, type Optimizer, sgd, type Trained } from './optimizers.ts';
export { gradientRule, hasGradient } from './rules/index.ts';
export { type Augmentation, NO_AUGMENTATION, type TrainingSet } from './samples.ts';
export { type SoftRounding, softRounding } from './soft-rounding.ts';
export type { Tape, TapeStep } from './tape.ts';
export * from './training.ts';
export { type LearnedSteps, learnedSteps } from './weight-quantizers.ts';
