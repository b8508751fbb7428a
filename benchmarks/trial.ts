import { writeFileSync } from 'node:fs';
import type { Ask } from '../lib/pipeline/answers.ts';
import { uniformWidths } from '../lib/pipeline/choices.ts';
import { nodeHost } from '../lib/pipeline/node-host.ts';
import type { QuantizeOptions } from '../lib/pipeline/options.ts';
import { type Study, withStudy } from '../lib/pipeline/study.ts';
import type { Pair } from './pairs.ts';

/** One pair with all strategies, alone in its process so that its peak memory is its own. */
export interface Trial {
  pair: Pair;
  strategies: readonly string[];
  /** Smallest size at these drops, */
  maxDrops: readonly number[];
  /** and the best accuracy at the memory of uniform widths, by these strategies. */
  atUniform: { bits: readonly number[]; strategies: readonly string[] };
  seed: number;
  threads?: number;
  backend?: 'native' | 'wasm' | 'reference';
  evaluations?: number;
  recovery: string;
  samples?: number;
  activationBits?: readonly number[];
  learning?: Pick<QuantizeOptions, 'training' | 'trainingSamples' | 'epochs' | 'epochsPerStep'>;
}

export interface Row {
  pair: string;
  strategy: string;
  recovery: string;
  /** What was asked: `drop<=1`, `size of 3 bits`. */
  asked: string;
  averageBits: number;
  weightBytes: number;
  floatBytes: number;
  /** All layers at 8 bits. */
  int8Bytes: number;
  /** Percentage points; null where samples have no labels. */
  validationDrop: number | null;
  /** Mean divergence of the outputs on validation samples, nats. */
  divergence: number | null;
  /** On samples that the search never saw. */
  drop: number | null;
  interval: [number, number] | null;
  evaluations: number;
  /** Of this search alone; what all share is in `measuring`. */
  seconds: number;
  /** Calibration, recovery and profile, which the searches share. */
  measuring: number;
  peakBytes: number;
  verdict: string;
  widths: Record<string, number>;
}

/** Asks every strategy of one measured network. */
export async function run(trial: Trial): Promise<Row[]> {
  const { pair, seed, threads, backend, evaluations, recovery, samples, activationBits } = trial;
  const started = performance.now();
  const options = {
    model: pair.model,
    calibration: pair.calibration,
    evaluate: pair.evaluate,
    preprocessing: pair.preprocessing,
    ...trial.learning,
    seed,
    recovery,
    ...(pair.validation !== undefined && { validation: pair.validation }),
    ...(threads !== undefined && { threads }),
    ...(backend !== undefined && { backend }),
    ...(samples !== undefined && { samples }),
    ...(activationBits !== undefined && { activationBits }),
  };
  return withStudy(nodeHost, options, async (study) => {
    const measuring = (performance.now() - started) / 1000;
    const rows: Row[] = [];
    for (const { asked, ask, strategies } of asksOf(trial, study))
      for (const strategy of strategies) {
        const limited = { ...ask, strategy, ...(evaluations !== undefined && { evaluations }) };
        const row = await answerTo(study, pair.name, asked, limited);
        rows.push({ ...row, recovery, measuring });
      }
    return rows;
  });
}

interface Asked {
  asked: string;
  ask: Ask;
  strategies: readonly string[];
}

function asksOf({ maxDrops, strategies, atUniform }: Trial, study: Study): Asked[] {
  return [
    ...maxDrops.map((maxDrop) => ({ asked: `drop<=${maxDrop}`, ask: { maxDrop }, strategies })),
    ...atUniform.bits.map((bits) => ({
      asked: `size of ${bits} bits`,
      ask: { targets: [`size=${uniformBytes(study, bits)}B`] },
      strategies: atUniform.strategies,
    })),
  ];
}

/** Bytes of all layers at this width, or at the nearest that they offer. */
function uniformBytes({ choices, costs }: Study, bits: number): number {
  return costs.model.cost(uniformWidths(choices, bits))['weightBytes'];
}

async function answerTo(
  study: Study,
  pair: string,
  asked: string,
  ask: Ask,
): Promise<Omit<Row, 'measuring' | 'recovery'>> {
  const started = performance.now();
  const { allocation, validation, strategy } = await study.ask(ask);
  const seconds = (performance.now() - started) / 1000;
  const accuracy = await study.judge();
  const layers = [...study.layers, ...study.floatLayers];
  return {
    pair,
    strategy,
    asked,
    averageBits: allocation.cost['averageBits'],
    weightBytes: allocation.cost['weightBytes'],
    floatBytes: layers.reduce((sum, { parameters }) => sum + 4 * parameters, 0),
    int8Bytes: layers.reduce((sum, { weights, outChannels }) => sum + weights.length + 8 * outChannels, 0),
    validationDrop: validation.drop,
    divergence: allocation.measurement?.divergence ?? null,
    drop: accuracy?.drop ?? null,
    interval: accuracy?.interval ?? null,
    evaluations: allocation.evaluations,
    seconds,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    verdict: allocation.verdict,
    widths: Object.fromEntries([...allocation.widths].map(([name, { weights }]) => [name, weights])),
  };
}

// Started by the harness: the trial is the first argument, the rows go to the file named by the second.
const [, , text, into] = process.argv;
writeFileSync(into, JSON.stringify(await run(JSON.parse(text))));
