import { Worker } from 'node:worker_threads';
import { SigmaQuantError } from '../errors.ts';
import { nextCell } from './sweep-order.ts';
import type { Cell } from './sweep-plan.ts';
import { rowOf, type SweepRow } from './sweep-row.ts';

/** The worker beside this module. No worker inherits what loads the sources: beside them the built one serves. */
const BUILT = import.meta.url.endsWith('.ts') ? '../../dist/pipeline/sweep-worker.js' : './sweep-worker.js';
const WORKER = new URL(BUILT, import.meta.url);

/** To the worker: a cell to run, the end after it, or the end at once. */
export type PoolRequest = { kind: 'run'; cell: Cell } | { kind: 'end' } | { kind: 'stop' };
/** From the worker. */
export type PoolAnswer = { kind: 'row'; row: SweepRow } | { kind: 'warning'; sentence: string };

/** What a worker is started with. */
export interface PoolSetup {
  out: string;
  threads: number;
  cacheBytes: number;
}

export interface PoolOptions {
  workers: number;
  setup: PoolSetup;
  signal?: AbortSignal;
  onRow: (cell: Cell, row: SweepRow) => void;
  onWarning: (sentence: string) => void;
}

/**
 * Runs every cell in some worker thread; each is given a cell of the network that it has open while there is one. A
 * worker that dies costs its cell, not the sweep. Rejects with `signal.reason` once all workers have ended.
 */
export async function runPool(cells: readonly Cell[], options: PoolOptions): Promise<void> {
  const left = [...cells];
  const open = new Map<number, Cell>();
  const lanes = Array.from({ length: options.workers }, (_, lane) => runLane(lane, left, open, options));
  await Promise.all(lanes);
  options.signal?.throwIfAborted();
}

async function runLane(
  lane: number,
  left: Cell[],
  open: Map<number, Cell>,
  options: PoolOptions,
): Promise<void> {
  let worker: PoolWorker | null = null;
  try {
    while (!options.signal?.aborted) {
      const cell = nextCell(left, open.get(lane), [...open.values()]);
      if (!cell) break;
      open.set(lane, cell);
      worker ??= new PoolWorker(options);
      const row = await worker.run(cell);
      if (options.signal?.aborted) break;
      if (worker.ended) worker = null;
      options.onRow(cell, row);
    }
  } finally {
    open.delete(lane);
    await worker?.end();
  }
}

class PoolWorker {
  readonly #worker: Worker;
  readonly #exit: Promise<void>;
  readonly #options: PoolOptions;
  #why = 'it ended';
  #settle: ((row: SweepRow | null) => void) | null = null;
  ended = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    // Without the flags of this process: what they load is not for the worker.
    this.#worker = new Worker(WORKER, { workerData: options.setup, execArgv: [] });
    this.#worker.on('message', (answer: PoolAnswer) => {
      if (answer.kind === 'warning') options.onWarning(answer.sentence);
      else this.#settle?.(answer.row);
    });
    this.#worker.on('error', ({ message }) => {
      this.#why = message;
    });
    this.#exit = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.ended = true;
        this.#settle?.(null);
        resolve();
      });
    });
  }

  async run(cell: Cell): Promise<SweepRow> {
    const { signal } = this.#options;
    const stop = () => this.#worker.postMessage({ kind: 'stop' } satisfies PoolRequest);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const row = await new Promise<SweepRow | null>((resolve) => {
        this.#settle = resolve;
        if (this.ended) resolve(null);
        else this.#worker.postMessage({ kind: 'run', cell } satisfies PoolRequest);
      });
      return row ?? this.#lost(cell);
    } finally {
      this.#settle = null;
      signal?.removeEventListener('abort', stop);
    }
  }

  #lost(cell: Cell): SweepRow {
    const { code, message } = new SigmaQuantError(
      'INTERNAL',
      `Expected the worker of model ${cell.model} to answer but it ended (${this.#why}); try again, with fewer --threads where memory is short.`,
    );
    return rowOf(cell, null, { code, message });
  }

  async end(): Promise<void> {
    if (!this.ended) this.#worker.postMessage({ kind: 'end' } satisfies PoolRequest);
    await this.#exit;
  }
}
