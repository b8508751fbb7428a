import type { Evaluator } from '../engine/engine.ts';
import type { Graph, Layer, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import { OutputDivergence, type OutputKind } from './outputs.ts';

/** What each output of the network is, by name. */
export type Kinds = ReadonlyMap<string, OutputKind>;

/** One change to the float network, what must be fed to see it, and what it did to the outputs. */
export interface Experiment {
  cut: readonly string[];
  /** The layer whose weights it replaces; whoever runs it restores them. */
  replaces: string | null;
  /** Makes the change; returns what to feed. */
  apply(
    executor: Evaluator,
    cached: ReadonlyMap<string, Tensor>,
    signal?: AbortSignal,
  ): Promise<Map<string, Tensor>>;
  divergence: OutputDivergence;
}

/** Integers of a layer at a width, as a recovery makes them. */
export type QuantizeLayer = (layer: string, bits: number, signal?: AbortSignal) => Promise<QuantizedLayer>;

/** A value that layers read, and how it may be quantized. */
export interface InputChoice {
  value: string;
  layers: readonly string[];
  quantizers: ReadonlyMap<number, Quantizer>;
}

/** The layer's weights alone as integers. */
export function weightsAt(
  graph: Graph,
  layer: Layer,
  bits: number,
  quantize: QuantizeLayer,
  kinds: Kinds,
): Experiment {
  const cut = liveBefore(graph, layer);
  return {
    cut,
    apply: async (executor, cached, signal) => {
      const made = await quantize(layer.name, bits, signal);
      const bias = layer.bias === null && made.bias.every((value) => value === 0) ? null : made.bias;
      executor.replaceWeights(layer.name, dequantizeWeights(made.q, made.scales), bias);
      return prefix(cut, cached);
    },
    replaces: layer.name,
    divergence: new OutputDivergence(kinds),
  };
}

/** The value alone as its quantizer keeps it. */
export function inputAt(
  graph: Graph,
  { value }: InputChoice,
  { scale, zeroPoint, low, high }: Quantizer,
  kernels: Kernels,
  kinds: Kinds,
): Experiment {
  const cut = liveAt(
    graph,
    graph.nodes.findIndex(({ inputs }) => inputs.includes(value)),
  );
  return {
    cut,
    apply: async (_, cached) => {
      const feeds = prefix(cut, cached);
      const { shape, data } = feeds.get(value)!;
      const q = new Uint8Array(data.length);
      const kept = new Float32Array(data.length);
      kernels.quantize(data as Float32Array, scale, zeroPoint, low, high, q);
      kernels.dequantize(q, scale, zeroPoint, kept);
      return feeds.set(value, { dtype: 'float32', shape, data: kept });
    },
    replaces: null,
    divergence: new OutputDivergence(kinds),
  };
}

export function prefix(cut: readonly string[], cached: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map(cut.map((name) => [name, cached.get(name)!]));
}

/** Values that exist before the layer runs and are read by it or after it: what its suffix must be fed. */
export function liveBefore(graph: Graph, layer: Layer): string[] {
  return liveAt(
    graph,
    graph.nodes.findIndex(({ name }) => name === layer.name),
  );
}

function liveAt(graph: Graph, at: number): string[] {
  const existing = new Set(graph.inputs.map(({ name }) => name));
  for (const node of graph.nodes.slice(0, at)) for (const output of node.outputs) existing.add(output);
  const read = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes.slice(at)) for (const input of node.inputs) read.add(input);
  return [...existing].filter((name) => name !== '' && read.has(name));
}
