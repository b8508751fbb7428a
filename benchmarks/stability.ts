import { parseArgs } from 'node:util';
import type { Dataset } from '../lib/data/dataset.ts';
import { openDataset } from '../lib/data/index.ts';
import { hash } from '../lib/data/split.ts';
import { nodeHost } from '../lib/pipeline/node-host.ts';
import { withStudy } from '../lib/pipeline/study.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * The same search over several draws of the calibration data, all widths offered: how much of the answer is the
 * network's and how much the draw's. Validation samples stay the same.
 * `npm --prefix benchmarks run stability -- --only '^mobilenetv2$' --write`
 */

const ALL_WIDTHS = [2, 3, 4, 5, 6, 7, 8];

interface Draw {
  pair: string;
  draw: number;
  samples: number;
  verdict: string;
  averageBits: number;
  kilobytes: number;
  validationDrop: number;
  judgedDrop: number;
  evaluations: number;
  measuring: number;
  searching: number;
  peakBytes: number;
  widths: readonly number[];
}

const columns: Column<Draw>[] = [
  { title: 'pair', text: ({ pair }) => pair },
  { title: 'draw', right: true, text: ({ draw }) => String(draw) },
  { title: 'calibration samples', right: true, text: ({ samples }) => String(samples) },
  { title: 'verdict', text: ({ verdict }) => verdict },
  numberColumn('average bits', 2, ({ averageBits }) => averageBits),
  numberColumn('kB', 1, ({ kilobytes }) => kilobytes),
  numberColumn('drop, validation', 2, ({ validationDrop }) => validationDrop),
  numberColumn('drop, judged', 2, ({ judgedDrop }) => judgedDrop),
  { title: 'evaluations', right: true, text: ({ evaluations }) => String(evaluations) },
  numberColumn('measuring, s', 0, ({ measuring }) => measuring),
  numberColumn('search, s', 0, ({ searching }) => searching),
  numberColumn('peak MB', 0, ({ peakBytes }) => peakBytes / 1e6),
];

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string', default: '^mobilenetv2$' },
    draws: { type: 'string', default: '5' },
    share: { type: 'string', default: '0.6' },
    'max-drop': { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

/** The part of a data set that a seed draws. */
function drawn(data: Dataset, seed: number, share: number): Dataset {
  const chosen = new Set(
    Array.from({ length: data.size! }, (_, index) => index)
      .sort((a, b) => hash(seed, a) - hash(seed, b))
      .slice(0, Math.round(share * data.size!)),
  );
  return {
    name: `${data.name}, draw ${seed}`,
    size: chosen.size,
    shape: data.shape,
    labelled: data.labelled,
    fingerprint: () => data.fingerprint(),
    batches: ({ select, ...options }) =>
      data.batches({ ...options, select: (index) => chosen.has(index) && (select?.(index) ?? true) }),
  };
}

async function search(pair: Pair, draw: number): Promise<Draw> {
  const whole = await openDataset(pair.calibration, { preprocessing: pair.preprocessing });
  const calibration = drawn(whole, draw, Number(flags.share));
  const { model, evaluate, preprocessing } = pair;
  const started = performance.now();
  return withStudy(
    nodeHost,
    { model, evaluate, preprocessing, calibration, bits: ALL_WIDTHS },
    async (study) => {
      const measured = performance.now();
      const { allocation, validation } = await study.ask({ maxDrop: Number(flags['max-drop']) });
      const ended = performance.now();
      const judged = await study.judge();
      return {
        pair: pair.name,
        draw,
        samples: calibration.size!,
        verdict: allocation.verdict,
        averageBits: allocation.cost['averageBits'],
        kilobytes: allocation.cost['weightBytes'] / 1000,
        validationDrop: validation.drop!,
        judgedDrop: judged!.drop!,
        evaluations: allocation.evaluations,
        measuring: (measured - started) / 1000,
        searching: (ended - measured) / 1000,
        peakBytes: process.resourceUsage().maxRSS * 1024,
        widths: [...allocation.widths.values()].map(({ weights }) => weights),
      };
    },
  );
}

/** How much the draws of one pair agree. */
function agreement(draws: readonly Draw[]): string {
  const layers = draws[0].widths.map((_, layer) => draws.map(({ widths }) => widths[layer]));
  const spread = layers.map((widths) => Math.max(...widths) - Math.min(...widths));
  const within = (bits: number) => spread.filter((own) => own <= bits).length;
  const deviations = layers.map((widths) => {
    const mean = widths.reduce((sum, own) => sum + own, 0) / widths.length;
    return Math.sqrt(widths.reduce((sum, own) => sum + (own - mean) ** 2, 0) / widths.length);
  });
  const mean = deviations.reduce((sum, own) => sum + own, 0) / deviations.length;
  const sizes = draws.map(({ kilobytes }) => kilobytes);
  const range = (100 * (Math.max(...sizes) - Math.min(...sizes))) / Math.min(...sizes);
  return `${draws[0].pair}: of ${layers.length} layers ${within(0)} have the same width in all ${draws.length} draws, ${within(1)} stay within one bit, ${within(2)} within two; standard deviation of a layer's width ${mean.toFixed(2)} bits on average; sizes differ by ${range.toFixed(1)} %.`;
}

const draws: Draw[] = [];
const pairs = loadPairs(flags.pairs, flags.only);
for (const pair of pairs)
  for (let draw = 1; draw <= Number(flags.draws); draw++) {
    const found = await search(pair, draw);
    draws.push(found);
    process.stderr.write(
      `${pair.name}, draw ${draw}: ${found.kilobytes.toFixed(1)} kB, ${(found.measuring + found.searching).toFixed(0)} s\n`,
    );
  }
const body = [
  markdownTable(draws, columns),
  ...pairs.map(({ name }) => agreement(draws.filter(({ pair }) => pair === name))),
].join('\n\n');
if (flags.write)
  writeResults(
    'Widths over several draws of the calibration data',
    `npm --prefix benchmarks run stability -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify(draws, null, 2) : body);
