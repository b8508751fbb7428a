import type { TrainingProgress, TrainingState } from '../training/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { TrainEpoch, TrainOptions, ValidationScore } from './train-options.ts';

/** Steps between two states that training could fall back to, at most. */
const STEPS_BETWEEN_STATES = 100;
/** Milliseconds between two checkpoints within an epoch. */
const CHECKPOINT_AFTER = 10_000;

export interface JournalOptions {
  epochs: number;
  batch: number;
  /** Steps of an epoch. */
  perEpoch: number;
  /** Steps that were done before. */
  first: number;
  checkpoint: Checkpoint | null;
  /** Scores the network as it stands on validation data. */
  score: () => Promise<ValidationScore | null>;
  options: Pick<TrainOptions, 'onProgress' | 'onEpoch'>;
}

/** Keeps the record of a training: progress by step, a line by epoch, checkpoints in between. */
export class TrainingJournal {
  readonly history: TrainEpoch[] = [];
  /** Steps between two reports: a divisor of the epoch's, so that each epoch ends with one. */
  readonly every: number;
  readonly #options: JournalOptions;
  #step: number;
  #reported: number;
  /** Of the epoch so far: sums over steps. */
  #epoch = { loss: 0, accuracy: 0, steps: 0 };
  #epochStarted = performance.now();
  #saved = performance.now();

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#step = this.#reported = options.first;
    this.every = largestDivisor(options.perEpoch, STEPS_BETWEEN_STATES);
  }

  get #steps(): number {
    return this.#options.epochs * this.#options.perEpoch;
  }

  /** After each step. */
  step(): void {
    this.#step++;
    this.#options.options.onProgress?.('train', this.#step, this.#steps);
  }

  add({ step, loss, accuracy }: TrainingProgress): void {
    const steps = step - this.#reported;
    this.#reported = step;
    this.#epoch.loss += steps * loss;
    this.#epoch.accuracy += steps * (accuracy ?? 0);
    this.#epoch.steps += steps;
  }

  async save(state: TrainingState): Promise<void> {
    const { perEpoch, checkpoint } = this.#options;
    const ended = state.step % perEpoch === 0;
    if (ended || performance.now() - this.#saved >= CHECKPOINT_AFTER) {
      await checkpoint?.write(state);
      this.#saved = performance.now();
    }
    if (ended && state.step < this.#steps) await this.closeEpoch();
  }

  /** Ends an epoch with the score of the network as it stands, which is returned. */
  async closeEpoch(): Promise<ValidationScore | null> {
    const { loss, accuracy, steps } = this.#epoch;
    const seconds = (performance.now() - this.#epochStarted) / 1000;
    const validation = await this.#options.score();
    if (steps === 0) return validation;
    const { epochs, batch, perEpoch } = this.#options;
    const epoch: TrainEpoch = {
      epoch: Math.ceil(this.#reported / perEpoch),
      epochs,
      loss: loss / steps,
      accuracy: (100 * accuracy) / steps,
      validation,
      imagesPerSecond: Math.round((steps * batch) / seconds),
      seconds: Math.round(1000 * seconds) / 1000,
    };
    this.history.push(epoch);
    this.#options.options.onEpoch?.(epoch);
    this.#epoch = { loss: 0, accuracy: 0, steps: 0 };
    this.#epochStarted = performance.now();
    return validation;
  }
}

function largestDivisor(value: number, most: number): number {
  for (let divisor = Math.min(value, most); divisor > 1; divisor--) if (value % divisor === 0) return divisor;
  return 1;
}
