import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { packed } from './packed.ts';
import { loadPairs } from './pairs.ts';
import { markdownTable, median, writeResults } from './results.ts';

/**
 * What Electron asks of a runtime that it embeds: many worker threads, an event loop that goes on, an addon of Node-API
 * 8 without external buffers, Node's mode, a quick import.
 * `npm --prefix benchmarks run electron -- --json`
 */
const RUNTIME = new URL('../dist/runtime/index.js', import.meta.url);
const ADDON = fileURLToPath(new URL('../build/Release/sigmaquant.node', import.meta.url));
const WORKERS = 20;
/** Milliseconds. */
const DELAY_LIMIT = 5;
const IMPORT_LIMIT = 25;

interface Row {
  check: string;
  value: string;
  limit: string;
  passed: boolean | null;
}

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string', default: '^mobilenetv2$' },
    runs: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const [pair] = loadPairs(flags.pairs, flags.only);
const { sqnt, graph } = packed(pair.model, 'mixed');
const [{ name, shape }] = graph.inputs;
const image = new Float32Array(
  shape.reduce<number>((n, size) => n * (typeof size === 'string' ? 1 : size), 1),
).fill(0.25);
const { Session } = (await import(RUNTIME.href)) as typeof import('../lib/runtime/index.ts');
const rows: Row[] = [];
const add = (check: string, value: string, limit: string, passed: boolean | null) =>
  rows.push({ check, value, limit, passed });

/** Each loads the file, runs it at once and later, and posts its outputs. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.runtime).then(async ({ Session }) => {
    const session = await Session.load(workerData.sqnt, { threads: 1 });
    const inputs = { [workerData.name]: workerData.image };
    const outputs = [session.runSync(inputs), await session.run(inputs)];
    session.dispose();
    parentPort.postMessage(outputs.map((output) => Object.values(output)[0].data));
  });`;

async function workers(): Promise<void> {
  const start = performance.now();
  const results = await Promise.all(
    Array.from({ length: WORKERS }, () => {
      const worker = new Worker(WORKER, {
        eval: true,
        workerData: { runtime: RUNTIME.href, sqnt, name, image },
      });
      return new Promise<Float32Array[]>((resolve, reject) => {
        worker.on('message', resolve).on('error', reject);
      });
    }),
  );
  const first = Buffer.from(results[0][0].buffer);
  const same = results.flat().every(({ buffer }) => Buffer.from(buffer).equals(first));
  const seconds = (performance.now() - start) / 1000;
  add(
    `${WORKERS} worker threads at once load and run`,
    `${seconds.toFixed(1)} s, ${same ? 'the same' : 'other'} outputs`,
    'the same outputs',
    same,
  );
}

/** How late the loop is over a timer of a millisecond: 99 of 100 turns, and the worst. */
async function lateness(during: () => Promise<unknown>): Promise<{ most: number; worst: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await during();
  histogram.disable();
  // The histogram counts the time between ticks, of which a millisecond is the timer's own.
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - 1);
  return { most: late(histogram.percentile(99)), worst: late(histogram.max) };
}

/** Milliseconds that this thread has had a processor; null where the system does not tell. */
function mainThread(): number | null {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return null;
  }
}

async function eventLoop(): Promise<void> {
  const idle = await lateness(() => delay(1000));
  const text = ({ most, worst }: typeof idle) => `${most.toFixed(2)} ms, worst ${worst.toFixed(2)} ms`;
  add('event loop behind its timer, idle: 99 of 100 turns', text(idle), '', null);
  for (const backend of ['native', 'wasm'] as const) {
    const session = await Session.load(sqnt, { backend, threads: 1 });
    const first = await lateness(() => session.run({ [name]: image }));
    add(`${backend}: during the first asynchronous run, which plans`, text(first), '', null);
    const outputs = Object.fromEntries(
      session.outputs.map((port) => [
        port.name,
        (session.runSync({ [name]: image })[port.name].data as Float32Array).slice(),
      ]),
    );
    const before = mainThread();
    const late = await lateness(async () => {
      for (let i = 0; i < Number(flags.runs); i++) await session.run({ [name]: image }, { into: outputs });
    });
    add(
      `${backend}: during ${flags.runs} asynchronous runs`,
      text(late),
      `${DELAY_LIMIT} ms`,
      late.most < DELAY_LIMIT,
    );
    if (before !== null) {
      const busy = (mainThread()! - before) / Number(flags.runs);
      add(
        `${backend}: processor time of the main thread per asynchronous run`,
        `${busy.toFixed(2)} ms`,
        `${DELAY_LIMIT} ms`,
        busy < DELAY_LIMIT,
      );
    }
    session.dispose();
  }
}

function child(script: string, env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    input: '',
  }).trim();
}

function asNode(path: string): void {
  const said = child(
    `const { Session } = await import(${JSON.stringify(RUNTIME.href)});
     const session = await Session.load(${JSON.stringify(path)}, { threads: 1 });
     const inputs = { [${JSON.stringify(name)}]: new Float32Array(${image.length}).fill(0.25) };
     const [now, later] = [session.runSync(inputs), await session.run(inputs)];
     const bytes = (outputs) => Buffer.from(Object.values(outputs)[0].data.buffer);
     console.log(bytes(now).equals(bytes(later)), session.backend, session.isa);`,
    { ELECTRON_RUN_AS_NODE: '1' },
  );
  add('ELECTRON_RUN_AS_NODE=1: loads, runs at once and later', said, 'true', said.startsWith('true'));
}

/** Everything newer than Node-API 8 is named node_api_ something. */
function symbols(): void {
  if (!existsSync(ADDON) || process.platform !== 'linux') return;
  const used = execFileSync('nm', ['-D', '--undefined-only', ADDON], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/).at(-1) ?? '')
    .filter((symbol) => /^(napi|node_api)_/.test(symbol));
  const newer = used.filter((symbol) => symbol.startsWith('node_api_'));
  const external = used.filter((symbol) => symbol.includes('external_'));
  add('Node-API symbols, newer than 8', `${used.length}, ${newer.length}`, '0 newer', newer.length === 0);
  add('external buffers', String(external.length), '0', external.length === 0);
}

function importTime(): void {
  const script = `
    const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
    const [wall, used] = [performance.now(), cpu()];
    await import(${JSON.stringify(RUNTIME.href)});
    console.log(JSON.stringify([performance.now() - wall, cpu() - used]));`;
  const times = Array.from({ length: 21 }, () => JSON.parse(child(script)) as [number, number]);
  const [wall, used] = [0, 1].map((i) => median(times.map((time) => time[i])));
  add(
    'import of sigmaquant/runtime, of the clock and of the processor',
    `${wall.toFixed(1)} ms, ${used.toFixed(1)} ms`,
    `${IMPORT_LIMIT} ms`,
    used < IMPORT_LIMIT,
  );
}

await workers();
await eventLoop();
const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-electron-'));
try {
  const path = join(folder, 'model.sqnt');
  writeFileSync(path, sqnt);
  asNode(path);
} finally {
  rmSync(folder, { recursive: true });
}
symbols();
importTime();
const body = [
  `${pair.name}; ${loadavg()[0].toFixed(1)} processes wanted a core at the end.`,
  markdownTable(rows, [
    { title: 'check', text: (row) => row.check },
    { title: 'found', text: (row) => row.value },
    { title: 'limit', text: (row) => row.limit },
    { title: 'passed', text: (row) => (row.passed === null ? '' : row.passed ? 'yes' : 'no') },
  ]),
].join('\n\n');
if (flags.write)
  writeResults(
    'In Electron',
    `npm --prefix benchmarks run electron -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify({ load: loadavg()[0], rows }, null, 2) : body);
process.exitCode = rows.every(({ passed }) => passed !== false) ? 0 : 1;
