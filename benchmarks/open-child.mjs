// One process of open.ts: imports a runtime, opens one file, runs it, and says what that took. No TypeScript, so that
// nothing but the runtime is loaded.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

const [runtime, path, backend, input, shape, runs] = process.argv.slice(2);
const dims = shape.split('x').map(Number);
const image = new Float32Array(dims.reduce((product, size) => product * size, 1)).fill(0.25);
const milliseconds = () => {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now(), cpu: (user + system) / 1000 };
};
/** Most memory that the process had so far, and what it has now. Linux's own maximum survives exec: not asked. */
const status = () => {
  const kilobytes = (key) => Number(new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(text)[1]);
  const text = readFileSync('/proc/self/status', 'utf8');
  return { peak: 1024 * kilobytes('VmHWM'), now: 1024 * kilobytes('VmRSS') };
};
const memory = () =>
  process.platform === 'linux'
    ? status()
    : { peak: process.resourceUsage().maxRSS * 1024, now: process.memoryUsage.rss() };

const before = memory().now;
const start = milliseconds();
let planned = null;
let imported;
let run;
let loaded;
if (runtime === 'sigmaquant') {
  const { Session } = await import('../dist/runtime/index.js');
  imported = milliseconds();
  const session = await Session.load(path, { backend, threads: 1 });
  loaded = milliseconds();
  run = async () => session.runSync({ [input]: image });
  planned = () => session.memory().planned;
} else {
  const { createRequire } = await import('node:module');
  const ort = createRequire(import.meta.url)('onnxruntime-node');
  imported = milliseconds();
  const session = await ort.InferenceSession.create(path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  loaded = milliseconds();
  run = () => session.run({ [input]: new ort.Tensor('float32', image, dims) });
}
await run();
const first = milliseconds();
for (let i = 1; i < Number(runs); i++) await run();
const took = (from, to) => ({ wall: to.wall - from.wall, cpu: to.cpu - from.cpu });
console.log(
  JSON.stringify({
    import: took(start, imported),
    load: took(imported, loaded),
    first: took(loaded, first),
    open: took(imported, first),
    peakBytes: memory().peak - before,
    plannedBytes: planned?.() ?? null,
  }),
);
process.exit();
