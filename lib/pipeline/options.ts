import type { RangeMethod, WorkOptions } from '../analysis/analysis.ts';
import type { Dataset, Preprocessing } from '../data/dataset.ts';
import { refuse } from '../errors.ts';
import { checkOpset } from '../export/formats.ts';
import type { Device } from '../hardware/index.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import type { MetricFunction } from './metric.ts';

/** A path (`.npz`, `.npy`, CIFAR binary, folder of images) or any `Dataset`. */
export type DataSource = string | Dataset;

/** A path, or bytes with the name that reports shall print. */
export type ModelSource = string | { name: string; bytes: Uint8Array };

/** Who evaluates networks: our engine, or the user's onnxruntime-node for operators that it lacks. */
export type ExecutorName = 'engine' | 'onnxruntime';
export const EXECUTORS: readonly ExecutorName[] = ['engine', 'onnxruntime'];

/**
 * How accuracy is got back, in rising cost: rounding to the nearest; second-order rounding; then learning on top of it,
 * block by block without labels, or the whole network.
 */
export type RecoveryName = 'none' | 'gptq' | 'reconstruct' | 'finetune';
export const RECOVERIES: readonly RecoveryName[] = ['none', 'gptq', 'reconstruct', 'finetune'];

/** What may be done to images before they are learned from. */
export type AugmentName = 'flip' | 'shift';
export const AUGMENTS: readonly AugmentName[] = ['flip', 'shift'];

/** What every command takes. */
export interface CommonOptions extends WorkOptions {
  model: ModelSource;
  /** Shapes of inputs whose dimensions the model leaves open: name -> dimensions. */
  inputShapes?: Readonly<Record<string, readonly number[]>>;
  backend?: BackendName;
  isa?: Isa;
  /** Default: physical cores. Results do not depend on it. */
  threads?: number;
}

/** What commands that run networks take. */
export interface RunOptions {
  /** Default: engine. */
  executor?: ExecutorName;
}

/** What decides widths; shared by `quantize` and `plan`. */
export interface SearchOptions extends CommonOptions {
  /** Ceilings: `size=25%`, `size=120kB`, `bits=2.6`, ... */
  targets?: readonly string[];
  /** Name of an allocation strategy; the default is the one that wins on our test bed. */
  strategy?: string;
  /** Widths offered for weights, within 2..8; default 2, 3, 4, 5, 6, 8. */
  bits?: readonly number[];
  /** Widths offered for activations, within 2..8; default 8. */
  activationBits?: number | readonly number[];
  /** Lets the first and the last layer (8 bits otherwise) take any offered width. */
  freeEnds?: boolean;
  /** Layer name, or a pattern between slashes (`/^layer1/`) -> the width it must have. */
  pins?: Readonly<Record<string, number>>;
  /** Layer name or pattern -> widths it must not have. */
  bans?: Readonly<Record<string, readonly number[]>>;
  /** Layers that share one width: those that meet in an `add` or a `concat`, and lists of names. */
  groups?: readonly ('add' | 'concat' | readonly string[])[];
  /** With a floor and no targets, the resource to be least: size (default), bops, energy, ... */
  minimize?: string;
  /** What costs are those of: a device's name, the path of its file, or its content; default bytes and BOPs alone. */
  device?: string | Device;
  seed?: number;
}

/** A network, its data, what is asked for, and where the result goes. */
export interface QuantizeOptions extends SearchOptions, RunOptions {
  calibration: DataSource;
  /** Labelled samples that the search may look at. */
  validation?: DataSource;
  /** Labelled samples to judge on; without `validation` a seeded half of them becomes validation. */
  evaluate?: DataSource;
  preprocessing?: Preprocessing;
  /** Percentage points that may be lost against float, on validation. */
  maxDrop?: number;
  /** Least accuracy on validation, percent. */
  minAccuracy?: number;
  /** Least signal to quantization noise of the outputs on validation, decibels. */
  minSqnr?: number;
  /** Replaces top-1: a function, or the path of a module that exports one as default or as `metric`. */
  metric?: string | MetricFunction;
  /** A RecoveryName; default gptq. */
  recovery?: string;
  /** What `reconstruct` and `finetune` learn from; default the calibration data. Labels are optional. */
  training?: DataSource;
  /** Samples of it at most; default 1,024 for `reconstruct`, all for `finetune`. */
  trainingSamples?: number;
  /** Of `finetune`, once at the end; parts are served; default 2. */
  epochs?: number;
  /** Of `finetune`, for every plan that the search evaluates; default 0. */
  epochsPerStep?: number;
  /** Highest rate of `finetune`, in steps of weights per step of learning; default 0.005. */
  learningRate?: number;
  /** Share of the labels in the loss of `finetune`, 0 to 1, the float network's answers the rest; default 0. */
  labelShare?: number;
  /** Default: mirrored and moved where samples are images in colour. */
  augment?: readonly AugmentName[];
  /** How activation ranges are chosen; default mse. */
  ranges?: RangeMethod;
  /** Calibration samples at most; default 512. */
  samples?: number;
  /** Evaluations that the search may spend; default 40. */
  evaluations?: number;
  /** Bytes of activations that evaluations may keep for one another, 0 for none; default 1 GiB. */
  cacheBytes?: number;
  /**
   * Folder that keeps what was measured, for a run that is killed and for the next one; shared by any number of runs,
   * deleted whenever you like. Nothing is kept without it. Results do not depend on it.
   */
  cache?: string;
  /** Told in one sentence what the run goes on without: a cache on a full disk. Default: a warning of Node's. */
  onWarning?: (sentence: string) => void;
  /** Opset of the exported file, 13 to 26; default 21. */
  opset?: number;
  /** Folder to write; nothing is written without it. */
  out?: string;
  /** Replaces an earlier output. */
  force?: boolean;
  /** The command that the report prints; made from the options where absent. */
  command?: string;
}

export const WIDTHS = { low: 2, high: 8 } as const;
/** Widths of the first and last layer, and of their inputs, unless freed. */
export const END_BITS = 8;
export const DEFAULT_BITS: readonly number[] = [2, 3, 4, 5, 6, 8];

export const DEFAULTS = {
  device: 'generic-memory',
  ranges: 'mse',
  recovery: 'gptq',
  opset: 21,
  seed: 0,
  /** Second-order rounding gains little from more (method.md measured 256). */
  samples: 512,
  /** Calibration samples on which single layers are measured: about a minute's work at 30 GMAC a second. */
  profile: { least: 16, most: 128, macs: 2e12 },
  evaluations: 40,
  cacheBytes: 2 ** 30,
  /** Input patches per layer and sample that enter its Hessian. */
  patches: 64,
  /** Random directions per layer for the curvature that `hessian` goes by. */
  probes: 4,
  /** How far phase 1 of `sigma` may miss a target: a fifth of a ceiling, two points of the floor. */
  buffer: { cost: 0.2, drop: 2 },
} as const;

const MOST_EPOCHS = 1000;

/** Throws INVALID_ARGUMENT for a recovery that is not there. */
export function recoveryOf(name: string | undefined): RecoveryName {
  const recovery = RECOVERIES.find((known) => known === (name ?? DEFAULTS.recovery));
  return recovery ?? refuse(`one of ${RECOVERIES.join(', ')}`, 'recovery', name);
}

function width(value: number, name: string): number {
  if (!(Number.isInteger(value) && value >= WIDTHS.low && value <= WIDTHS.high))
    refuse(`a whole number from ${WIDTHS.low} to ${WIDTHS.high}`, name, value);
  return value;
}

/** Offered widths, ascending, each once. Throws INVALID_ARGUMENT. */
export function offeredBits(bits: readonly number[] | undefined): number[] {
  return offered(bits ?? DEFAULT_BITS, 'bits');
}

/** The same for activations. */
export function offeredActivations(bits: SearchOptions['activationBits']): number[] {
  return offered(typeof bits === 'number' ? [bits] : (bits ?? [END_BITS]), 'activation-bits');
}

function offered(bits: readonly number[], name: string): number[] {
  const list = [...new Set(bits)].sort((a, b) => a - b);
  if (list.length === 0) refuse('at least one width', name, 'an empty list');
  for (const value of list) width(value, name);
  return list;
}

/** Checks plain numbers before any long work. Throws INVALID_ARGUMENT. */
export function checkOptions(options: Partial<QuantizeOptions>): void {
  const {
    activationBits,
    samples,
    evaluations,
    cacheBytes,
    maxDrop,
    minAccuracy,
    minSqnr,
    seed,
    opset,
    executor,
    recovery,
  } = options;
  if (executor !== undefined && !EXECUTORS.includes(executor))
    refuse(`one of ${EXECUTORS.join(', ')}`, 'executor', executor);
  recoveryOf(recovery);
  checkLearning(options);
  offeredActivations(activationBits);
  for (const [layer, bits] of Object.entries(options.pins ?? {})) width(bits, `the width of layer ${layer}`);
  for (const [layer, bits] of Object.entries(options.bans ?? {}))
    for (const value of bits) width(value, `a banned width of layer ${layer}`);
  for (const [name, value] of Object.entries({ samples, evaluations }))
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      refuse('a whole number above 0', name, value);
  if (cacheBytes !== undefined && !(Number.isInteger(cacheBytes) && cacheBytes >= 0))
    refuse('a whole number of bytes', 'cacheBytes', cacheBytes);
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed <= 0xffffffff))
    refuse('a whole number from 0 to 4294967295', 'seed', seed);
  if (maxDrop !== undefined && !(maxDrop >= 0 && maxDrop <= 100))
    refuse('0 to 100 percentage points', 'max-drop', maxDrop);
  if (minAccuracy !== undefined && !(minAccuracy >= 0 && minAccuracy <= 100))
    refuse('0 to 100 percent', 'min-accuracy', minAccuracy);
  if (minSqnr !== undefined && !Number.isFinite(minSqnr)) refuse('a number of decibels', 'min-sqnr', minSqnr);
  const floors = [maxDrop, minAccuracy, minSqnr].filter((value) => value !== undefined);
  if (floors.length > 1)
    refuse('one floor', 'max-drop, min-accuracy and min-sqnr', `${floors.length} of them`);
  if (opset !== undefined) checkOpset(opset);
}

/** Numbers of learning. */
function checkLearning(options: Partial<QuantizeOptions>): void {
  const { trainingSamples, epochs, epochsPerStep, learningRate, labelShare, augment = [] } = options;
  if (trainingSamples !== undefined && !(Number.isInteger(trainingSamples) && trainingSamples >= 1))
    refuse('a whole number above 0', 'training-samples', trainingSamples);
  for (const [name, value] of Object.entries({ epochs, 'epochs-per-step': epochsPerStep }))
    if (value !== undefined && !(value >= 0 && value <= MOST_EPOCHS))
      refuse(`0 to ${MOST_EPOCHS}`, name, value);
  if (learningRate !== undefined && !(learningRate > 0 && learningRate <= 1))
    refuse('a number above 0, at most 1', 'learning-rate', learningRate);
  if (labelShare !== undefined && !(labelShare >= 0 && labelShare <= 1))
    refuse('0 to 1', 'label-share', labelShare);
  for (const name of augment)
    if (!AUGMENTS.includes(name)) refuse(`some of ${AUGMENTS.join(', ')}`, 'augment', name);
}
