import { randomBytes } from 'node:crypto';
import { setTimeout as later } from 'node:timers/promises';
import type { Job } from 'bullmq';
import type { WorkOptions } from '../analysis/analysis.ts';
import { physicalCores } from '../kernels/cores.ts';
import { DEFAULTS } from './options.ts';
import { connectionOf, loadBullmq, QUEUE_NAME, watchQueue } from './queue.ts';
import { CellRunner } from './sweep-cell.ts';
import type { Cell } from './sweep-plan.ts';
import { rowOf, type SweepRow } from './sweep-row.ts';

/** Milliseconds between two looks at jobs that are not done. */
const POLL = 250;
/** Milliseconds that a worker owns a job without a sign of life; work pauses every 200 ms or so. */
const LOCK = 10_000;
/** Milliseconds between two looks for jobs whose worker was killed. */
const STALLED_CHECK = 5000;
/** A cell that takes this many workers down with it is not given to another. */
const LOST_WORKERS = 3;
/** Seconds for which the server remembers a job that is done. */
const REMEMBERED = 3600;

/** What a job carries: everything by path, so all machines see the same folders. */
interface CellJob {
  cell: Cell;
  out: string;
}

export interface QueueOptions {
  url: string;
  out: string;
  signal?: AbortSignal;
  onRow: (cell: Cell, row: SweepRow) => void;
}

/**
 * Hands cells to the workers of a queue and waits for all rows. A job may be run more than once (a worker that is killed
 * loses it to another); the file of a finished cell makes that harmless. Throws QUEUE_UNAVAILABLE.
 */
export async function runQueue(cells: readonly Cell[], options: QueueOptions): Promise<void> {
  const { url, out, signal, onRow } = options;
  const { options: connection, giveUp } = connectionOf(url);
  const { Job, Queue } = await loadBullmq();
  const queue = new Queue<CellJob, SweepRow>(QUEUE_NAME, { connection });
  queue.on('error', () => {});
  const { gone, stop } = watchQueue(url, queue);
  const run = randomBytes(6).toString('hex');
  const idOf = ({ index }: Cell) => `${run}-${index}`;
  const remember = { age: REMEMBERED };
  const waiting = new Map(cells.map((cell) => [idOf(cell), cell]));
  try {
    await Promise.race([gone, addAll()]);
    while (waiting.size > 0) {
      signal?.throwIfAborted();
      for (const [id, cell] of [...waiting]) {
        const job = await Promise.race([gone, Job.fromId<CellJob, SweepRow>(queue, id)]);
        const row = answerOf(cell, job);
        if (!row) continue;
        waiting.delete(id);
        onRow(cell, row);
      }
      if (waiting.size > 0) await Promise.race([gone, later(POLL)]);
    }
  } catch (error) {
    // Nobody will ask for what is left.
    if (signal?.aborted) await Promise.race([gone, forget()]).catch(() => {});
    throw error;
  } finally {
    stop();
    giveUp();
    await queue.close().catch(() => {});
  }

  async function addAll(): Promise<void> {
    await queue.addBulk(
      cells.map((cell) => ({
        name: 'cell',
        data: { cell, out },
        opts: { jobId: idOf(cell), removeOnComplete: remember, removeOnFail: remember },
      })),
    );
  }

  async function forget(): Promise<void> {
    for (const id of waiting.keys()) await queue.remove(id);
  }
}

/** Null while the job is not done. */
function answerOf(cell: Cell, job: Job<CellJob, SweepRow> | undefined): SweepRow | null {
  if (!job) {
    const message = 'Expected a job for the cell but the queue has lost it; run the sweep again.';
    return rowOf(cell, null, { code: 'QUEUE_UNAVAILABLE', message });
  }
  if (job.finishedOn === undefined) return null;
  if (job.returnvalue) return job.returnvalue;
  const message = `Expected a worker to finish the cell but it failed (${job.failedReason}).`;
  return rowOf(cell, null, { code: 'INTERNAL', message });
}

export interface WorkerOptions extends WorkOptions {
  queue: string;
  /** Default: physical cores. */
  threads?: number;
  /** Told after each cell. */
  onRow?: (row: SweepRow) => void;
  onWarning?: (sentence: string) => void;
}

/**
 * Runs cells of a queue, one at a time, until `signal` aborts; a cell that it was at is taken over by another worker.
 * Throws INVALID_ARGUMENT for the address, QUEUE_UNAVAILABLE where the server is away.
 */
export async function serveQueue(options: WorkerOptions): Promise<void> {
  const { queue: url, threads = physicalCores(), signal, onRow, onProgress, onWarning } = options;
  const { options: connection, giveUp } = connectionOf(url);
  const { Worker } = await loadBullmq();
  const runners = new Map<string, CellRunner>();

  async function runnerOf(out: string): Promise<CellRunner> {
    const known = runners.get(out);
    if (known) return known;
    for (const runner of runners.values()) await runner.close();
    runners.clear();
    const { cacheBytes } = DEFAULTS;
    const work = { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) };
    const runner = new CellRunner({ out, threads, cacheBytes, ...work, ...(onWarning ? { onWarning } : {}) });
    runners.set(out, runner);
    return runner;
  }

  const worker = new Worker<CellJob, SweepRow>(
    QUEUE_NAME,
    async ({ data: { cell, out } }) => {
      const runner = await runnerOf(out);
      const row = await runner.run(cell).catch(() => null);
      // Told to stop: a job without an end is another worker's.
      if (row === null) return new Promise<never>(() => {});
      onRow?.(row);
      return row;
    },
    {
      connection,
      concurrency: 1,
      lockDuration: LOCK,
      stalledInterval: STALLED_CHECK,
      maxStalledCount: LOST_WORKERS,
    },
  );
  const { gone, stop } = watchQueue(url, worker);
  // What the watch does not tell of is told by its end.
  worker.on('error', () => {});
  try {
    await Promise.race([gone, aborted(signal)]);
  } finally {
    stop();
    giveUp();
    // Without waiting: the lock of a cell that was begun runs out, and another worker takes it over.
    await worker.close(true).catch(() => {});
    for (const runner of runners.values()) await runner.close();
  }
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve();
    else signal?.addEventListener('abort', () => resolve(), { once: true });
  });
}
