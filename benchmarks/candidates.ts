import { parseArgs } from 'node:util';
import { SuffixRuns } from '../lib/analysis/index.ts';
import { compile } from '../lib/engine/index.ts';
import type { Layer, Tensor } from '../lib/graph/index.ts';
import { quantize } from '../lib/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { KernelsOptions } from '../lib/kernels/kernels.ts';
import { random } from '../test/contract/support.ts';
import { integers } from '../test/engine/support.ts';
import { packed } from './packed.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { markdownTable, median, numberColumn, writeResults } from './results.ts';

/**
 * What a candidate costs that differs from the last one in a single layer: its evaluation, replacing the layer and
 * keeping activations with it, over a run of the whole network, beside the share of the multiply-accumulates from that
 * layer on. And the seconds that whole searches spend evaluating, with and without activations that are kept.
 * `npm --prefix benchmarks run candidates -- --json`
 */

/** What a candidate may cost of its suffix's share. */
const LIMIT = 1.2;
/** As the search may keep. */
const CEILING = 2 ** 30;
/** Widths that a layer alternates between; all begin at 8. */
const WIDTHS = [4, 6];

interface Row {
  network: string;
  layer: string;
  /** Processor's milliseconds per candidate and per whole run, all batches, medians. */
  candidateMs: number;
  wholeMs: number;
  /** Of the time, and of multiply-accumulates and of the whole run's time from this layer on. */
  share: number;
  suffixMacs: number;
  suffixTime: number;
  /** share / suffixMacs. */
  ratio: number;
  passed: boolean;
}

interface Search {
  network: string;
  evaluations: number;
  /** Seconds that the search spent on evaluations, and all in all. */
  evaluate: number;
  evaluateWithout: number;
  total: number;
  totalWithout: number;
  sameWidths: boolean;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string', default: '^(resnet20|mobilenetv2)$' },
    samples: { type: 'string', default: '32' },
    batch: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '7' },
    backend: { type: 'string' },
    evaluations: { type: 'string', default: '12' },
    search: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
const threads = 1;
const backend = flags.backend as KernelsOptions['backend'];

function batchesOf(shape: readonly (number | string)[]): Tensor[] {
  const [samples, size] = [Number(flags.samples), Number(flags.batch)];
  const next = random(5);
  return Array.from({ length: Math.ceil(samples / size) }, (_, i) => {
    const sizes = shape.map((length, axis) =>
      axis === 0 ? Math.min(size, samples - i * size) : Number(length),
    );
    const data = Float32Array.from({ length: sizes.reduce((a, b) => a * b, 1) }, () => next() * 2 - 1);
    return { dtype: 'float32', shape: sizes, data };
  });
}

/** Milliseconds of the processor, so that what else runs on the machine does not count. */
function now(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function milliseconds(run: () => void): number {
  const start = now();
  run();
  return now() - start;
}

async function candidates(pair: Pair): Promise<Row[]> {
  const kernels = await createKernels({ threads, ...(backend && { backend }) });
  const { graph, layers, quantization } = packed(pair.model, 'uniform 8', kernels);
  const [input] = graph.inputs;
  const outputs = graph.outputs.map(({ name }) => name);
  const feeds = batchesOf(input.shape).map((tensor) => new Map([[input.name, tensor]]));
  const [whole, other] = [
    compile(graph, kernels, { quantization }),
    compile(graph, kernels, { quantization }),
  ];
  const runs = new SuffixRuns(other, layers, { samples: Number(flags.samples), ceiling: CEILING });
  const evaluate = () => feeds.forEach((_, i) => void runs.run(i, runs.knows(i) ? null : feeds[i]));
  const runWhole = () => feeds.forEach((feed) => void whole.run(feed, outputs));
  for (const { name } of layers) runs.changed(name, 8);
  for (let i = 0; i < 2; i++) {
    evaluate();
    runWhole();
  }
  const stepTimes = Array.from({ length: 9 }, () => whole.profile(feeds[0], outputs, now));
  const after = suffixes(layers);
  const rows = layers.map((layer, position): Row => {
    const base = quantization.layers.get(layer.name)!;
    const weights = graph.constants.get(layer.node.inputs[1])!;
    const made = WIDTHS.map((bits) => integers(weights, base.bias, bits));
    const become = (width: number, version: string) => {
      const its = { ...quantization, layers: new Map(quantization.layers).set(layer.name, made[width]) };
      other.replaceLayer(layer.name, its);
      runs.changed(layer.name, version);
    };
    const [ours, all]: [number[], number[]] = [[], []];
    for (let round = -2; round < Number(flags.rounds); round++) {
      const time = milliseconds(() => {
        become((round + 2) % 2, `${round}`); // another version each time: nothing behind the layer is known
        evaluate();
      });
      const wholeTime = milliseconds(runWhole);
      if (round < 0) continue;
      ours.push(time);
      all.push(wholeTime);
    }
    other.replaceLayer(layer.name, quantization);
    runs.changed(layer.name, 8);
    evaluate();
    const [candidateMs, wholeMs] = [median(ours), median(all)];
    const share = candidateMs / wholeMs;
    const suffixMacs = after[position];
    return {
      network: pair.name,
      layer: layer.name,
      candidateMs,
      wholeMs,
      share,
      suffixMacs,
      suffixTime: median(stepTimes.map((steps) => timeFrom(steps, layer.name))),
      ratio: share / suffixMacs,
      passed: share <= LIMIT * suffixMacs,
    };
  });
  whole.dispose();
  other.dispose();
  kernels.dispose();
  return rows;
}

/** Per layer, the share of all multiply-accumulates from it to the end. */
function suffixes(layers: readonly Layer[]): number[] {
  const after = new Array<number>(layers.length + 1).fill(0);
  for (let i = layers.length - 1; i >= 0; i--) after[i] = after[i + 1] + layers[i].macs;
  return after.slice(0, -1).map((macs) => macs / after[0]);
}

/** Share of a profile's time from the first step of this node on. */
function timeFrom(steps: readonly { node: string; milliseconds: number }[], node: string): number {
  const first = steps.findIndex((step) => step.node === node);
  const sum = (some: typeof steps) => some.reduce((total, step) => total + step.milliseconds, 0);
  return sum(steps.slice(first)) / sum(steps);
}

async function search(pair: Pair): Promise<Search> {
  const run = (cacheBytes: number) =>
    quantize({
      model: pair.model,
      calibration: pair.calibration,
      evaluate: pair.evaluate,
      preprocessing: pair.preprocessing,
      maxDrop: 1,
      samples: 64,
      evaluations: Number(flags.evaluations),
      threads,
      ...(backend && { backend }),
      cacheBytes,
    });
  const without = await run(0);
  const kept = await run(CEILING);
  const { seconds, evaluations, artefacts } = kept;
  return {
    network: pair.name,
    evaluations,
    evaluate: seconds.evaluate,
    evaluateWithout: without.seconds.evaluate,
    total: seconds.total,
    totalWithout: without.seconds.total,
    sameWidths:
      JSON.stringify(without.artefacts.allocation.layers) === JSON.stringify(artefacts.allocation.layers),
  };
}

const rows: Row[] = [];
const searches: Search[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) {
  rows.push(...(await candidates(pair)));
  const own = rows.filter(({ network }) => network === pair.name);
  process.stderr.write(
    `${pair.name}: ${own.filter(({ passed }) => passed).length} of ${own.length} layers within the limit\n`,
  );
  if (flags.search) searches.push(await search(pair));
}
const summaries = [...new Set(rows.map(({ network }) => network))].map((network) => {
  const own = rows.filter((row) => row.network === network);
  const excess = own.map(({ share, suffixTime }) => share - suffixTime);
  return {
    network,
    layers: own.length,
    within: own.filter(({ passed }) => passed).length,
    medianRatio: median(own.map(({ ratio }) => ratio)),
    /** Median over layers of candidate time over the suffix's own share of the time. */
    medianOfTime: median(own.map(({ share, suffixTime }) => share / suffixTime)),
    largestExcess: Math.max(...excess),
  };
});
const percent = (value: number) => (100 * value).toFixed(1);
const body = [
  `${flags.samples} samples in batches of ${flags.batch}, one thread, medians of ${flags.rounds} rounds, turn by turn, of the processor's time. A candidate of every layer:`,
  markdownTable(rows, [
    { title: 'network', text: (row) => row.network },
    { title: 'layer', text: (row) => row.layer },
    numberColumn('candidate, ms', 2, (row) => row.candidateMs),
    numberColumn('whole run, ms', 2, (row) => row.wholeMs),
    { title: 'share, %', right: true, text: (row) => percent(row.share) },
    { title: 'MACs from here, %', right: true, text: (row) => percent(row.suffixMacs) },
    { title: 'time from here, %', right: true, text: (row) => percent(row.suffixTime) },
    numberColumn('ratio', 2, (row) => row.ratio),
    { title: 'passed', text: (row) => (row.passed ? 'yes' : 'no') },
  ]),
  markdownTable(summaries, [
    { title: 'network', text: (row) => row.network },
    { title: 'within', text: (row) => `${row.within} of ${row.layers}` },
    numberColumn('ratio to MACs, median', 2, (row) => row.medianRatio),
    numberColumn('ratio to time, median', 2, (row) => row.medianOfTime),
  ]),
  ...(searches.length === 0
    ? []
    : [
        'Searches with all activations forgotten, and kept:',
        markdownTable(searches, [
          { title: 'network', text: (row) => row.network },
          numberColumn('evaluations', 0, (row) => row.evaluations),
          numberColumn('evaluating without, s', 1, (row) => row.evaluateWithout),
          numberColumn('evaluating, s', 1, (row) => row.evaluate),
          numberColumn('all without, s', 1, (row) => row.totalWithout),
          numberColumn('all, s', 1, (row) => row.total),
          { title: 'same widths', text: (row) => (row.sameWidths ? 'yes' : 'no') },
        ]),
      ]),
].join('\n\n');
if (flags.write)
  writeResults(
    'Candidates',
    `npm --prefix benchmarks run candidates -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify({ summaries, rows, searches }, null, 2) : body);
