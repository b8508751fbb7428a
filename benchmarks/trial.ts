import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { quantize } from '../lib/index.ts';
import type { Pair } from './pairs.ts';

/** One pair with one strategy, alone in its process so that its peak memory is its own. */
export interface Trial {
  pair: Pair;
  strategy: string;
  maxDrop: number;
  seed: number;
  threads?: number;
  backend?: 'native' | 'wasm' | 'reference';
  evaluations?: number;
  recovery?: string;
  /** Folder that receives the exported files, one folder per trial. */
  keep?: string;
}

export interface Row {
  pair: string;
  strategy: string;
  /** Whether it is what `quantize` takes without being told. */
  default: boolean;
  averageBits: number;
  weightBytes: number;
  floatBytes: number;
  /** Percentage points; null where samples have no labels. */
  validationDrop: number | null;
  /** On samples that the search never saw. */
  drop: number | null;
  interval: [number, number] | null;
  evaluations: number;
  seconds: number;
  peakBytes: number;
  verdict: string;
}

/** The smallest network within the drop. `default` is filled in by the harness. */
export async function run(trial: Trial): Promise<Row> {
  const { pair, strategy, maxDrop, seed, threads, backend, evaluations, recovery, keep } = trial;
  const out = keep === undefined ? undefined : join(keep, `${pair.name}.${strategy}`);
  if (out !== undefined) await mkdir(keep!, { recursive: true });
  const result = await quantize({
    model: pair.model,
    calibration: pair.calibration,
    evaluate: pair.evaluate,
    preprocessing: pair.preprocessing,
    maxDrop,
    strategy,
    seed,
    ...(pair.validation !== undefined && { validation: pair.validation }),
    ...(threads !== undefined && { threads }),
    ...(backend !== undefined && { backend }),
    ...(evaluations !== undefined && { evaluations }),
    ...(recovery !== undefined && { recovery }),
    ...(out !== undefined && { out, force: true }),
  });
  return {
    pair: pair.name,
    strategy: result.strategy,
    default: false,
    averageBits: result.averageBits,
    weightBytes: result.weightBytes,
    floatBytes: result.floatBytes,
    validationDrop: result.validation.drop,
    drop: result.accuracy?.drop ?? null,
    interval: result.accuracy?.interval ?? null,
    evaluations: result.evaluations,
    seconds: result.seconds.total,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    verdict: result.verdict,
  };
}

// Started by the harness: the trial is the first argument, the row goes to the file named by the second.
const [, , text, into] = process.argv;
writeFileSync(into, JSON.stringify(await run(JSON.parse(text))));
