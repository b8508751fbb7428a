import type { Kernels } from '../kernels/kernels.ts';
import type { Bind, Call } from './work.ts';

/** What measuring needs of the outside world. */
export interface BenchHost {
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Lets other events of the program happen. */
  pause(): Promise<void>;
}

/** One thing that is timed in turns with others. */
export interface Candidate {
  kernels: Kernels;
  bind: Bind;
  /** Works on registers alone: what the caches hold does not matter to it. */
  registersOnly?: boolean;
}

/** Times of one candidate, microseconds per call. */
export type Samples = number[];

export interface MeasureOptions {
  host: BenchHost;
  rounds: number;
  /** Empties the caches before every sample. */
  flush?: () => void;
  onRound?: (done: number) => void;
  signal?: AbortSignal | undefined;
}

/**
 * A sample lasts this long at least: reading the clock does not show, and few samples are hit by another program's
 * turn on the processor (some milliseconds). Milliseconds.
 */
const SAMPLE_MS = 0.3;
/** Of one turn: as many as fit TURN_MS, within these. */
const SAMPLES = { least: 3, most: 9 };
const TURN_MS = 3;
/** Before the first sample: compilers of JavaScript and WASM, pages and clocks settle. Milliseconds. */
const WARM_UP_MS = 4;
/** A candidate gets no more samples once it has taken this long, beyond LEAST_ROUNDS rounds. Milliseconds. */
const BUDGET_MS = 3000;
const LEAST_ROUNDS = 3;
/** At most so many calls per sample, for clocks that stand still. */
const MOST_CALLS = 2 ** 20;

/** A candidate while it is measured. */
class Runner {
  readonly samples: Samples = [];
  readonly #candidate: Candidate;
  readonly #options: MeasureOptions;
  #call: Call;
  #epoch: number;
  #calls = 1;
  #spent = 0;

  constructor(candidate: Candidate, options: MeasureOptions) {
    this.#candidate = candidate;
    this.#options = options;
    this.#epoch = candidate.kernels.arena.epoch;
    this.#call = candidate.bind();
  }

  /** Milliseconds of `calls` calls. */
  #time(calls: number): number {
    const { epoch } = this.#candidate.kernels.arena;
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#call = this.#candidate.bind();
    }
    const call = this.#call;
    const { now } = this.#options.host;
    const start = now();
    for (let i = 0; i < calls; i++) call();
    const elapsed = now() - start;
    this.#spent += elapsed;
    return elapsed;
  }

  /** Finds how many calls a sample takes. */
  warmUp(): void {
    // Alone: scratch memory that this call makes the arena grow by detaches the views.
    this.#time(1);
    let spent = 0;
    for (;;) {
      const elapsed = this.#time(this.#calls);
      spent += elapsed;
      const enough = elapsed >= SAMPLE_MS || this.#calls >= MOST_CALLS;
      if (enough && (spent >= WARM_UP_MS || this.#calls >= MOST_CALLS)) break;
      if (!enough)
        this.#calls = Math.min(
          MOST_CALLS,
          elapsed > 0 ? Math.ceil(this.#calls * growth(elapsed)) : this.#calls * 2,
        );
    }
    this.#spent = 0;
    if (this.#options.flush && !this.#candidate.registersOnly) this.#calls = 1;
  }

  round(index: number): void {
    if (index >= LEAST_ROUNDS && this.#spent > BUDGET_MS) return;
    const flush = this.#candidate.registersOnly ? undefined : this.#options.flush;
    // Others ran in between: what they drove from the caches comes back, unless cold caches are asked for.
    if (!flush) this.#time(1);
    let spent = 0;
    for (let i = 0; i < SAMPLES.least || (i < SAMPLES.most && spent < TURN_MS); i++) {
      flush?.();
      const elapsed = this.#time(this.#calls);
      spent += elapsed;
      this.samples.push((1000 * elapsed) / this.#calls);
    }
  }
}

/** By how much more calls fill a sample, never more than eightfold: the first times are the slowest. */
function growth(elapsed: number): number {
  return Math.min(8, Math.max(1.1, (1.1 * SAMPLE_MS) / elapsed));
}

/**
 * Times all candidates in rounds, each a few samples in a row, forwards and backwards in turn: what drifts hits all
 * alike. Rejects with `signal.reason` when aborted.
 */
export async function measure(candidates: readonly Candidate[], options: MeasureOptions): Promise<Samples[]> {
  const { host, rounds, onRound, signal } = options;
  const runners = candidates.map((candidate) => new Runner(candidate, options));
  const each = async (list: readonly Runner[], work: (runner: Runner) => void) => {
    for (const runner of list) {
      signal?.throwIfAborted();
      work(runner);
      await host.pause();
    }
  };
  await each(runners, (runner) => runner.warmUp());
  onRound?.(1);
  const backwards = runners.toReversed();
  for (let index = 0; index < rounds; index++) {
    await each(index % 2 === 0 ? runners : backwards, (runner) => runner.round(index));
    onRound?.(index + 2);
  }
  return runners.map(({ samples }) => samples);
}
