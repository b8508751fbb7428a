import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile } from '../../lib/engine/index.ts';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import { openSession, preparedRun } from '../onnxruntime.ts';
import { median } from '../results.ts';
import type { Samples } from './contenders.ts';
import type { Network } from './network.ts';

/** What one step or node took: median of the runs, in microseconds. */
export interface StepTime {
  /** Node of our graph; of onnxruntime's where ours has none of that name. */
  node: string;
  op: string;
  microseconds: number;
  /** Of activations that it read and wrote; null where it is not told. */
  bytes: number | null;
}

/** Runs before those that count. */
const WARM_UP = 10;

function medians<T>(runs: readonly (readonly T[])[], time: (step: T) => number): number[] {
  return runs[0].map((_, i) => median(runs.map((steps) => time(steps[i]))));
}

/** Every step of our engine, in order, and a whole run without looks at the clock between them. */
export function ourSteps(
  { graph }: Network,
  quantization: Quantization,
  kernels: Kernels,
  { x, shape }: Samples,
  runs: number,
): { steps: StepTime[]; whole: number; floatNodes: readonly string[] } {
  const executor = compile(graph, kernels, { quantization });
  const feeds = new Map([[graph.inputs[0].name, { dtype: 'float32', shape, data: x } as const]]);
  const fetches = graph.outputs.map(({ name }) => name);
  const profiles = Array.from({ length: WARM_UP + runs }, () =>
    executor.profile(feeds, fetches, () => performance.now()),
  ).slice(WARM_UP);
  const times = medians(profiles, ({ milliseconds }) => milliseconds * 1000);
  const wholes = Array.from({ length: WARM_UP + runs }, () => {
    const start = performance.now();
    executor.run(feeds, fetches);
    return (performance.now() - start) * 1000;
  }).slice(WARM_UP);
  const { floatNodes } = executor;
  executor.dispose();
  const steps = profiles[0].map(({ node, op, bytes }, i) => ({ node, op, bytes, microseconds: times[i] }));
  return { steps, whole: median(wholes), floatNodes };
}

/** An event of onnxruntime's profile: what a node took, in whole microseconds. */
interface Event {
  cat: string;
  name: string;
  dur: number;
  args: { op_name?: string; node_index?: string };
}

/** Its optimizers append a counter to names; the profiler says what was measured. */
const nodeName = (event: string) => event.replace(/_kernel_time$/, '').replace(/(_token_\d+)+$/, '');

/** Every node of a model in onnxruntime-node, by its own profiler, and a whole run without it. */
export async function theirSteps(
  model: Uint8Array,
  threads: number,
  dimension: string,
  samples: Samples,
  runs: number,
): Promise<{ steps: StepTime[]; whole: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-steps-'));
  try {
    const dimensions = { [dimension]: samples.shape[0] };
    const wholes: number[] = [];
    for (const profile of [undefined, join(folder, 'profile')]) {
      const session = await openSession(model, threads, { dimensions, ...(profile && { profile }) });
      const run = preparedRun(session, 'node', samples, samples.output);
      for (let i = 0; i < WARM_UP + runs; i++) {
        const start = performance.now();
        await run();
        if (!profile && i >= WARM_UP) wholes.push((performance.now() - start) * 1000);
      }
      if (profile) session.endProfiling();
      await session.release();
    }
    const [file] = readdirSync(folder);
    const steps = nodeTimes(JSON.parse(readFileSync(join(folder, file), 'utf8')), WARM_UP);
    return { steps, whole: median(wholes) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function nodeTimes(events: readonly Event[], skip: number): StepTime[] {
  const nodes = new Map<string, { node: string; op: string; times: number[] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const known = nodes.get(name);
    if (known) known.times.push(dur);
    else nodes.set(name, { node: nodeName(name), op: args.op_name ?? '', times: [dur] });
  }
  return [...nodes.values()].map(({ node, op, times }) => ({
    node,
    op,
    microseconds: median(times.slice(skip)),
    bytes: null,
  }));
}
