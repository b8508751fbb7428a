import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { importGraph, toChannelsLast } from '../lib/graph/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { crossEntropy, sgd, type Tape, tapeOf, trainable } from '../lib/training/index.ts';
import { type Column, markdownTable, median, numberColumn, writeResults } from './results.ts';

/**
 * Training steps of ResNet-20 (forward, backward, SGD with momentum and decay, batch normalization by the batch) beside
 * PyTorch's on the same cores, turn by turn in the same run, in both of its memory layouts: the better one counts.
 * `npm --prefix benchmarks run training`
 */
const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: '../../shared/testbed/models/resnet20-cifar10-bn.onnx' },
    python: { type: 'string', default: 'python3' },
    batch: { type: 'string', default: '128' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '11' },
    /** Also the memory of a step and what its operators cost. */
    shares: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const [batch, rounds] = [flags.batch, flags.rounds].map(Number);
/** Steps before those that count: PyTorch chooses its kernels in the first ones. */
const WARM_UP = 2;
const LAYOUTS = ['contiguous', 'channels_last'] as const;
/** Shares of operators are means over so many steps. */
const PROFILED = 3;

interface Row {
  threads: number;
  /** Seconds per step, medians. */
  ours: number;
  contiguous: number;
  channels_last: number;
  /** PyTorch's better time over ours: above 1 we are faster. */
  ratio: number;
}

/** PyTorch in a process of its own: one step for each line that it is sent. */
interface Rival {
  step(): Promise<number>;
  stop(): void;
}

const steps = fileURLToPath(new URL('training/resnet20.py', import.meta.url));

async function rivalOf(threads: number, layout: string): Promise<Rival> {
  const child: ChildProcess = spawn(flags.python, [steps, String(threads), String(batch), layout], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: String(threads) },
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`PyTorch (${layout}) ended early.`);
    return value;
  };
  await line(); // its version: it is ready
  return {
    async step() {
      child.stdin!.write('\n');
      return Number(await line());
    },
    stop: () => child.stdin!.end(),
  };
}

interface Trainer {
  tape: Tape;
  /** By name of the node. */
  operators: ReadonlyMap<string, string>;
  /** Seconds. */
  step(): Promise<number>;
}

const noPause = async () => {};

function trainerOf(path: string, kernels: Kernels): Trainer {
  const graph = toChannelsLast(importGraph(readFileSync(path), { foldBatchNorm: false }).graph);
  const network = trainable(graph);
  const [input, output] = [graph.inputs[0].name, graph.outputs[0].name];
  const { parameters, norms } = network;
  const tape = tapeOf(graph, kernels, batch, { parameters, norms, outputs: [output] });
  const learned = [...parameters.values()];
  const optimizer = sgd(learned.map((parameter) => ({ parameter, rate: 1, decay: 5e-4 })));
  let seed = 1;
  const x = Float32Array.from(tape.input(input), () => {
    seed = Math.imul(seed, 48271) % 2147483647;
    return (2 * seed) / 2147483647;
  });
  const loss = crossEntropy(Int32Array.from({ length: batch }, (_, i) => i % 10));
  return {
    tape,
    operators: new Map(graph.nodes.map(({ name, op }) => [name, op])),
    async step() {
      const start = performance.now();
      tape.input(input).set(x);
      await tape.run('forward', noPause);
      const logits = tape.output(output);
      loss(logits, logits.length / batch, tape.seed(output));
      for (const { gradient } of learned) gradient.fill(0);
      await tape.run('backward', noPause);
      optimizer.step(0.01);
      return (performance.now() - start) / 1000;
    },
  };
}

async function compare(
  path: string,
  threads: number,
): Promise<{ row: Row; kernels: string; details: string }> {
  const kernels = await createKernels({ threads });
  const trainer = trainerOf(path, kernels);
  const rivals = await Promise.all(LAYOUTS.map((layout) => rivalOf(threads, layout)));
  const turns = [trainer, ...rivals];
  const times = turns.map((): number[] => []);
  for (let round = -WARM_UP; round < rounds; round++)
    // Each is the first of a round as often as the others.
    for (let turn = 0; turn < turns.length; turn++) {
      const which = (turn + round + WARM_UP) % turns.length;
      const seconds = await turns[which].step();
      if (round >= 0) times[which].push(seconds);
    }
  for (const rival of rivals) rival.stop();
  const [ours, contiguous, channelsLast] = times.map(median);
  const row = {
    threads,
    ours,
    contiguous,
    channels_last: channelsLast,
    ratio: Math.min(contiguous, channelsLast) / ours,
  };
  const details = flags.shares ? sharesOf(trainer, threads) : '';
  const name = `${kernels.backend} ${kernels.isa}`;
  trainer.tape.dispose();
  kernels.dispose();
  return { row, kernels: name, details };
}

/** What each operator's steps cost, forward and backward. */
function sharesOf({ tape, operators }: Trainer, threads: number): string {
  const costs = new Map<string, number>();
  let total = 0;
  for (let pass = 0; pass < PROFILED; pass++)
    for (const { node, phase, run } of tape.steps) {
      const start = performance.now();
      run();
      const time = performance.now() - start;
      const key = `${operators.get(node) ?? 'input'}, ${phase}`;
      costs.set(key, (costs.get(key) ?? 0) + time);
      total += time;
    }
  const rows = [...costs].sort(([, a], [, b]) => b - a);
  return [
    `${threads} threads: ${(tape.planned / 1e6).toFixed(1)} MB planned, ${(tape.withoutReuse / 1e6).toFixed(1)} MB without reuse.`,
    markdownTable(rows, [
      { title: 'steps', text: ([name]) => name },
      numberColumn('share, %', 1, ([, time]) => (100 * time) / total),
    ]),
  ].join('\n\n');
}

const perSecond = (title: string, of: (row: Row) => number) =>
  numberColumn<Row>(title, 0, (row) => batch / of(row));
const columns: Column<Row>[] = [
  { title: 'threads', right: true, text: ({ threads }) => String(threads) },
  perSecond('ours, images/s', ({ ours }) => ours),
  perSecond('PyTorch, images/s', ({ contiguous }) => contiguous),
  perSecond('PyTorch, channels last, images/s', ({ channels_last }) => channels_last),
  numberColumn('ours / better of PyTorch', 2, ({ ratio }) => ratio),
];

const torch = spawnSync(flags.python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
const model = resolve(fileURLToPath(new URL('.', import.meta.url)), flags.model);
if (torch.status !== 0)
  console.log(`training: skipped, ${flags.python} with torch (Debian: python3-torch) is missing.`);
else if (!existsSync(model)) console.log(`training: skipped, ${model} is missing.`);
else {
  const results = [];
  for (const threads of flags.threads.split(',').map(Number)) results.push(await compare(model, threads));
  const rows = results.map(({ row }) => row);
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
  else {
    const body = [
      `${basename(model, '.onnx')}, batch ${batch}: ${results[0].kernels} beside PyTorch ${torch.stdout.trim()}.`,
      markdownTable(rows, columns),
      `Medians of ${rounds} steps, turn by turn.`,
      ...results.map(({ details }) => details).filter(Boolean),
    ].join('\n\n');
    const command = ['npm --prefix benchmarks run training --', ...process.argv.slice(2)].join(' ');
    if (flags.write) writeResults('Training steps beside PyTorch', command, body);
    console.log(body);
  }
}
