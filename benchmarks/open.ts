import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createKernels } from '../lib/kernels/index.ts';
import { packed } from './packed.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable, median, numberColumn, writeResults } from './results.ts';

/**
 * From opening a file to its first result, each time in a fresh process on one core and one thread: milliseconds of the
 * clock and of the processor, and how far the process's memory rose at most from before the runtime was imported, over
 * some more runs. Ours on native and WASM, onnxruntime-node with the same integers and with the float network.
 * `npm --prefix benchmarks run open -- --json`
 */
const CHILD = fileURLToPath(new URL('open-child.mjs', import.meta.url));
/** What `mobilenetv2` may take from opening to its first result, and any network to be imported for. */
const OPEN_LIMIT = 40;
const IMPORT_LIMIT = 25;
/** Runs per process: memory that later runs need is counted too. */
const RUNS = 5;

interface Times {
  wall: number;
  cpu: number;
}

interface Measured {
  import: Times;
  load: Times;
  first: Times;
  open: Times;
  peakBytes: number;
  plannedBytes: number | null;
}

interface Row {
  network: string;
  allocation: string;
  runtime: string;
  fileBytes: number;
  /** Milliseconds, medians: the import alone, and from then to the first result. */
  importMs: number;
  importCpuMs: number;
  openMs: number;
  openCpuMs: number;
  /** Of the fastest process. */
  fastestOpenMs: number;
  fastestOpenCpuMs: number;
  /** Above that of the empty process, median. */
  peakBytes: number;
  /** Arena of intermediate values. */
  plannedBytes: number | null;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string', default: 'mobilenetv2' },
    allocation: { type: 'string', default: 'uniform 8,mixed' },
    rounds: { type: 'string', default: '11' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

/** One fresh process, on one core where that can be asked for. */
function measured(...values: string[]): Measured {
  const command = [process.execPath, CHILD, ...values, String(RUNS)];
  if (process.platform === 'linux') command.unshift('taskset', '-c', '0');
  return JSON.parse(execFileSync(command[0], command.slice(1), { encoding: 'utf8' }));
}

function rowsOf(pair: Pair, allocation: string, folder: string): Row[] {
  const { sqnt, onnx, graph } = packed(pair.model, allocation, kernels);
  const [{ name, shape }] = graph.inputs;
  const dims = shape.map((size) => (typeof size === 'string' ? 1 : size)).join('x');
  const [ours, theirs] = ['sqnt', 'onnx'].map((ending) => join(folder, `model.${ending}`));
  writeFileSync(ours, sqnt);
  writeFileSync(theirs, onnx);
  const contestants: [string, string, string, number][] = [
    ['sigmaquant', ours, 'native', sqnt.length],
    ['sigmaquant', ours, 'wasm', sqnt.length],
    ['onnxruntime', theirs, 'integers', onnx.length],
    ['onnxruntime', pair.model, 'float', statSync(pair.model).size],
  ];
  const all: Measured[][] = contestants.map(() => []);
  for (let round = 0; round < Number(flags.rounds); round++)
    contestants.forEach(([runtime, path, backend], i) => {
      all[i].push(measured(runtime, path, backend, name, dims));
    });
  return contestants.map(([runtime, , backend, fileBytes], i) => {
    const of = (value: (one: Measured) => number) => all[i].map(value);
    return {
      network: pair.name,
      allocation,
      runtime: `${runtime}, ${backend}`,
      fileBytes,
      importMs: median(of((one) => one.import.wall)),
      importCpuMs: median(of((one) => one.import.cpu)),
      openMs: median(of((one) => one.open.wall)),
      openCpuMs: median(of((one) => one.open.cpu)),
      fastestOpenMs: Math.min(...of((one) => one.open.wall)),
      fastestOpenCpuMs: Math.min(...of((one) => one.open.cpu)),
      peakBytes: median(of((one) => one.peakBytes)),
      plannedBytes: all[i][0].plannedBytes,
    };
  });
}

const kernels = await createKernels({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-open-'));
const rows: Row[] = [];
try {
  for (const pair of loadPairs(flags.pairs, flags.only))
    for (const allocation of flags.allocation.split(',')) rows.push(...rowsOf(pair, allocation, folder));
} finally {
  rmSync(folder, { recursive: true });
}
kernels.dispose();

const native = rows.filter(({ runtime }) => runtime === 'sigmaquant, native');
const passed =
  native.every(({ importCpuMs }) => importCpuMs < IMPORT_LIMIT) &&
  native.every(({ network, openCpuMs }) => network !== 'mobilenetv2' || openCpuMs < OPEN_LIMIT);
const megabytes = (title: string, value: (row: Row) => number | null): Column<Row> => ({
  title,
  right: true,
  text: (row) => {
    const bytes = value(row);
    return bytes === null ? '' : (bytes / 1e6).toFixed(1);
  },
});
const body = [
  `Medians of ${flags.rounds} fresh processes on one core, turn by turn; ${loadavg()[0].toFixed(1)} processes wanted a core at the end. Milliseconds of the clock / of the processor.`,
  markdownTable(rows, [
    { title: 'network', text: (row) => row.network },
    { title: 'allocation', text: (row) => row.allocation },
    { title: 'runtime', text: (row) => row.runtime },
    {
      title: 'import, ms',
      right: true,
      text: (row) => `${row.importMs.toFixed(1)} / ${row.importCpuMs.toFixed(1)}`,
    },
    {
      title: 'open to first result, ms',
      right: true,
      text: (row) => `${row.openMs.toFixed(1)} / ${row.openCpuMs.toFixed(1)}`,
    },
    numberColumn('fastest, processor ms', 1, (row) => row.fastestOpenCpuMs),
    megabytes('peak memory, MB', (row) => row.peakBytes),
    megabytes('planned arena, MB', (row) => row.plannedBytes),
  ]),
].join('\n\n');
if (flags.write)
  writeResults('Opening', `npm --prefix benchmarks run open -- ${process.argv.slice(2).join(' ')}`, body);
console.log(flags.json ? JSON.stringify({ load: loadavg()[0], passed, rows }, null, 2) : body);
process.exitCode = passed ? 0 : 1;
