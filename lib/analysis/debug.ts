import type { Dataset } from '../data/dataset.ts';
import { compile, type Executor, quantizerOf } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { dequantizeWeights, leastScale, roundWeights } from '../quant/weights.ts';
import type { WorkOptions } from './analysis.ts';
import { type BreakKind, breakOf, checkFinite, sqnrOf } from './damage.ts';
import { type FedBatch, feedBatches, repeatedRun } from './feeds.ts';
import { OutputTally } from './output-tally.ts';
import { outputKinds } from './outputs.ts';
import { createPace, pause } from './pace.ts';
import type { Pairing, QuantizedNetwork, ValuePair } from './pairing.ts';
import { layerScales } from './scales.ts';
import { ValueTally, type Versions } from './value-tally.ts';

/** Elements of activations that one batch may hold. */
const BATCH_ELEMENTS = 2 ** 24;
const LARGEST_BATCH = 32;

export interface DamageOptions extends WorkOptions {
  /** Samples at most. */
  samples: number;
}

/** Two values in decibels and nats: what a layer does by itself, and what reaches it besides. */
export interface LayerDamage {
  name: string;
  op: string;
  /** Width of the weights; null without. */
  weightBits: number | null;
  /** Width of the output; null where it stays float. */
  outputBits: number | null;
  /**
   * On the quantized network's own inputs, against the float layer fed with the same: SQNR, what SQNR its widths
   * explain, and KL(float ‖ quantized) of the values' histograms.
   */
  own: { sqnr: number; due: number; divergence: number };
  /** Against the float network on the samples themselves: what has accumulated up to here. */
  endToEnd: { sqnr: number; divergence: number };
  /** [least, most] */
  floatRange: [number, number];
  quantizedRange: [number, number];
  /** Share of the values that lay beyond the output quantizer's range and were moved to its end, 0..1. */
  saturation: number;
  /**
   * Layers of the float network without a partner that lie before this one: what is called its own is theirs too, and
   * only saturation is judged.
   */
  spans: readonly string[];
  /** See BREAK_RULE. */
  breaks: BreakKind | null;
  /** Where it is a single channel that breaks. */
  channel: number | null;
}

/** An output of the quantized network beside the float one's. */
export interface OutputDamage {
  name: string;
  sqnr: number;
  /** Mean KL in nats of each sample's classes; for numbers squared error relative to the float output's power. */
  divergence: number;
  /** Share of the samples with the same class first, 0..1; null where the output is not classes. */
  agreement: number | null;
  floatRange: [number, number];
  quantizedRange: [number, number];
}

export interface Damage {
  samples: number;
  layers: LayerDamage[];
  outputs: OutputDamage[];
}

/**
 * Runs both networks over the same samples, and every float layer once more on what the quantized network feeds it.
 * Samples stream: memory does not grow with their number. Throws DATA_MISMATCH where no sample comes or values are
 * not finite; rejects with signal.reason on an abort.
 */
export async function measureDamage(
  float: Graph,
  quantized: QuantizedNetwork,
  pairing: Pairing,
  kernels: Kernels,
  data: Dataset,
  options: DamageOptions,
): Promise<Damage> {
  const executors: Executor[] = [];
  const compiled = (...args: Parameters<typeof compile>) => {
    const executor = compile(...args);
    executors.push(executor);
    return executor;
  };
  try {
    const networks = {
      float: compiled(float, kernels),
      rounded: compiled(await roundedGraph(float, pairing.pairs, options), kernels),
      quantized: compiled(quantized.graph, kernels, { quantization: quantized.quantization }),
    };
    return await measure(networks, quantized, pairing, kernels, data, options);
  } finally {
    for (const executor of executors) executor.dispose();
  }
}

interface Networks {
  float: Executor;
  /** Float with plainly rounded weights: what the widths alone explain. */
  rounded: Executor;
  quantized: Executor;
}

/** The float network with the weights of every layer rounded to the nearest at its width in the quantized network. */
async function roundedGraph(float: Graph, pairs: readonly ValuePair[], work: WorkOptions): Promise<Graph> {
  const pace = createPace(work.signal);
  const constants = new Map(float.constants);
  let done = 0;
  for (const { layer, weightBits } of pairs) {
    if (layer && weightBits !== null) {
      const floors = new Float32Array(layer.outChannels).fill(leastScale(0, 1));
      const scales = await layerScales(layer, weightBits, null, floors, pace);
      const data = dequantizeWeights(roundWeights(layer.weights, scales, weightBits), scales);
      constants.set(layer.node.inputs[1], { ...float.constants.get(layer.node.inputs[1])!, data });
    }
    work.onProgress?.('round', ++done, pairs.length);
  }
  return { ...float, constants };
}

async function measure(
  networks: Networks,
  network: QuantizedNetwork,
  { pairs, outputs }: Pairing,
  kernels: Kernels,
  data: Dataset,
  options: DamageOptions,
): Promise<Damage> {
  const { graph } = networks.float;
  const namesIn = (side: 'float' | 'quantized') => [
    ...new Set([...pairs, ...outputs].map((pair) => pair[side])),
  ];
  const floatRun = repeatedRun(networks.float, namesIn('float'));
  const quantizedRun = repeatedRun(networks.quantized, namesIn('quantized'));
  const kinds = outputKinds(graph);
  const tallies: ValueTally[] = [];
  const outputTallies = outputs.map(({ float }) => new OutputTally(float, kinds.get(float)!, kernels));
  let samples = 0;
  for await (const fed of feedBatches(graph, data, {
    ...options,
    batch: batchSize([graph, network.graph], pairs),
  })) {
    const reference = floatRun(fed);
    const produced = dequantized(quantizedRun(fed), network, kernels);
    for (const [i, pair] of pairs.entries()) {
      const quantized = produced.get(pair.quantized)!;
      tallies[i] ??= new ValueTally(kernels, pair.layer ? quantized.shape.at(-1)! : 1, pair.quantizer);
      tallies[i].add({
        float: floats(pair.float, reference.get(pair.float)!),
        quantized: floats(pair.quantized, quantized),
        ...alone(networks, pair, fed, produced),
      });
      await pause(options.signal);
    }
    for (const [i, { float, quantized }] of outputs.entries())
      outputTallies[i].add(reference.get(float)!, produced.get(quantized)!);
    samples += fed.count;
    options.onProgress?.('debug', samples, Math.min(options.samples, data.size ?? options.samples));
  }
  if (samples === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample in ${data.name} but received none.`,
    );
  return {
    samples,
    layers: pairs.map((pair, i) => layerDamage(pair, tallies[i])),
    outputs: outputTallies.map((tally) => tally.result()),
  };
}

/** What the float layer makes of what the quantized network feeds it, with its own weights and with rounded ones. */
function alone(
  { float, rounded }: Networks,
  { name, float: value, sources, layer, weightBits }: ValuePair,
  { feeds }: FedBatch,
  produced: ReadonlyMap<string, Tensor>,
): Pick<Versions, 'own' | 'rounded'> {
  if (sources.length === 0) return { own: floats(name, feeds.get(value)!), rounded: null };
  const given = new Map(
    sources.map((source) => [source.float, produced.get(source.quantized) ?? feeds.get(source.quantized)!]),
  );
  const run = (executor: Executor) => floats(value, executor.run(given, [value]).get(value)!);
  return { own: run(float), rounded: layer && weightBits !== null ? run(rounded) : null };
}

/** Every value as the floats that its readers take it for. */
function dequantized(
  produced: ReadonlyMap<string, Tensor>,
  { graph, quantization: { activations } }: QuantizedNetwork,
  kernels: Kernels,
): Map<string, Tensor> {
  return new Map(
    [...produced].map(([name, tensor]) => {
      if (tensor.dtype !== 'uint8') return [name, tensor];
      const { scale, zeroPoint } = activations.get(quantizerOf(graph, name))!;
      const data = new Float32Array(tensor.data.length);
      kernels.dequantize(tensor.data as Uint8Array, scale, zeroPoint, data);
      return [name, { dtype: 'float32', shape: tensor.shape, data }];
    }),
  );
}

/** Samples per batch: as many as fit, one where a network takes no more. */
function batchSize(graphs: readonly Graph[], pairs: readonly ValuePair[]): number {
  if (graphs.some(({ inputs }) => typeof inputs[0]?.shape[0] === 'number')) return 1;
  const elements = pairs.reduce(
    (sum, { float }) =>
      sum +
      (graphs[0].types.get(float)?.shape ?? []).reduce<number>(
        (product, size) => product * (typeof size === 'number' ? size : 1),
        1,
      ),
    1,
  );
  return Math.max(1, Math.min(LARGEST_BATCH, Math.floor(BATCH_ELEMENTS / elements)));
}

function floats(name: string, { dtype, data }: Tensor): Float32Array {
  if (dtype !== 'float32')
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected float values for "${name}" but received ${dtype}.`,
    );
  return data as Float32Array;
}

function layerDamage(
  { name, op, weightBits, quantizer, layer, float, spans }: ValuePair,
  tally: ValueTally,
): LayerDamage {
  const [floatRange, quantizedRange] = [[...tally.floatRange], [...tally.quantizedRange]] as [
    [number, number],
    [number, number],
  ];
  const { endToEnd } = tally;
  checkFinite(float, floatRange, quantizedRange);
  const { whole, saturation, channels } = tally.noise();
  const divergences = tally.divergences();
  const broken = breakOf(
    spans.length > 0 ? null : whole,
    saturation,
    layer && spans.length === 0 ? channels : [],
  );
  return {
    name,
    op,
    weightBits,
    outputBits: quantizer?.bits ?? null,
    own: {
      sqnr: sqnrOf(whole.signal, whole.noise),
      due: sqnrOf(whole.signal, whole.due),
      divergence: divergences.own,
    },
    endToEnd: { sqnr: sqnrOf(endToEnd.signal, endToEnd.noise), divergence: divergences.endToEnd },
    floatRange,
    quantizedRange,
    saturation: tally.count > 0 ? tally.saturated.count / tally.count : 0,
    spans,
    breaks: broken?.by ?? null,
    channel: broken?.channel ?? null,
  };
}
