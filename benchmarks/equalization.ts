/**
 * What equalisation keeps of a network at uniform widths (first and last layer at 8 bits), piece by piece, over several
 * draws of the calibration data. Scored on every second sample of the evaluation set: mean KL of the outputs against
 * the float network in nats, their SQNR in decibels, top-1 drop in points.
 * `npm --prefix benchmarks run equalization -- [--pairs FILE] [--only REGEXP] [--widths 3/8,4/4] [--pieces none,all]
 * [--draws N] [--calibrate N] [--samples N]`; widths are weights/activations.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Calibration } from '../lib/analysis/analysis.ts';
import { calibrate, channelStatistics } from '../lib/analysis/index.ts';
import { type Dataset, openDataset } from '../lib/data/index.ts';
import { compile, quantizerOf } from '../lib/engine/index.ts';
import {
  type EqualizeOptions,
  equalize,
  equalizedValues,
  type Graph,
  importGraph,
  type Layer,
  layers as layersOf,
  toChannelsLast,
  withOrigins,
} from '../lib/graph/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { Quantization, QuantizedLayer } from '../lib/quant/quantizer.ts';
import { chooseQuantizer } from '../lib/quant/ranges.ts';
import { createRecovery } from '../lib/recovery/index.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable } from './results.ts';

const BATCH = 8;

/** One row per piece; null leaves the network as it is. */
const PIECES: Readonly<Record<string, EqualizeOptions | null>> = {
  none: null,
  constants: { scales: 'none' },
  centre: { constants: false, centre: true, scales: 'none' },
  scales: { constants: false },
  weights: { constants: false, scales: 'weights' },
  default: {},
};

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    widths: { type: 'string', default: '3/8,4/8,5/8,3/4,4/4,5/4' },
    pieces: { type: 'string', default: Object.keys(PIECES).join(',') },
    draws: { type: 'string', default: '4' },
    calibrate: { type: 'string', default: '64' },
    samples: { type: 'string', default: '225' },
  },
});

interface Score {
  divergence: number;
  sqnr: number;
  /** Samples whose largest output is their label. */
  right: number;
}

interface Row extends Score {
  network: string;
  widths: string;
  piece: string;
  drop: number;
}

interface Samples {
  x: Float32Array;
  labels: Int32Array;
  count: number;
}

/** A subset of a data set that differs from draw to draw, by a linear congruence; the same every time. */
function drawn(data: Dataset, draw: number): Dataset {
  const size = data.size!;
  let state = draw + 1;
  const keys = Array.from({ length: size }, () => (state = (state * 48_271) % 0x7fffffff));
  const order = [...keys.keys()].sort((a, b) => keys[a] - keys[b] || a - b);
  const chosen = new Set(order.slice(0, Number(flags.calibrate)));
  return {
    name: data.name,
    size: null,
    shape: data.shape,
    labelled: data.labelled,
    fingerprint: () => data.fingerprint(),
    batches: (options) => data.batches({ ...options, select: (index) => chosen.has(index) }),
  };
}

async function validation(data: Dataset): Promise<Samples[]> {
  const half = Math.floor(data.size! / 2);
  const wanted = Math.min(Number(flags.samples), half);
  const select = (index: number) =>
    index % 2 === 0 &&
    Math.floor(((index / 2 + 1) * wanted) / half) > Math.floor(((index / 2) * wanted) / half);
  const batches: Samples[] = [];
  for await (const { x, labels, count } of data.batches({ size: BATCH, select }))
    batches.push({ x: x.slice(), labels: labels!.slice(), count });
  return batches;
}

const kernels = await createKernels();

function outputsOf(graph: Graph, samples: readonly Samples[], shape: readonly number[], q?: Quantization) {
  const executor = compile(graph, kernels, q ? { quantization: q } : {});
  const [input, output] = [graph.inputs[0].name, graph.outputs[0].name];
  const outputs = samples.map(({ x, count }) => {
    const feeds = new Map([[input, { dtype: 'float32' as const, shape: [count, ...shape], data: x }]]);
    return executor.run(feeds, [output]).get(output)!.data as Float32Array;
  });
  executor.dispose();
  return outputs;
}

function logSoftmax(x: Float32Array): Float64Array {
  const largest = Math.max(...x);
  const total = Math.log(x.reduce((sum, value) => sum + Math.exp(value - largest), 0));
  return Float64Array.from(x, (value) => value - largest - total);
}

function scoreOf(
  samples: readonly Samples[],
  float: readonly Float32Array[],
  got: readonly Float32Array[],
): Score {
  let [divergence, signal, noise, right, seen] = [0, 0, 0, 0, 0];
  for (const [batch, { labels, count }] of samples.entries()) {
    const classes = float[batch].length / count;
    for (let i = 0; i < count; i++, seen++) {
      const [a, b] = [float, got].map((own) => own[batch].subarray(i * classes, (i + 1) * classes));
      const [p, q] = [a, b].map(logSoftmax);
      for (let j = 0; j < classes; j++) {
        divergence += Math.exp(p[j]) * (p[j] - q[j]);
        signal += a[j] ** 2;
        noise += (a[j] - b[j]) ** 2;
      }
      if (b.indexOf(Math.max(...b)) === labels[i]) right++;
    }
  }
  return { divergence: divergence / seen, sqnr: 10 * Math.log10(signal / noise), right };
}

async function quantizationOf(
  graph: Graph,
  layers: readonly Layer[],
  calibration: Calibration,
  widths: string,
): Promise<Quantization> {
  const [weights, activationBits] = widths.split('/').map(Number);
  const activations = new Map(
    [...calibration.values].map(([name, statistics]) => {
      const bits = graph.inputs.some((input) => input.name === name) ? 8 : activationBits;
      return [name, chooseQuantizer(statistics, bits, 'mse')];
    }),
  );
  const inputScales = new Map(
    layers.map((layer) => [layer.name, activations.get(quantizerOf(graph, layer.input))!.scale]),
  );
  const recovery = createRecovery('gptq', { layers, calibration, inputScales, kernels });
  const made = new Map<string, QuantizedLayer>();
  for (const [i, { name }] of layers.entries())
    made.set(name, await recovery.quantize(name, i === 0 || i === layers.length - 1 ? 8 : weights));
  return { activations, layers: made };
}

async function measure(pair: Pair): Promise<Row[]> {
  const { graph } = importGraph(readFileSync(pair.model));
  const last = toChannelsLast(graph);
  const { preprocessing } = pair;
  const calibrationSet = await openDataset(pair.calibration, { preprocessing });
  const evaluationSet = await openDataset(pair.evaluate, { preprocessing, labels: true });
  const samples = await validation(evaluationSet);
  const count = samples.reduce((sum, batch) => sum + batch.count, 0);
  const float = outputsOf(last, samples, evaluationSet.shape);
  const unchanged = scoreOf(samples, float, float);
  const draws = Number(flags.draws);
  const scores = new Map<string, Score[]>();
  for (let draw = 0; draw < draws; draw++) {
    const data = drawn(calibrationSet, draw);
    const values = equalizedValues(graph);
    const options = { samples: Number(flags.calibrate), batch: BATCH };
    const statistics = await channelStatistics(withOrigins(graph), values, kernels, data, options);
    for (const piece of flags.pieces.split(',')) {
      const own = PIECES[piece];
      const changed = own ? toChannelsLast((await equalize(graph, statistics, own)).graph) : last;
      const layers = layersOf(changed);
      const gathering = { ...options, gram: true, patches: 64 };
      const calibration = await calibrate(changed, layers, kernels, data, gathering);
      for (const widths of flags.widths.split(',')) {
        const quantization = await quantizationOf(changed, layers, calibration, widths);
        const got = outputsOf(changed, samples, evaluationSet.shape, quantization);
        const key = `${widths} ${piece}`;
        scores.set(key, [...(scores.get(key) ?? []), scoreOf(samples, float, got)]);
      }
    }
  }
  return flags.widths.split(',').flatMap((widths) =>
    flags.pieces.split(',').map((piece): Row => {
      const own = scores.get(`${widths} ${piece}`)!;
      const mean = (of: (score: Score) => number) => own.reduce((sum, score) => sum + of(score), 0) / draws;
      const right = mean((score) => score.right);
      return {
        ...{ network: pair.name, widths, piece, right },
        divergence: mean((score) => score.divergence),
        sqnr: mean((score) => score.sqnr),
        drop: (100 * (unchanged.right - right)) / count,
      };
    }),
  );
}

const columns: Column<Row>[] = [
  { title: 'network', text: (row) => row.network },
  { title: 'weights/activations', text: (row) => row.widths },
  { title: 'piece', text: (row) => row.piece },
  { title: 'KL', right: true, text: (row) => row.divergence.toFixed(4) },
  { title: 'SQNR', right: true, text: (row) => row.sqnr.toFixed(2) },
  { title: 'drop', right: true, text: (row) => row.drop.toFixed(2) },
];
console.error(`${kernels.backend} ${kernels.isa}, ${kernels.threads} threads`);
const rows: Row[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) rows.push(...(await measure(pair)));
console.log(markdownTable(rows, columns));
kernels.dispose();
