import { parseArgs } from 'node:util';
import { createKernels } from '../lib/kernels/index.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { type Comparison, kindOf, type LayerByLayer, layerByLayer } from './networks/layer-by-layer.ts';
import { evaluationBatches, openNetwork } from './networks/network.ts';
import { type Sameness, type Side, sameIntegers } from './networks/same-integers.ts';
import { loadPairs } from './pairs.ts';
import { type Column, markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * Are the integers behind every output quantizer the same on every backend and instruction set, and what does
 * onnxruntime make of the exported file, operator by operator on its own inputs?
 * `npm --prefix benchmarks run equality -- --json`
 */
const BATCH = 8;

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    filter: { type: 'string' },
    allocation: { type: 'string', default: 'mixed' },
    'activation-bits': { type: 'string', default: '8' },
    samples: { type: 'string', default: '200' },
    reference: { type: 'string', default: '2' },
    isas: { type: 'string' },
    wasm: { type: 'boolean', default: true },
    onnxruntime: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
const [samples, reference, activationBits] = [flags.samples, flags.reference, flags['activation-bits']].map(
  Number,
);

/** Instruction sets of this processor, best first, then WASM and the reference. */
function sides(): Side[] {
  const isas = nativeIsas().filter((isa) => !flags.isas || flags.isas.split(',').includes(isa));
  return [
    ...isas.map((isa): Side => ({ options: { backend: 'native', isa }, samples })),
    ...(flags.wasm ? [{ options: { backend: 'wasm' }, samples } as const] : []),
    ...(reference > 0 ? [{ options: { backend: 'reference' }, samples: reference } as const] : []),
  ];
}

const sameness: Sameness[] = [];
const layers: LayerByLayer[] = [];
for (const pair of loadPairs(flags.pairs, flags.filter)) {
  const network = await openNetwork(pair);
  const quantization = await network.quantization(flags.allocation, activationBits);
  const batches = await evaluationBatches(pair, samples, BATCH);
  sameness.push(...(await sameIntegers(network, flags.allocation, quantization, sides(), batches)));
  for (const { backend, isa, differing, integers } of sameness.filter((row) => row.network === pair.name))
    process.stderr.write(`${pair.name}, ${backend} ${isa}: ${differing} of ${integers} differ\n`);
  if (flags.onnxruntime) {
    const kernels = await createKernels();
    layers.push(await layerByLayer(network, flags.allocation, quantization, kernels, batches));
    kernels.dispose();
    const { comparisons } = layers.at(-1)!;
    const differing = comparisons.reduce((sum, row) => sum + row.differing, 0);
    process.stderr.write(`${pair.name}, onnxruntime: ${differing} differ\n`);
  }
  network.dispose();
}

const samenessColumns: Column<Sameness>[] = [
  { title: 'network', text: (row) => row.network },
  { title: 'ours', text: ({ backend, isa }) => `${backend} ${isa}` },
  { title: 'against', text: (row) => row.against },
  numberColumn('samples', 0, (row) => row.samples),
  numberColumn('quantized values', 0, (row) => row.values),
  numberColumn('integers', 0, (row) => row.integers),
  numberColumn('differing', 0, (row) => row.differing),
  numberColumn('outputs', 0, (row) => row.outputs),
  numberColumn('differing', 0, (row) => row.differingOutputs),
];

/** All nodes of one operator in one network. */
interface OperatorRow extends Comparison {
  network: string;
  samples: number;
  nodes: number;
  differingNodes: string[];
}

function operatorRows({ network, samples: count, comparisons }: LayerByLayer): OperatorRow[] {
  const rows = new Map<string, OperatorRow>();
  for (const one of comparisons) {
    const key = `${one.op} ${one.integer}`;
    const row = rows.get(key) ?? {
      ...one,
      network,
      samples: count,
      nodes: 0,
      results: 0,
      differing: 0,
      most: 0,
      largest: 0,
      differingNodes: [],
    };
    rows.set(key, row);
    row.nodes++;
    row.results += one.results;
    row.differing += one.differing;
    row.most = Math.max(row.most, one.most);
    row.largest = Math.max(row.largest, one.largest);
    if (one.differing > 0) row.differingNodes.push(one.node);
  }
  return [...rows.values()];
}

const operatorColumns: Column<OperatorRow>[] = [
  { title: 'network', text: (row) => row.network },
  numberColumn('samples', 0, (row) => row.samples),
  { title: 'operator', text: ({ op, integer }) => (integer ? op : `${op}, float logits`) },
  numberColumn('nodes', 0, (row) => row.nodes),
  numberColumn('results', 0, (row) => row.results),
  numberColumn('differing', 0, (row) => row.differing),
  {
    title: 'by at most',
    right: true,
    text: ({ most }) => (most === 0 ? '' : String(Number(most.toPrecision(2)))),
  },
  { title: 'why', text: kindOf },
  { title: 'nodes that differ', text: ({ differingNodes }) => differingNodes.join(', ') },
];
const islandColumns: Column<LayerByLayer>[] = [
  { title: 'network', text: (row) => row.network },
  {
    title: 'float nodes of our engine',
    text: ({ ourFloatNodes }) => ourFloatNodes.join(', ') || 'none',
  },
  {
    title: 'float nodes in the graph that onnxruntime runs',
    text: ({ optimized }) => optimized.floatNodes.map(({ name, op }) => `${op} ${name}`).join(', ') || 'none',
  },
  {
    title: 'all its operators',
    text: ({ optimized }) =>
      Object.entries(optimized.operators)
        .map(([op, count]) => `${count} ${op}`)
        .join(', '),
  },
  {
    title: 'other operators with taps',
    text: ({ tapped }) =>
      Object.entries(tapped)
        .map(([op, count]) => `${count > 0 ? '+' : ''}${count} ${op}`)
        .join(', '),
  },
];
const body = [
  markdownTable(sameness, samenessColumns),
  ...(layers.length > 0
    ? [markdownTable(layers.flatMap(operatorRows), operatorColumns), markdownTable(layers, islandColumns)]
    : []),
].join('\n\n');
if (flags.write)
  writeResults(
    'The same integers everywhere',
    `npm --prefix benchmarks run equality -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify({ sameness, layers }, null, 2) : body);
const differs = sameness.some((row) => row.differing > 0 || row.differingOutputs > 0);
const unexplained = layers.some(({ comparisons }) =>
  comparisons.some((one) => kindOf(one) === 'unexplained'),
);
process.exitCode = differs || unexplained ? 1 : 0;
