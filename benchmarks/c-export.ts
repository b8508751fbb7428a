import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Graph } from '../lib/graph/graph.ts';
import { layers } from '../lib/graph/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { quantize } from '../lib/pipeline/quantize.ts';
import { weightBytes } from '../lib/quant/packing.ts';
import type { Quantization } from '../lib/quant/quantizer.ts';
import { unpackedModel } from '../lib/runtime/unpack.ts';
import { readSqnt } from '../lib/sqnt/index.ts';
import { Comparison } from '../test/c/comparison.ts';
import { missingTool, TARGETS, type Target } from '../test/c/targets.ts';
import { evaluationBatches } from './networks/network.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable, writeResults } from './results.ts';

/**
 * Networks of microcontrollers, quantized by our own search and exported as C: equal to the bit to the engine on every
 * target, and what they take there. Targets whose tools are missing are named and left out.
 * `npm --prefix benchmarks run c-export`
 */
const COMPARED: readonly Target[] = [
  TARGETS.gcc,
  TARGETS.arm64,
  TARGETS.cortexM4,
  TARGETS.cortexM4Soft,
  TARGETS.clang,
];
const MEASURED = TARGETS.cortexM4;

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string', default: '^(dscnn-kws|resnet8|mobilenetv1)' },
    samples: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const samples = Number(flags.samples);
if (!(Number.isInteger(samples) && samples > 0))
  throw new Error(`Expected a whole number from 1 for samples but received ${flags.samples}.`);

interface Row {
  network: string;
  averageBits: number;
  /** Bytes: weights, biases and scales as a packed file counts them; the C's arrays of numbers; all else in flash. */
  packed: number;
  constants: number;
  code: number;
  flash: number;
  arena: number;
  /** Data that is no constant. */
  statics: number;
  /** Of one run, millions, and the network's multiply-adds. */
  instructions: number;
  macs: number;
  /** What the caller holds beside the arena. */
  buffers: number;
  /** Per target, samples whose outputs agreed; null where it was not run. */
  equal: (number | null)[];
}

const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1);
const columns: Column<Row>[] = [
  { title: 'network', text: ({ network }) => network },
  { title: 'average bits', right: true, text: ({ averageBits }) => averageBits.toFixed(2) },
  { title: 'packed weights, kB', right: true, text: ({ packed }) => kilobytes(packed) },
  { title: 'constants, kB', right: true, text: ({ constants }) => kilobytes(constants) },
  { title: 'code and geometry, kB', right: true, text: ({ code }) => kilobytes(code) },
  { title: 'flash, kB', right: true, text: ({ flash }) => kilobytes(flash) },
  {
    title: 'flash to packed',
    right: true,
    text: ({ flash, packed }) => (flash / packed).toFixed(3),
  },
  { title: 'arena, kB', right: true, text: ({ arena }) => kilobytes(arena) },
  { title: 'input and output, kB', right: true, text: ({ buffers }) => kilobytes(buffers) },
  { title: 'other RAM, B', right: true, text: ({ statics }) => String(statics) },
  { title: 'MACs, M', right: true, text: ({ macs }) => macs.toFixed(1) },
  { title: 'instructions, M', right: true, text: ({ instructions }) => instructions.toFixed(1) },
  ...COMPARED.map(({ name }, i) => ({
    title: `equal: ${name}`,
    right: true,
    text: ({ equal }: Row) => (equal[i] === null ? 'not run' : `${equal[i]} of ${samples}`),
  })),
];

/** Widths from 2 to 8 for weights and 4, 6 and 8 for activations, 4 bits on average. */
async function quantized(pair: Pair): Promise<{ graph: Graph; quantization: Quantization }> {
  const out = mkdtempSync(join(tmpdir(), 'sigmaquant-c-'));
  try {
    await quantize({
      model: pair.model,
      calibration: pair.calibration,
      evaluate: pair.evaluate,
      preprocessing: pair.preprocessing,
      targets: ['bits=4'],
      bits: [2, 3, 4, 5, 6, 7, 8],
      activationBits: [4, 6, 8],
      samples: 64,
      recovery: 'none',
      out,
      force: true,
    });
    return unpackedModel(readSqnt(readFileSync(join(out, 'model.sqnt'))));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

async function inputs(pair: Pair): Promise<Float32Array> {
  for await (const { x } of (await evaluationBatches(pair, samples, samples))()) if (x.length > 0) return x;
  throw new Error(`Expected samples in ${pair.evaluate} but it has none.`);
}

async function measure(pair: Pair, kernels: Kernels): Promise<Row> {
  const { graph, quantization } = await quantized(pair);
  const one = { name: pair.name, graph, quantization, inputs: [await inputs(pair)] };
  const comparison = new Comparison([one], kernels, samples);
  try {
    const equal = COMPARED.map((target) => {
      const missing = missingTool(target);
      if (missing) {
        process.stderr.write(`${pair.name}: not run on ${target.name}, ${missing} is not installed\n`);
        return null;
      }
      const outputs = comparison.check(target) / 4;
      process.stderr.write(`${pair.name}: ${outputs} outputs on ${target.name}\n`);
      return samples; // fewer would have thrown
    });
    const [network] = comparison.networks;
    const macro = (name: string) =>
      Number(new RegExp(`#define ${network.prefix.toUpperCase()}_${name} (\\d+)`).exec(network.header)?.[1]);
    const { text, data, bss } = comparison.workshop.sections(MEASURED);
    let [packed, weights, bits, macs] = [0, 0, 0, 0];
    for (const layer of layers(graph)) {
      const width = quantization.layers.get(layer.name)!.bits;
      packed += weightBytes(layer.weights.length, layer.outChannels, width);
      weights += layer.weights.length;
      bits += layer.weights.length * width;
      macs += layer.macs;
    }
    return {
      network: pair.name,
      averageBits: bits / weights,
      packed,
      constants: macro('CONSTANT_BYTES'),
      code: text + data - macro('CONSTANT_BYTES'),
      flash: text + data,
      arena: macro('ARENA_BYTES'),
      statics: data + bss,
      instructions: comparison.instructions(MEASURED) / 1e6,
      macs: macs / 1e6,
      buffers: macro('INPUT_BYTES') + macro('OUTPUT_BYTES'),
      equal,
    };
  } finally {
    comparison.dispose();
  }
}

const kernels = await createKernels();
const rows: Row[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) rows.push(await measure(pair, kernels));
kernels.dispose();
const body = `Samples that each network was judged on, every bit of every output beside the engine's. Flash by \`${MEASURED.size}\` of the network linked with all that it calls (memcpy and float64 sums included), ${MEASURED.name} -Os with its floating-point unit; packed weights are what a .sqnt file holds of weights, scales and biases. Instructions of one run are those of -O2, counted by the emulator.\n\n${markdownTable(rows, columns)}`;
process.stdout.write(flags.json ? `${JSON.stringify(rows, null, 2)}\n` : `${body}\n`);
if (flags.write) writeResults('C export', 'npm --prefix benchmarks run c-export -- --write', body);
