import { parseArgs } from 'node:util';
import { type FormatSource, formats } from '../lib/export/formats.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { evaluationBatches, type Network, openNetwork } from './networks/network.ts';
import { type Flavour, versionOf } from './onnxruntime.ts';
import { loadPairs } from './pairs.ts';
import { type Measured, measure } from './profiles/measure.ts';
import { type Column, markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * Every format of every network in onnxruntime: does it load, does it run what was foretold, does it give our answers,
 * and how large is the file. Widths as our search found them (`mixed`), and 2 to 8 bits layer by layer (`cycled`).
 * `npm --prefix benchmarks run profiles -- --json`
 */
const BATCH = 16;
const WIDTHS = [2, 3, 4, 5, 6, 7, 8];

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    filter: { type: 'string' },
    allocation: { type: 'string', default: 'mixed,cycled' },
    'activation-bits': { type: 'string', default: '8' },
    samples: { type: 'string', default: '64' },
    flavour: { type: 'string', default: 'node' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const flavour = flags.flavour as Flavour;
const samples = Number(flags.samples);

interface Row extends Measured {
  network: string;
  allocation: string;
  activationBits: number;
  /** Of the float model. */
  floatBytes: number;
}

function allocationOf(name: string, { layers }: Network): string | ReadonlyMap<string, number> {
  return name === 'cycled'
    ? new Map(layers.map((layer, i) => [layer.name, WIDTHS[i % WIDTHS.length]]))
    : name;
}

const rows: Row[] = [];
const kernels = await createKernels();
for (const pair of loadPairs(flags.pairs, flags.filter)) {
  const network = await openNetwork(pair);
  const batches = await evaluationBatches(pair, samples, BATCH);
  const floatBytes = network.layers.reduce((sum, { parameters }) => sum + 4 * parameters, 0);
  for (const allocation of flags.allocation.split(','))
    for (const activationBits of flags['activation-bits'].split(',').map(Number)) {
      const quantization = await network.quantization(allocationOf(allocation, network), activationBits);
      const source: FormatSource = { graph: network.onnx, quantization, metadata: new Map() };
      for (const [name, format] of Object.entries(formats)) {
        if (format.kind !== 'onnx') continue;
        const subject = { source, graph: network.graph, kernels, batches, flavour };
        const row = {
          network: pair.name,
          allocation,
          activationBits,
          floatBytes,
          ...(await measure(name, format, subject)),
        };
        rows.push(row);
        process.stderr.write(
          `${row.network}, ${allocation}, ${name}: ${row.agreeing} of ${row.samples} agree, largest difference ${row.largest}\n`,
        );
      }
    }
  network.dispose();
}
kernels.dispose();

const columns: Column<Row>[] = [
  { title: 'network', text: (row) => row.network },
  { title: 'widths', text: (row) => row.allocation },
  { title: 'inputs', right: true, text: (row) => String(row.activationBits) },
  { title: 'format', text: (row) => row.format },
  { title: 'opset, IR', right: true, text: (row) => `${row.opset}, ${row.irVersion}` },
  numberColumn('kB', 1, (row) => row.fileBytes / 1000),
  numberColumn('% of float', 1, (row) => (100 * row.fileBytes) / row.floatBytes),
  { title: 'integer kernels', right: true, text: (row) => `${row.integer} of ${row.layers}` },
  { title: 'foretold', right: true, text: (row) => `${row.foretold} of ${row.layers}` },
  { title: 'same top-1', right: true, text: (row) => `${row.agreeing} of ${row.samples}` },
  { title: 'as our integers', right: true, text: (row) => `${row.agreeingWithIntegers} of ${row.samples}` },
  { title: 'outputs that differ', right: true, text: (row) => `${row.differing} of ${row.outputs}` },
  { title: 'largest difference', right: true, text: (row) => row.largest.toPrecision(2) },
  { title: 'mean', right: true, text: (row) => row.mean.toPrecision(2) },
  { title: 'largest output', right: true, text: (row) => row.magnitude.toPrecision(3) },
];

const sum = (list: readonly Row[], value: (row: Row) => number) =>
  list.reduce((total, row) => total + value(row), 0);
const verdicts = [...new Set(rows.map(({ format }) => format))].map((format) => {
  const own = rows.filter((row) => row.format === format);
  return `- ${format}: ${own.length} files loaded and ran, ${sum(own, (row) => row.foretold)} of ${sum(own, (row) => row.layers)} layers foretold, same top-1 on ${sum(own, (row) => row.agreeing)} of ${sum(own, (row) => row.samples)} samples, ${sum(own, (row) => row.differing)} of ${sum(own, (row) => row.outputs)} outputs differ`;
});
const body = [
  `Files in onnxruntime-${flavour} ${versionOf(flavour)}, beside our engine on the same integers (compact: on the same weights, with float activations). Layers are rounded to nearest. Foretold: layers whose forecast (integer kernel or float, and which operator) is what onnxruntime-node's optimized graph has.`,
  markdownTable(rows, columns),
  verdicts.join('\n'),
].join('\n\n');
if (flags.write)
  writeResults(
    flavour === 'web' ? 'Export formats in onnxruntime-web' : 'Export formats',
    `npm --prefix benchmarks run profiles -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
process.exitCode = rows.every((row) => row.foretold === row.layers) ? 0 : 1;
