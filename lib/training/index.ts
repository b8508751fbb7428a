export { blend, crossEntropy, distillation, type Loss, squaredError } from './losses.ts';
export { adam, clipGradients, cosine, type Optimizer, sgd, type Trained } from './optimizers.ts';
export { gradientRule, hasGradient } from './rules/index.ts';
export { type Tape, TapeBuilder, type TapeStep } from './tape.ts';
export * from './training.ts';
export { type LearnedSteps, learnedSteps } from './weight-quantizers.ts';
export { tapeOf, type TrainableNetwork, trainable, trainedGraph } from './network.ts';
