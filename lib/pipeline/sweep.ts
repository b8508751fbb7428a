import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { WorkOptions } from '../analysis/analysis.ts';
import { refuse } from '../errors.ts';
import { physicalCores } from '../kernels/cores.ts';
import { writeNewFile } from './files.ts';
import { DEFAULTS } from './options.ts';
import { grouped } from './sweep-order.ts';
import { type Cell, readSweep } from './sweep-plan.ts';
import { runPool } from './sweep-pool.ts';
import { runQueue } from './sweep-queue.ts';
import { resultsCsv, resultsText, type SweepRow } from './sweep-row.ts';

export interface SweepOptions extends WorkOptions {
  /** Path of the plan. */
  plan: string;
  /** Folder of finished cells, of the cache they share, and of the results. */
  out: string;
  /** All cores that the sweep may use; default: physical cores. */
  threads?: number;
  /** `redis://host:port`: cells are run by `sigmaquant worker` processes instead of threads of this one. */
  queue?: string;
  onWarning?: (sentence: string) => void;
}

export interface SweepResult {
  rows: SweepRow[];
  files: { directory: string; json: string; csv: string };
}

/**
 * Runs every cell of a plan and writes `results.json` and `results.csv`, rows in the order of the plan. Finished cells
 * are kept as they come; the next sweep goes on from them. A cell that fails is a row. Throws INVALID_ARGUMENT for the
 * plan and the folder, QUEUE_UNAVAILABLE; rejects with `signal.reason` on abort, finished cells kept.
 */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { plan, signal, onProgress, onWarning = (sentence) => process.emitWarning(sentence) } = options;
  const threads = options.threads ?? physicalCores();
  if (!(Number.isInteger(threads) && threads >= 1)) refuse('a whole number above 0', 'threads', threads);
  signal?.throwIfAborted();
  const cells = await readSweep(plan);
  const out = resolve(options.out);
  await mkdir(out, { recursive: true }).catch(() => refuse('a folder that can be made', 'out', options.out));
  const rows = new Map<number, SweepRow>();
  const onRow = ({ index }: Cell, row: SweepRow) => {
    rows.set(index, row);
    onProgress?.('sweep', rows.size, cells.length);
    if (row.error)
      onWarning(`${row.model}, ${row.device}, ${row.budget}, ${row.strategy}: ${row.error.message}`);
  };
  onProgress?.('sweep', 0, cells.length);
  const ordered = grouped(cells);
  if (options.queue === undefined) {
    const workers = Math.min(threads, cells.length);
    const setup = {
      out,
      threads: Math.floor(threads / workers),
      cacheBytes: Math.floor(DEFAULTS.cacheBytes / workers),
    };
    await runPool(ordered, { workers, setup, onRow, onWarning, ...(signal ? { signal } : {}) });
  } else await runQueue(ordered, { url: options.queue, out, onRow, ...(signal ? { signal } : {}) });
  return write(
    out,
    cells.map(({ index }) => rows.get(index)!),
  );
}

async function write(directory: string, rows: SweepRow[]): Promise<SweepResult> {
  const files = { directory, json: join(directory, 'results.json'), csv: join(directory, 'results.csv') };
  await writeNewFile(files.json, 'out', resultsText(rows), true);
  await writeNewFile(files.csv, 'out', resultsCsv(rows), true);
  return { rows, files };
}
