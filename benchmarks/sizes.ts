import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createKernels } from '../lib/kernels/index.ts';
import { ALLOCATIONS, packed } from './packed.ts';
import { loadPairs } from './pairs.ts';
import { markdownTable, numberColumn, writeResults } from './results.ts';

/**
 * Sizes of packed files beside the weights in them and beside the same network as ONNX: in float, and with the same
 * integers for onnxruntime.
 * `npm --prefix benchmarks run sizes -- --json`
 */

/** What a packed file may take beside its weights, scales and biases. */
const SHARE = 0.03;
const LEAST_BYTES = 4000;

interface Row {
  network: string;
  allocation: string;
  /** Integers, scales and biases, as every size here is counted. */
  weightBytes: number;
  sqntBytes: number;
  /** Of the file beside its weights, and how much there may be. */
  overhead: number;
  allowed: number;
  onnxBytes: number;
  floatOnnxBytes: number;
  passed: boolean;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const kernels = await createKernels({ threads: 1 });
const rows: Row[] = [];
for (const { name, model } of loadPairs(flags.pairs, flags.only))
  for (const allocation of Object.keys(ALLOCATIONS)) {
    const { weightBytes, sqnt, onnx } = packed(model, allocation, kernels);
    const overhead = sqnt.length - weightBytes;
    const allowed = Math.max(SHARE * weightBytes, LEAST_BYTES);
    rows.push({
      network: name,
      allocation,
      weightBytes,
      sqntBytes: sqnt.length,
      overhead,
      allowed,
      onnxBytes: onnx.length,
      floatOnnxBytes: statSync(model).size,
      passed: overhead <= allowed,
    });
  }
kernels.dispose();

const kilobytes = (title: string, value: (row: Row) => number) =>
  numberColumn<Row>(title, 1, (row) => value(row) / 1000);
const body = markdownTable(rows, [
  { title: 'network', text: (row) => row.network },
  { title: 'allocation', text: (row) => row.allocation },
  kilobytes('weights, kB', (row) => row.weightBytes),
  kilobytes('.sqnt, kB', (row) => row.sqntBytes),
  kilobytes('beside weights, kB', (row) => row.overhead),
  kilobytes('allowed, kB', (row) => row.allowed),
  kilobytes('integers as ONNX, kB', (row) => row.onnxBytes),
  kilobytes('float ONNX, kB', (row) => row.floatOnnxBytes),
  { title: 'passed', text: (row) => (row.passed ? 'yes' : 'no') },
]);
if (flags.write)
  writeResults(
    'Packed files',
    `npm --prefix benchmarks run sizes -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
process.exitCode = rows.every(({ passed }) => passed) ? 0 : 1;
