import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkOptions } from '../analysis/analysis.ts';
import type { ErrorCode } from '../errors.ts';
import { finiteCost } from './artefacts.ts';
import { digestOf } from './cache-entries.ts';
import { loadDevice } from './devices.ts';
import { writeNewFile } from './files.ts';
import { openModel, sha256 } from './model.ts';
import { nodeHost } from './node-host.ts';
import { floatBytesOf } from './resources.ts';
import { openSamples, sampleInput } from './samples.ts';
import { type Study, withStudy } from './study.ts';
import type { Cell, CellOptions } from './sweep-plan.ts';
import { type CellOutcome, parseOutcome, rowOf, type SweepRow } from './sweep-row.ts';
import { toolVersion } from './version.ts';

/** Where a sweep keeps finished cells and the cache that they share. */
const CELLS = 'cells';
const CACHE = 'cache';

export interface CellRunnerOptions extends WorkOptions {
  /** Folder of the sweep. */
  out: string;
  threads: number;
  /** Bytes of activations that evaluations may keep for one another. */
  cacheBytes: number;
  onWarning?: (sentence: string) => void;
}

/**
 * Runs cells one after another. A finished one is a file under a key of everything that its outcome depends on, so that
 * the same cell twice, here or elsewhere, does no harm. The network of the last cell stays open for the next one.
 */
export class CellRunner {
  readonly #options: CellRunnerOptions;
  readonly #contents = new Map<string, Promise<unknown>>();
  #open: OpenStudy | null = null;

  constructor(options: CellRunnerOptions) {
    this.#options = options;
  }

  /** A failure is a row too; rejects with `signal.reason` alone. */
  async run(cell: Cell): Promise<SweepRow> {
    const { signal } = this.#options;
    try {
      return rowOf(cell, await this.#outcome(cell));
    } catch (error) {
      signal?.throwIfAborted();
      const { code = 'INTERNAL', message } = error as Error & { code?: ErrorCode };
      return rowOf(cell, null, { code, message });
    }
  }

  /** Frees what is open. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.close();
  }

  async #outcome(cell: Cell): Promise<CellOutcome> {
    const { out, signal } = this.#options;
    const content = await this.#contentOf(cell.study);
    signal?.throwIfAborted();
    const folder = join(out, CELLS);
    const path = join(folder, `${keyOf(cell, content)}.json`);
    const finished = await readFile(path, 'utf8').then(parseOutcome, () => null);
    if (finished) return finished;
    const outcome = await this.#made(cell);
    await mkdir(folder, { recursive: true });
    await writeNewFile(path, 'out', `${JSON.stringify(outcome, null, 2)}\n`, true);
    return outcome;
  }

  async #made(cell: Cell): Promise<CellOutcome> {
    const study = await this.#studyOf(cell.study);
    const { allocation, validation } = await study.ask(cell.ask);
    return {
      verdict: allocation.verdict,
      averageBits: allocation.cost['averageBits'],
      floatBytes: floatBytesOf([...study.layers, ...study.floatLayers]),
      cost: finiteCost(allocation.cost),
      validation,
      accuracy: await study.judge(),
      evaluations: allocation.evaluations,
      widths: Object.fromEntries(allocation.widths),
    };
  }

  /** Of the files that a cell reads: read once, whatever becomes of them meanwhile. */
  #contentOf(study: CellOptions): Promise<unknown> {
    const { model, device, calibration, validation, evaluate, metric } = study;
    const key = JSON.stringify([model, device, calibration, validation, evaluate, metric]);
    const known = this.#contents.get(key);
    if (known) return known;
    const made = contentOf(study);
    this.#contents.set(key, made);
    return made;
  }

  async #studyOf(options: CellOptions): Promise<Study> {
    const key = JSON.stringify(options);
    if (this.#open?.key !== key) {
      await this.close();
      const { out, threads, cacheBytes, signal, onProgress, onWarning } = this.#options;
      const here = { threads, cacheBytes, signal, onProgress, onWarning, cache: join(out, CACHE) };
      this.#open = await openStudy(key, { ...options, ...here });
    }
    return this.#open.study;
  }
}

interface OpenStudy {
  key: string;
  study: Study;
  close(): Promise<void>;
}

/** `withStudy` turned inside out: lent until it is given back. */
async function openStudy(key: string, options: Parameters<typeof withStudy>[1]): Promise<OpenStudy> {
  let giveBack = () => {};
  const lent = new Promise<void>((resolve) => (giveBack = resolve));
  return new Promise((resolve, reject) => {
    const ended = withStudy(nodeHost, options, async (study) => {
      const close = async () => {
        giveBack();
        await ended;
      };
      resolve({ key, study, close });
      await lent;
    });
    ended.catch(reject);
  });
}

async function contentOf({ model, ...options }: CellOptions): Promise<unknown> {
  const opened = await openModel({ model, inputShapes: options.inputShapes }, nodeHost);
  const input = sampleInput(opened.graph);
  const data: (string | null)[] = [];
  for (const source of [options.calibration, options.validation, options.evaluate]) {
    const samples = source && (await openSamples(source, input, options.preprocessing ?? {}, nodeHost));
    data.push(samples ? await samples.fingerprint() : null);
  }
  const metric = typeof options.metric === 'string' ? sha256(await readFile(options.metric)) : null;
  const device = options.device === undefined ? null : await loadDevice(options.device);
  return { model: opened.sha256, data, metric, device };
}

/** By content, never by path. */
function keyOf({ study, ask }: Cell, content: unknown): string {
  const { model, device, calibration, validation, evaluate, metric, ...options } = study;
  return digestOf({ tool: toolVersion(), content, options, ask });
}
