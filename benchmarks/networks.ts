import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { int8Model } from './int8-model.ts';
import { openOurs, openTheirs, type Samples, type Setting } from './networks/contenders.ts';
import { firstSamples, type Network, openNetwork, sqntBytes } from './networks/network.ts';
import { optimizedGraph } from './networks/optimized.ts';
import { speedup } from './networks/peak.ts';
import { type Row, report, verdict } from './networks/report.ts';
import { versionOf } from './onnxruntime.ts';
import { loadPairs } from './pairs.ts';
import { median, writeResults } from './results.ts';
import { compare } from './rivals/compare.ts';
import type { Contender } from './rivals/contender.ts';

/**
 * Whole networks in our runtime beside onnxruntime's int8 and float, turn by turn in one process.
 * `npm --prefix benchmarks run networks -- --json`
 */
/** Microseconds: the many operators in onnxruntime-web's one module take a while to reach their last compiler. */
const WASM_WARM_UP = 400_000;

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    filter: { type: 'string' },
    backend: { type: 'string', default: 'native,wasm' },
    threads: { type: 'string', default: '1,2' },
    batch: { type: 'string', default: '1,16' },
    allocation: { type: 'string', default: '8,mixed' },
    rounds: { type: 'string', default: '31' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const wholeNumber = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`Expected a whole number from 1 but received ${text}.`);
  return Number(text);
};
const rounds = wholeNumber(flags.rounds);
const batches = flags.batch.split(',').map(wholeNumber);
const allocations = flags.allocation.split(',');
const settings = flags.backend.split(',').flatMap((backend): Setting[] => {
  if (backend !== 'native' && backend !== 'wasm')
    throw new Error(`Expected native or wasm for backend but received ${backend}.`);
  // Both WASM builds are compared on one thread.
  const threads = backend === 'wasm' ? [1] : flags.threads.split(',').map(wholeNumber);
  return threads.map((count) => ({ backend, threads: count }));
});
const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Files of a network: ours by allocation, and the two that onnxruntime runs. */
interface Files {
  network: Network;
  sqnt: Map<string, Uint8Array>;
  rivals: Map<string, Uint8Array>;
  /** Of the int8 rival, in the graph that onnxruntime really runs. */
  floatNodes: number;
}

async function filesOf(network: Network): Promise<Files> {
  const sqnt = new Map<string, Uint8Array>();
  for (const allocation of allocations)
    sqnt.set(allocation, sqntBytes(network, await network.quantization(allocation)));
  const int8 = await int8Model(network);
  const { operators, floatNodes } = await optimizedGraph(int8);
  const list = Object.entries(operators).map(([op, count]) => `${count} ${op}`);
  say(
    `${network.pair.name}: onnxruntime's int8 graph has ${floatNodes.length} float nodes of ${list.join(', ')}`,
  );
  const rivals = new Map([
    ['int8', int8],
    ['float', readFileSync(network.pair.model)],
  ]);
  return { network, sqnt, rivals, floatNodes: floatNodes.length };
}

/** The largest output of each sample. */
function top1(outputs: ArrayLike<number>, batch: number): number[] {
  const classes = outputs.length / batch;
  return Array.from({ length: batch }, (_, sample) => {
    const own = Array.from({ length: classes }, (_unused, i) => outputs[sample * classes + i]);
    return own.indexOf(Math.max(...own));
  });
}

async function rowsOf(files: Files, setting: Setting, batch: number): Promise<Row[]> {
  const { network, sqnt, rivals, floatNodes } = files;
  const { inputs, outputs } = network.onnx;
  const output = outputs[0].shape.map((size) => (typeof size === 'string' ? batch : size));
  const samples: Samples = { ...(await firstSamples(network.pair, batch)), output };
  const dimension = String(inputs[0].shape[0]);
  const ours = [];
  for (const bytes of sqnt.values()) ours.push(await openOurs(bytes, setting, samples));
  const theirs: Contender[] = [];
  for (const [way, bytes] of rivals)
    theirs.push(await openTheirs(way, bytes, setting, { ...samples, dimension }));
  const quiet = setting.threads > 1 ? await speedup(setting.backend, setting.threads) : 1;
  const times = await compare(
    [...ours, ...theirs],
    rounds,
    setting.threads,
    setting.backend === 'wasm' ? WASM_WARM_UP : undefined,
  );
  const milliseconds = times.map((all) => median(all) / 1000);
  const fastest = times.map((all) => Math.min(...all) / 1000);
  const answers = await Promise.all(
    [...ours, ...theirs].map(async (side) => top1(await side.output(), batch)),
  );
  const float = answers[ours.length + theirs.findIndex(({ way }) => way === 'float')];
  const agreeing = answers.map((answer) => answer.filter((one, sample) => one === float[sample]).length);
  const rows: Row[] = [];
  for (const [i, allocation] of allocations.entries())
    for (const [j, { way: rival }] of theirs.entries())
      rows.push({
        network: network.pair.name,
        ...setting,
        isa: ours[i].isa,
        batch,
        allocation,
        oursMs: milliseconds[i],
        rival,
        rivalMs: milliseconds[ours.length + j],
        ratio: milliseconds[ours.length + j] / milliseconds[i],
        fastestRatio: fastest[ours.length + j] / fastest[i],
        rounds: times[i].length,
        speedup: quiet,
        version: versionOf(setting.backend === 'wasm' ? 'web' : 'node'),
        oursAgree: agreeing[i],
        rivalAgrees: agreeing[ours.length + j],
        ourFloatNodes: ours[i].floatNodes.length,
        int8FloatNodes: floatNodes,
      });
  for (const contender of [...ours, ...theirs]) await contender.close();
  return rows;
}

const rows: Row[] = [];
for (const pair of loadPairs(flags.pairs, flags.filter)) {
  const files = await filesOf(await openNetwork(pair));
  for (const setting of settings)
    for (const batch of batches) {
      const made = await rowsOf(files, setting, batch);
      rows.push(...made);
      const ratios = made.map(
        ({ allocation, rival, ratio }) => `${allocation} against ${rival} ${ratio.toFixed(2)}`,
      );
      say(
        `${pair.name}, ${setting.backend}, ${setting.threads} threads, batch ${batch}: ${ratios.join(', ')}`,
      );
    }
  files.network.dispose();
}
const body = report(rows);
if (flags.write)
  writeResults(
    'Whole networks beside onnxruntime',
    `npm --prefix benchmarks run networks -- ${process.argv.slice(2).join(' ')}`,
    body,
  );
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
if (flags.json) say(verdict(rows));
