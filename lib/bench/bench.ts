import { createKernels, type Kernels } from '../kernels/index.ts';
import { type Comparison, compareRows } from './compare.ts';
import { type Drift, driftOf, driftSentence } from './drift.ts';
import { intensityOf, type Limit, limitKey, limitOf, SURVEY } from './limits.ts';
import { type BenchHost, type Candidate, measure, type Samples } from './measure.ts';
import { BenchMemory } from './memory.ts';
import { planTrials, type Selection } from './plan.ts';
import type { RooflinePoint } from './roofline.ts';
import { type LimitRow, limitRow, type MeasuredLimit, rowsOf } from './rows.ts';
import { type Group, type Machine, machineName, type Row, type Trial } from './trial.ts';
import { prepareLimit, prepareTrial } from './work.ts';

export interface Computer {
  processor: string;
  logicalProcessors: number;
  platform: string;
  node: string;
}

export interface BenchOptions extends Omit<Selection, 'machines'> {
  machines: readonly MachineRequest[];
  /** Times that every trial has its turn. */
  rounds?: number;
  /** Caches are emptied before every sample. */
  cold?: boolean;
  computer: Computer;
  /** The document of an earlier run. */
  earlier?: BenchResult;
  host: BenchHost;
  signal?: AbortSignal | undefined;
  onProgress?: ((stage: string, done: number, total: number) => void) | undefined;
}

export type MachineRequest = Partial<Machine>;

/** The document of `bench --json`. */
export interface BenchResult {
  format: 1;
  computer: Computer;
  cold: boolean;
  rounds: number;
  rows: Row[];
  /** Measured in the same run: instructions (GOPS) and memory (GB/s). */
  limits: LimitRow[];
  drift: Drift[];
  /** With `--compare`: rows of both runs. */
  comparison: Comparison | null;
  /** What the reader must know, one sentence each. */
  notes: string[];
}

export const DEFAULT_ROUNDS = 7;
/** More than the last-level cache that a core shares on any processor of its time. */
const FLUSH_WORDS = (128 * 1024 * 1024) / 4;

export interface BenchRun {
  document: BenchResult;
  /** Products, for the chart. */
  points: RooflinePoint[];
}

/** Plans and measures. Throws INVALID_ARGUMENT, BACKEND_UNAVAILABLE, OUT_OF_MEMORY; rejects with the signal's reason. */
export async function bench(options: BenchOptions): Promise<BenchRun> {
  const { computer, cold = false, rounds = DEFAULT_ROUNDS, earlier } = options;
  const machines = await createMachines(options.machines);
  try {
    const groups = planTrials({ ...options, machines: [...machines.values()].map(machineOf) });
    const run = new Run(machines, groups, options);
    await run.measureAll();
    const limits = run.limitSeries().map(limitRow);
    const drift = driftOf(run.limitSeries());
    const comparison = earlier ? compareRows(run.rows, computer, earlier) : null;
    const notes = [...drift.flatMap((d) => driftSentence(d) ?? []), ...(comparison?.notes ?? [])];
    const { rows, points } = run;
    return {
      document: { format: 1, computer, cold, rounds, rows, limits, drift, comparison, notes },
      points,
    };
  } finally {
    for (const kernels of machines.values()) kernels.dispose();
  }
}

const machineOf = ({ backend, isa, threads }: Kernels): Machine => ({ backend, isa, threads });

/** Each machine once, by name: a backend may have fewer threads than were asked for. */
async function createMachines(requests: readonly MachineRequest[]): Promise<Map<string, Kernels>> {
  const machines = new Map<string, Kernels>();
  try {
    for (const request of requests) {
      const kernels = await createKernels(request);
      const name = machineName(kernels);
      if (machines.has(name)) kernels.dispose();
      else machines.set(name, kernels);
    }
  } catch (error) {
    for (const kernels of machines.values()) kernels.dispose();
    throw error;
  }
  return machines;
}

/** What these trials are held against, each once. */
function limitsOf(trials: readonly Trial[]): Map<string, { machine: Machine; limit: Limit }> {
  const found = new Map<string, { machine: Machine; limit: Limit }>();
  for (const machine of trials) {
    const limit = limitOf(machine);
    if (limit) found.set(limitKey(machine, limit), { machine, limit });
  }
  return found;
}

class Run {
  readonly rows: Row[] = [];
  readonly points: RooflinePoint[] = [];
  readonly #machines: ReadonlyMap<string, Kernels>;
  readonly #groups: readonly Group[];
  readonly #options: BenchOptions;
  readonly #rounds: number;
  /** Trials and limits, those of the surveys too. */
  readonly #total: number;
  /** By limitKey, with the samples of every group in order. */
  readonly #limits = new Map<string, MeasuredLimit>();
  #done = 0;
  /** What is read to empty the caches. */
  #flushed: BenchMemory | undefined;

  constructor(machines: ReadonlyMap<string, Kernels>, groups: readonly Group[], options: BenchOptions) {
    this.#machines = machines;
    this.#groups = groups;
    this.#options = options;
    this.#rounds = options.rounds ?? DEFAULT_ROUNDS;
    const candidates = groups.map(({ trials }) => trials.length + limitsOf(trials).size);
    this.#total = candidates.reduce((sum, count) => sum + count, 2 * SURVEY.length * machines.size);
  }

  /** Limits first and last and, of each group's trials, in turns with them. */
  async measureAll(): Promise<void> {
    try {
      await this.#survey();
      for (const group of this.#groups) await this.#measureGroup(group);
      await this.#survey();
    } finally {
      this.#flushed?.release();
    }
  }

  limitSeries(): MeasuredLimit[] {
    return [...this.#limits.values()];
  }

  async #survey(): Promise<void> {
    const limits = [...this.#machines.values()].flatMap((kernels) =>
      SURVEY.map((limit) => ({ kernels, limit })),
    );
    await this.#together([], limits);
  }

  async #measureGroup(group: Group): Promise<void> {
    const limits = [...limitsOf(group.trials).values()].map(({ machine, limit }) => ({
      kernels: this.#of(machine),
      limit,
    }));
    const { trials, limits: measured } = await this.#together(group.trials, limits);
    const rows = rowsOf(group, trials, measured);
    const reported = group.trials.filter(({ baseline }) => !baseline);
    this.rows.push(...rows);
    for (const [i, row] of rows.entries())
      if (row.gops !== null) this.points.push({ row, intensity: intensityOf(reported[i]) });
  }

  #of(machine: Machine): Kernels {
    return this.#machines.get(machineName(machine))!;
  }

  /** Times trials and limits in turns. */
  async #together(
    trials: readonly Trial[],
    limits: readonly { kernels: Kernels; limit: Limit }[],
  ): Promise<{ trials: Samples[]; limits: Map<string, MeasuredLimit> }> {
    const memories = new Map([...this.#machines].map(([name, kernels]) => [name, new BenchMemory(kernels)]));
    const memoryOf = (machine: Machine) => memories.get(machineName(machine))!;
    try {
      const trialCandidates = trials.map((trial): Candidate => {
        const kernels = this.#of(trial);
        return { kernels, bind: prepareTrial(kernels, memoryOf(trial), trial) };
      });
      const prepared = limits.flatMap(({ kernels, limit }) => {
        const found = prepareLimit(kernels, memoryOf(kernels), limit);
        return found ? [{ kernels, limit, ...found }] : [];
      });
      const limitCandidates = prepared.map(
        ({ kernels, limit, bind }): Candidate => ({ kernels, bind, registersOnly: limit.limit === 'peak' }),
      );
      const samples = await measure([...limitCandidates, ...trialCandidates], {
        host: this.#options.host,
        rounds: this.#rounds,
        signal: this.#options.signal,
        ...(this.#options.cold && { flush: this.#flush() }),
        onRound: (done) => this.#progress(done, trials.length + limits.length),
      });
      this.#done += trials.length + limits.length;
      const measured = new Map(
        prepared.map(({ kernels, limit, work }, i) => {
          const key = limitKey(kernels, limit);
          const found = { ...machineOf(kernels), limit, work: work(), visits: [samples[i]] };
          const before = this.#limits.get(key);
          this.#limits.set(key, before ? { ...found, visits: [...before.visits, samples[i]] } : found);
          return [key, found];
        }),
      );
      return { trials: samples.slice(prepared.length), limits: measured };
    } finally {
      for (const memory of memories.values()) memory.release();
    }
  }

  /** Reads so much, on as many threads as there are, that nothing else is left in the caches. */
  #flush(): () => void {
    const kernels = [...this.#machines.values()].reduce((a, b) => (b.threads > a.threads ? b : a));
    this.#flushed ??= new BenchMemory(kernels);
    const region = this.#flushed.floats('flush', FLUSH_WORDS);
    return () => void kernels.read(region.int32(0, FLUSH_WORDS));
  }

  #progress(round: number, candidates: number): void {
    const share = round / (this.#rounds + 1);
    this.#options.onProgress?.('bench', this.#done + share * candidates, this.#total);
  }
}
