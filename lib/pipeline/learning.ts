import type { WorkOptions } from '../analysis/analysis.ts';
import { createPace } from '../analysis/index.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Graph } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { type BlockReport, finetune, reconstruct } from '../recovery/index.ts';
import type { TrainingProgress, TrainingSet, TrainingState } from '../training/index.ts';
import { type CacheEntries, digestOf } from './cache-entries.ts';
import { once } from './once.ts';
import { type QuantizeOptions, type RecoveryName, recoveryOf } from './options.ts';
import { samplesInMemory } from './training-data.ts';

/** Learning that makes the integers of a whole network better, its widths as they are. */
export interface Learning {
  /** Of every plan that the search looks at; null where the search goes by rounding alone. */
  between: Learn | null;
  /** Of the widths that were chosen; null where nothing is learned. */
  last: Learn | null;
}

/** `key` names the widths. */
export type Learn = (start: Quantization, key: string, work: WorkOptions) => Promise<Learned>;

export interface Learned {
  quantization: Quantization;
  /** Of a reconstruction. */
  blocks: readonly BlockReport[];
  /** Sentences that a reader should know. */
  notes: readonly string[];
}

export interface LearningSource {
  options: QuantizeOptions;
  graph: Graph;
  kernels: Kernels;
  /** What is learned from; read when first needed. */
  training: Dataset;
  /** What is kept for a later run. */
  entries: CacheEntries;
}

const DEFAULTS = {
  /** Samples of a reconstruction, steps per block and samples per step. */
  reconstruct: { samples: 1024, steps: 400, batch: 32 },
  finetune: { epochs: 2, batch: { most: 128, least: 16, perEpoch: 8 }, rate: 0.005 },
} as const;
/** Names of progress. */
const STAGES = { reconstruct: 'reconstruct', finetune: 'train' } as const;

/** What rounds layers before anything is learned. */
export function roundingOf(recovery: RecoveryName): 'none' | 'gptq' {
  return recovery === 'none' ? 'none' : 'gptq';
}

/** Whether something is learned after rounding. */
export function learns({ options }: { options: QuantizeOptions }): boolean {
  const recovery = recoveryOf(options.recovery);
  return recovery === 'reconstruct' || recovery === 'finetune';
}

/** Options that learning alone depends on: what was measured without it stays good when they change. */
export function learningOptions(options: QuantizeOptions): object {
  const { epochs, epochsPerStep, learningRate, labelShare, augment, trainingSamples } = options;
  return { epochs, epochsPerStep, learningRate, labelShare, augment, trainingSamples };
}

/** The learning that the options ask for. Throws INVALID_ARGUMENT. */
export function learningOf(recovery: RecoveryName, source: LearningSource): Learning {
  const { options } = source;
  if (recovery !== 'reconstruct' && recovery !== 'finetune') return { between: null, last: null };
  const blocks = reconstruction(source);
  if (recovery === 'reconstruct') return { between: null, last: blocks };
  const { epochs = DEFAULTS.finetune.epochs, epochsPerStep = 0 } = options;
  const training = (count: number): Learn => trainingFor(source, count);
  const whole: Learn = async (start, key, work) => {
    const first = await blocks(start, key, work);
    const { quantization, notes } = await training(epochs)(first.quantization, `${key} blocks`, work);
    return { quantization, blocks: first.blocks, notes: [...first.notes, ...notes] };
  };
  return { between: epochsPerStep > 0 ? training(epochsPerStep) : null, last: epochs > 0 ? whole : blocks };
}

function reconstruction(source: LearningSource): Learn {
  const { samples: most, steps, batch } = DEFAULTS.reconstruct;
  const data = once(() =>
    samplesInMemory(
      source.training,
      Math.min(most, source.options.trainingSamples ?? most),
      source.options.signal,
    ),
  );
  return kept(source, 'blocks', async (start, _, { signal, onProgress }) => {
    const { quantization, blocks } = await reconstruct(source.graph, source.kernels, start, await data(), {
      steps,
      batch,
      seed: source.options.seed ?? 0,
      pace: createPace(signal),
      onProgress: (done, total) => onProgress?.(STAGES.reconstruct, done, total),
    });
    const skipped = blocks.flatMap(({ layers, skipped: why }) =>
      why ? [`Layers ${layers.join(', ')} were not reconstructed: ${why} has no gradient.`] : [],
    );
    return { quantization, blocks, notes: skipped };
  });
}

function trainingFor(source: LearningSource, epochs: number): Learn {
  const { options, entries } = source;
  const { rate } = DEFAULTS.finetune;
  const data = once(() =>
    samplesInMemory(source.training, options.trainingSamples ?? Number.POSITIVE_INFINITY, options.signal),
  );
  return kept(source, `${epochs} epochs`, async (start, key, { signal, onProgress }) => {
    const set = await data();
    const begun = entryOf('begun', `${epochs} ${key}`);
    const clock = performance.now();
    let first: number | null = null;
    const told = ({ step, steps, loss, accuracy, samples }: TrainingProgress) => {
      const seconds = (performance.now() - clock) / 1000;
      const speed = first === null ? null : (samples - first) / seconds;
      first ??= samples;
      const hits = accuracy === null ? '' : `, ${(100 * accuracy).toFixed(1)} %`;
      const pace = speed === null ? '' : `, ${Math.round(speed)} a second`;
      onProgress?.(STAGES.finetune, step, steps, `loss ${loss.toPrecision(3)}${hits}${pace}`);
    };
    const { quantization, diverged } = await finetune(source.graph, source.kernels, start, set, {
      epochs,
      batch: batchOf(set),
      rate: options.learningRate ?? rate,
      augmentation: augmentationOf(options, set),
      labels: options.labelShare ?? 0,
      seed: options.seed ?? 0,
      pace: createPace(signal),
      onProgress: told,
      save: (state) => entries.write(begun, state),
      from: await entries.read<TrainingState>(begun),
    });
    await entries.remove(begun);
    return { quantization, blocks: [], notes: diverged === null ? [] : [diverged] };
  });
}

/** Few samples make smaller batches: an epoch has some steps all the same. */
function batchOf({ count }: TrainingSet): number {
  const { most, least, perEpoch } = DEFAULTS.finetune.batch;
  return Math.min(count, Math.max(least, Math.min(most, Math.floor(count / perEpoch))));
}

/** Mirrored and moved where samples are images in colour, unless the options say otherwise. */
function augmentationOf({ augment }: QuantizeOptions, { shape }: TrainingSet) {
  const image = shape.length === 3 && shape[0] === 3;
  const wanted = augment ?? (image ? ['flip', 'shift'] : []);
  // As is usual for CIFAR-10: an eighth of the side.
  const side = Math.min(...shape.slice(1));
  return { flip: wanted.includes('flip'), shift: wanted.includes('shift') ? Math.floor(side / 8) : 0 };
}

/** What was learned is not learned again: not in this run, and where there is a cache not in the next. */
function kept({ entries }: LearningSource, what: string, learn: Learn): Learn {
  const known = new Map<string, Promise<Learned>>();
  return (start, key, work) => {
    const entry = entryOf('learned', `${what} ${key}`);
    const before = known.get(entry);
    if (before) return before;
    const made = (async () => {
      const earlier = await entries.read<Learned>(entry);
      if (earlier) return earlier;
      const result = await learn(start, key, work);
      await entries.write(entry, result);
      return result;
    })();
    known.set(entry, made);
    made.catch(() => known.delete(entry));
    return made;
  };
}

const entryOf = (kind: string, key: string) => `${kind}-${digestOf(key).slice(0, 32)}`;
