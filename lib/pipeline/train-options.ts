import type { Preprocessing } from '../data/dataset.ts';
import { refuse } from '../errors.ts';
import type { CommonOptions, DataSource, ModelSource } from './options.ts';

/** Stochastic gradient descent with Nesterov momentum, or Adam with decoupled weight decay. */
export type OptimizerName = 'sgd' | 'adam';
export const OPTIMIZERS: readonly OptimizerName[] = ['sgd', 'adam'];

/** How weights are changed. */
export interface TrainSettings {
  /** Passes over the data; default 10. */
  epochs: number;
  /** Samples per step; default 128. */
  batch: number;
  /** sgd (default): Nesterov momentum of 0.9; adam: decoupled weight decay. */
  optimizer: OptimizerName;
  /** Highest rate, from which it falls to zero along a cosine; default 0.1 for sgd, 0.001 for adam. */
  rate: number;
  /** Weight decay, of the weights of layers alone; default 0.0005. */
  decay: number;
  /** Label smoothing, 0 to below 1; default 0. */
  smoothing: number;
  /** Share of all steps in which the rate rises from zero, 0 to below 1; default 0.1. */
  warmup: number;
  /** Decay per step of the exponential average of weights that training ends with; default 0, none. */
  average: number;
  /** Largest common norm of the gradients of a step; default Infinity. */
  clip: number;
  /** Mirror images at random; default false. */
  flip: boolean;
  /** Move images at random by up to so many pixels; default 0. */
  shift: number;
  /** Start from fresh weights; default false. */
  reset: boolean;
  /** Of fresh weights, the order of samples and their changes; default 0. */
  seed: number;
}

/** One pass over the data. */
export interface TrainEpoch {
  /** From 1. */
  epoch: number;
  epochs: number;
  /** Mean over the epoch's steps (those since training went on, where it was interrupted within the epoch). */
  loss: number;
  /** Percent of training samples, as they were changed, whose label scored highest. */
  accuracy: number;
  /** After the epoch; null without validation data. */
  validation: ValidationScore | null;
  imagesPerSecond: number;
  seconds: number;
}

/** A network's score on labelled samples. */
export interface ValidationScore {
  /** Cross-entropy without smoothing, mean. */
  loss: number;
  /** Percent. */
  accuracy: number;
  samples: number;
}

/** What `train` takes. */
export interface TrainOptions extends CommonOptions, Partial<TrainSettings> {
  /** Labelled samples, held in memory as float32. */
  data: DataSource;
  /** Labelled samples that are scored after each epoch; they change nothing. */
  validation?: DataSource;
  preprocessing?: Preprocessing;
  /** A float network whose scores are learned beside the labels, half and half. */
  distill?: ModelSource;
  /** ONNX file to write; nothing is written without it. */
  out?: string;
  /** File that keeps where training stands, removed when it is done; the same call goes on from it to the same bytes. */
  checkpoint?: string;
  /** Replaces an earlier output. */
  force?: boolean;
  /** Told after each epoch. */
  onEpoch?: (epoch: TrainEpoch) => void;
  /** Told in one sentence what training goes on without: a checkpoint on a full disk. Default: a warning of Node's. */
  onWarning?: (sentence: string) => void;
}

const RATES: Readonly<Record<OptimizerName, number>> = { sgd: 0.1, adam: 0.001 };

/** Options with their defaults, checked before any long work. Throws INVALID_ARGUMENT. */
export function settingsOf(options: Partial<TrainSettings>): TrainSettings {
  const { optimizer = 'sgd' } = options;
  if (!OPTIMIZERS.includes(optimizer)) refuse(`one of ${OPTIMIZERS.join(', ')}`, 'optimizer', optimizer);
  const settings: TrainSettings = {
    epochs: options.epochs ?? 10,
    batch: options.batch ?? 128,
    optimizer,
    rate: options.rate ?? RATES[optimizer],
    decay: options.decay ?? 5e-4,
    smoothing: options.smoothing ?? 0,
    warmup: options.warmup ?? 0.1,
    average: options.average ?? 0,
    clip: options.clip ?? Number.POSITIVE_INFINITY,
    flip: options.flip ?? false,
    shift: options.shift ?? 0,
    reset: options.reset ?? false,
    seed: options.seed ?? 0,
  };
  for (const name of ['epochs', 'batch'] as const)
    if (!(Number.isSafeInteger(settings[name]) && settings[name] >= 1))
      refuse('a whole number above 0', name, settings[name]);
  for (const name of ['rate', 'clip'] as const)
    if (!(settings[name] > 0)) refuse('a number above 0', name, settings[name]);
  if (!Number.isFinite(settings.rate)) refuse('a number above 0', 'rate', settings.rate);
  for (const name of ['smoothing', 'warmup', 'average', 'decay'] as const)
    if (!(settings[name] >= 0 && settings[name] < 1))
      refuse('a number from 0 to below 1', name, settings[name]);
  const { shift, seed } = settings;
  if (!(Number.isSafeInteger(shift) && shift >= 0)) refuse('a whole number of pixels', 'shift', shift);
  if (!(Number.isInteger(seed) && seed >= 0 && seed <= 0xffffffff))
    refuse('a whole number from 0 to 4294967295', 'seed', seed);
  return settings;
}
