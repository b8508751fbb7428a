import type { Dataset } from '../data/dataset.ts';
import type { Evaluator } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import type { Graph, Layer, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import type { LayerProfile, RunningOptions } from './analysis.ts';
import { feedBatches, repeatedRun } from './feeds.ts';
import { OutputDivergence, outputKinds } from './outputs.ts';
import { pause } from './pace.ts';
import { weightProfile } from './weight-profile.ts';

/** Bytes of cached activations at most, unless told otherwise. */
const CACHE_CEILING = 2 ** 30;
/** Multiply-adds of one run, so that it ends within the 200 ms that an abort may take. */
const WORK_PER_RUN = 1.5e9;

/** What the profile knows after some batches: enough to go on with the next one, to the same numbers. */
export interface ProfileState {
  batches: number;
  samples: number;
  /** By layer, width and output: sums of divergence and of weight. */
  sums: Float64Array;
}

/** Where a profile begins, and who is told after every batch. */
export interface ProfileCheckpoint {
  /** Null for the beginning. */
  from: ProfileState | null;
  save(state: ProfileState): Promise<void>;
}

export interface ProfileOptions extends RunningOptions {
  /** Widths to measure. */
  widths: readonly number[];
  /** Samples at most. */
  samples: number;
  /** Samples per batch at most; fewer where their activations pass the ceiling or one run would take too long. */
  batch: number;
  /** Bytes of cached activations at most. */
  cacheBytes?: number;
  checkpoint?: ProfileCheckpoint;
}

/** Integers of a layer at a width, as a recovery makes them. */
export type QuantizeLayer = (layer: string, bits: number, signal?: AbortSignal) => Promise<QuantizedLayer>;

/**
 * The profile of every layer, output divergences included: each layer alone is replaced by its integers (float
 * activations), and only what comes after it runs, from the activations of the float network's own run. Batches
 * outside, layers inside, so that the cache is that of one batch.
 */
export async function profile(
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  data: Dataset,
  quantize: QuantizeLayer,
  options: ProfileOptions,
): Promise<LayerProfile[]> {
  const { widths, signal, checkpoint } = options;
  const kinds = outputKinds(graph);
  const sums = layers.map(() => new Map(widths.map((bits) => [bits, new OutputDivergence(kinds)])));
  const cuts = layers.map((layer) => liveBefore(graph, layer));
  const outputs = graph.outputs.map(({ name }) => name);
  const fetches = [...new Set([...cuts.flat(), ...outputs])].filter(
    (name) => !graph.inputs.some((input) => input.name === name),
  );
  const executor = (options.compile ?? compile)(graph, kernels);
  try {
    const batch = await batchSize(executor, layers, data, fetches, options);
    const tallies = sums.flatMap((byWidth) => [...byWidth.values()]);
    const begun = resumed(tallies, checkpoint?.from ?? null);
    let [batches, samples] = [0, 0];
    let done = begun.samples;
    const run = repeatedRun(executor, fetches);
    for await (const fed of feedBatches(graph, data, { ...options, batch })) {
      samples += fed.count;
      if (++batches <= begun.batches) continue;
      const cached = new Map<string, Tensor>([...fed.feeds, ...run(fed)]);
      for (const [i, layer] of layers.entries()) {
        const prefix = new Map(cuts[i].map((name) => [name, cached.get(name)!]));
        for (const bits of widths) {
          const made = await quantize(layer.name, bits, signal);
          await pause(signal);
          replace(executor, layer, made);
          sums[i].get(bits)!.add(cached, executor.run(prefix, outputs));
        }
        executor.replaceWeights(layer.name, null);
        done += fed.count / layers.length;
        options.onProgress?.('profile', done, Math.min(options.samples, data.size ?? options.samples));
      }
      const state = Float64Array.from(tallies.flatMap((tally) => tally.sums));
      await checkpoint?.save({ batches, samples, sums: state });
    }
  } finally {
    executor.dispose();
  }
  const facts = await weightProfile(graph, layers, kernels, widths, { signal });
  return facts.map((layerFacts, i) => ({
    ...layerFacts,
    outputDivergence: Object.fromEntries(widths.map((bits) => [bits, sums[i].get(bits)!.mean])),
  }));
}

/** Gives the tallies what they had, and says how much of the work that was. */
function resumed(
  tallies: readonly OutputDivergence[],
  from: ProfileState | null,
): Pick<ProfileState, 'batches' | 'samples'> {
  if (from === null) return { batches: 0, samples: 0 };
  const each = from.sums.length / tallies.length;
  for (const [i, tally] of tallies.entries()) tally.restore(from.sums.subarray(i * each, (i + 1) * each));
  return from;
}

/** Gives a layer of the float network the weights that its integers stand for. */
function replace(executor: Evaluator, layer: Layer, made: QuantizedLayer): void {
  const bias = layer.bias === null && made.bias.every((value) => value === 0) ? null : made.bias;
  executor.replaceWeights(layer.name, dequantizeWeights(made.q, made.scales), bias);
}

/** Values that exist before the layer runs and are read by it or after it: what its suffix must be fed. */
export function liveBefore(graph: Graph, layer: Layer): string[] {
  const at = graph.nodes.findIndex(({ name }) => name === layer.name);
  const existing = new Set(graph.inputs.map(({ name }) => name));
  for (const node of graph.nodes.slice(0, at)) for (const output of node.outputs) existing.add(output);
  const read = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes.slice(at)) for (const input of node.inputs) read.add(input);
  return [...existing].filter((name) => name !== '' && read.has(name));
}

/** Samples per batch: as asked for, while caches stay below the ceiling and runs short. */
async function batchSize(
  executor: Evaluator,
  layers: readonly Layer[],
  data: Dataset,
  fetches: readonly string[],
  options: ProfileOptions,
): Promise<number> {
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  let batch = Math.min(options.batch, Math.max(1, Math.floor(WORK_PER_RUN / macs)));
  for await (const { feeds } of feedBatches(executor.graph, data, { samples: 1, batch: 1 })) {
    let bytes = 0;
    for (const { data: values } of [...feeds.values(), ...executor.run(feeds, fetches).values()])
      bytes += (values as Float32Array).byteLength;
    const ceiling = options.cacheBytes ?? CACHE_CEILING;
    batch = Math.max(1, Math.min(batch, Math.floor(ceiling / bytes)));
  }
  return batch;
}
