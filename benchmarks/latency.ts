import { parseArgs } from 'node:util';
import { measureDevice } from '../lib/bench/device.ts';
import { computer } from '../lib/cli/bench.ts';
import { compile } from '../lib/engine/index.ts';
import { costedNetwork, type Device, deviceCost } from '../lib/hardware/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { firstSamples, type Network, openNetwork } from './networks/network.ts';
import { loadPairs } from './pairs.ts';
import { type Column, markdownTable, median, writeResults } from './results.ts';

/**
 * How well a device file measured here foretells the time of whole networks: our engine on one sample, at uniform
 * widths and at the widths that our search found. The file is made from networks of one node, never from these.
 * `npm --prefix benchmarks run latency`
 */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: 'string' },
    threads: { type: 'string', default: '1' },
    allocations: { type: 'string', default: '8,4,mixed' },
    passes: { type: 'string', default: '3' },
    runs: { type: 'string', default: '201' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const [threads, passes, runs] = [flags.threads, flags.passes, flags.runs].map(Number);

/** Runs before those that count. */
const WARM_UP = 20;

/** One network at one allocation: how it is run, and what was foretold and measured in each pass. */
interface Subject {
  network: string;
  allocation: string;
  run: () => void;
  predict: (device: Device) => number;
  /** Microseconds. */
  predicted: number[];
  measured: number[];
}

async function subjectOf(network: Network, allocation: string, kernels: Kernels): Promise<Subject> {
  const { graph, layers, pair } = network;
  const quantization = await network.quantization(allocation);
  const executor = compile(graph, kernels, { quantization });
  const { x, shape } = await firstSamples(pair, 1);
  const feeds = new Map([[graph.inputs[0].name, { dtype: 'float32', shape, data: x } as const]]);
  const fetches = graph.outputs.map(({ name }) => name);
  const costed = costedNetwork(graph, layers);
  const widths = new Map(
    [...quantization.layers].map(([name, { bits }]) => [name, { weights: bits, activations: 8 }]),
  );
  return {
    network: pair.name,
    allocation,
    run: () => void executor.run(feeds, fetches),
    predict: (device) => deviceCost(device, costed).cost(widths)['latency'] * 1000,
    predicted: [],
    measured: [],
  };
}

/** Median of the runs, microseconds. */
function timeOf(run: () => void): number {
  const times = Array.from({ length: WARM_UP + runs }, () => {
    const start = performance.now();
    run();
    return (performance.now() - start) * 1000;
  });
  return median(times.slice(WARM_UP));
}

const error = ({ predicted, measured }: Subject) =>
  median(predicted.map((time, i) => time / measured[i] - 1));

const columns: Column<Subject>[] = [
  { title: 'network', text: ({ network }) => network },
  { title: 'weights', text: ({ allocation }) => (allocation === 'mixed' ? 'mixed' : `${allocation} bits`) },
  { title: 'predicted, us', right: true, text: ({ predicted }) => median(predicted).toFixed(1) },
  { title: 'measured, us', right: true, text: ({ measured }) => median(measured).toFixed(1) },
  { title: 'error, %', right: true, text: (subject) => (100 * error(subject)).toFixed(1) },
];

const kernels = await createKernels({ threads });
const networks: Network[] = [];
const subjects: Subject[] = [];
for (const pair of loadPairs(flags.pairs, positionals[0])) {
  const network = await openNetwork(pair);
  networks.push(network);
  for (const allocation of flags.allocations.split(','))
    subjects.push(await subjectOf(network, allocation, kernels));
}
for (let pass = 0; pass < passes; pass++) {
  const device = await measureDevice({
    kernels,
    name: 'this-machine',
    computer: computer(),
    host: { now: () => performance.now(), pause: () => new Promise((resolve) => setImmediate(resolve)) },
  });
  for (const subject of pass % 2 === 0 ? subjects : subjects.toReversed()) {
    subject.predicted.push(subject.predict(device));
    subject.measured.push(timeOf(subject.run));
  }
}
const errors = subjects.map((subject) => Math.abs(error(subject)));
if (flags.json)
  console.log(
    JSON.stringify(
      subjects.map(({ network, allocation, predicted, measured }, i) => ({
        network,
        allocation,
        predicted: median(predicted),
        measured: median(measured),
        error: errors[i],
      })),
      null,
      2,
    ),
  );
else {
  const body = [
    `${kernels.backend} ${kernels.isa}, ${threads} threads, one sample.`,
    markdownTable(subjects, columns),
    `Medians of ${passes} passes, each a device file and ${runs} runs. Absolute error: median ${(100 * median(errors)).toFixed(1)} %, largest ${(100 * Math.max(...errors)).toFixed(1)} %.`,
  ].join('\n\n');
  const command = ['npm --prefix benchmarks run latency --', ...process.argv.slice(2)].join(' ');
  if (flags.write) writeResults('Predicted and measured times of this processor', command, body);
  console.log(body);
}
for (const network of networks) network.dispose();
kernels.dispose();
