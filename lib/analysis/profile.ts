import type { Dataset } from '../data/dataset.ts';
import type { Evaluator } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import type { Graph, Layer, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { LayerProfile, RunningOptions } from './analysis.ts';
import { curvatureLosses, perturbed } from './curvature.ts';
import { type Experiment, type InputChoice, inputAt, type QuantizeLayer, weightsAt } from './experiments.ts';
import { feedBatches, repeatedRun } from './feeds.ts';
import { type OutputDivergence, outputKinds } from './outputs.ts';
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
  /** By experiment and output: sums of divergence and of weight. */
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
  /** Inputs of layers to measure: each value once, with its quantizers by width. */
  inputs?: readonly InputChoice[];
  /** Random directions in which the curvature at each layer is measured; default none. */
  probes?: number;
  /** Of those directions; default 0. */
  seed?: number;
  /** Samples at most. */
  samples: number;
  /** Samples per batch at most; fewer where their activations pass the ceiling or one run would take too long. */
  batch: number;
  /** Bytes of cached activations at most. */
  cacheBytes?: number;
  checkpoint?: ProfileCheckpoint;
}

/**
 * The profile of every layer, with what outputs tell: each layer alone is replaced by its integers (float activations),
 * or its input alone by what its quantizer keeps of it, and only what comes after it runs, from the activations of the
 * float network's own run. Batches outside, layers inside, so that the cache is that of one batch.
 */
export async function profile(
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  data: Dataset,
  quantize: QuantizeLayer,
  options: ProfileOptions,
): Promise<LayerProfile[]> {
  const { widths, inputs = [], probes = 0, seed = 0, signal } = options;
  const kinds = outputKinds(graph);
  const measured = layers.map((layer) => ({
    weights: new Map(widths.map((bits) => [bits, weightsAt(graph, layer, bits, quantize, kinds)])),
    curvature: Array.from({ length: probes }, (_, probe) => perturbed(graph, layer, seed + probe, kinds)),
  }));
  const fed = inputs.map((input) => ({
    input,
    at: new Map(
      [...input.quantizers].map(([bits, quantizer]) => [
        bits,
        inputAt(graph, input, quantizer, kernels, kinds),
      ]),
    ),
  }));
  const experiments: Experiment[] = [
    ...measured.flatMap(({ weights, curvature }) => [...weights.values(), ...curvature]),
    ...fed.flatMap(({ at }) => [...at.values()]),
  ];
  await runAll(graph, layers, kernels, data, experiments, options);
  const facts = await weightProfile(graph, layers, kernels, widths, { signal });
  const profiles: LayerProfile[] = [];
  for (const [i, layer] of layers.entries()) {
    const { weights, curvature } = measured[i];
    const input = fed.find(({ input: { layers: readers } }) => readers.includes(layer.name));
    profiles.push({
      ...facts[i],
      outputDivergence: means(weights),
      inputDivergence: input ? means(input.at) : null,
      curvatureLoss:
        probes > 0 ? await curvatureLosses(layer, widths, curvature, quantize, kernels, signal) : null,
    });
  }
  return profiles;
}

function means(experiments: ReadonlyMap<number, Experiment>): Record<number, number> {
  return Object.fromEntries([...experiments].map(([bits, { divergence }]) => [bits, divergence.mean]));
}

async function runAll(
  graph: Graph,
  layers: readonly Layer[],
  kernels: Kernels,
  data: Dataset,
  experiments: readonly Experiment[],
  options: ProfileOptions,
): Promise<void> {
  const { signal, checkpoint } = options;
  const outputs = graph.outputs.map(({ name }) => name);
  const cuts = new Set([...experiments.flatMap(({ cut }) => cut), ...outputs]);
  const fetches = [...cuts].filter((name) => !graph.inputs.some((input) => input.name === name));
  const executor = (options.compile ?? compile)(graph, kernels);
  try {
    const batch = await batchSize(executor, layers, data, fetches, options);
    const tallies = experiments.map(({ divergence }) => divergence);
    const begun = resumed(tallies, checkpoint?.from ?? null);
    let [batches, samples] = [0, 0];
    let done = begun.samples;
    const run = repeatedRun(executor, fetches);
    for await (const fed of feedBatches(graph, data, { ...options, batch })) {
      samples += fed.count;
      if (++batches <= begun.batches) continue;
      const cached = new Map<string, Tensor>([...fed.feeds, ...run(fed)]);
      let replaced: string | null = null;
      for (const experiment of experiments) {
        if (replaced !== null && replaced !== experiment.replaces) executor.replaceWeights(replaced, null);
        replaced = experiment.replaces;
        const feeds = await experiment.apply(executor, cached, signal);
        await pause(signal);
        experiment.divergence.add(cached, executor.run(feeds, outputs));
        done += fed.count / experiments.length;
        options.onProgress?.('profile', done, Math.min(options.samples, data.size ?? options.samples));
      }
      if (replaced !== null) executor.replaceWeights(replaced, null);
      const state = Float64Array.from(tallies.flatMap((tally) => tally.sums));
      await checkpoint?.save({ batches, samples, sums: state });
    }
  } finally {
    executor.dispose();
  }
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
