import type { Dimension, Graph } from '../graph/graph.ts';
import { layers as layersOf, unsupportedNodes } from '../graph/index.ts';
import type { Host } from './host.ts';
import { openModel } from './model.ts';
import type { CommonOptions } from './options.ts';

/** A network. */
export interface InspectOptions extends Pick<CommonOptions, 'model' | 'inputShapes' | 'signal'> {}

/** A layer with constant weights. */
export interface InspectedLayer {
  name: string;
  op: 'Conv' | 'Linear';
  /** [outChannels, channels of one group, kernel...] or [outputs, inputs]. */
  weightShape: number[];
  groups: number;
  /** Per sample; open dimensions stay names. */
  outputShape: Dimension[] | null;
  parameters: number;
  macs: number;
  sigma: number;
}

/** The document of `inspect --json`. */
export interface InspectResult {
  model: string;
  sha256: string;
  fileBytes: number;
  opset: number;
  inputs: { name: string; dtype: string; shape: Dimension[] }[];
  outputs: { name: string; dtype: string; shape: Dimension[] }[];
  /** Operators after simplification, most frequent first. */
  operators: { op: string; count: number }[];
  /** Nodes that no backend can run yet. */
  unsupported: { name: string; op: string }[];
  layers: InspectedLayer[];
  /** Of the layers. */
  parameters: number;
  macs: number;
}

/** Reads a model without running it; unknown operators are listed, not refused. */
export async function inspectOn(
  host: Pick<Host, 'readModel'>,
  options: InspectOptions,
): Promise<InspectResult> {
  options.signal?.throwIfAborted();
  const { name, sha256, fileBytes, graph } = await openModel(options, host);
  const layers = layersOf(graph).map((layer) => ({
    name: layer.name,
    op: layer.op,
    weightShape: [...graph.constants.get(layer.node.inputs[1])!.shape],
    groups: layer.groups,
    outputShape: shapeOf(graph, layer.output),
    parameters: layer.parameters,
    macs: layer.macs,
    sigma: deviation(layer.weights),
  }));
  const port = ({ name: port, dtype, shape }: Graph['inputs'][number]) => ({
    name: port,
    dtype,
    shape: [...shape],
  });
  return {
    model: name,
    sha256,
    fileBytes,
    opset: graph.opset,
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    operators: histogram(graph.nodes.map(({ op }) => op)),
    unsupported: unsupportedNodes(graph).map(({ name: node, op }) => ({ name: node, op })),
    layers,
    parameters: layers.reduce((sum, { parameters }) => sum + parameters, 0),
    macs: layers.reduce((sum, { macs }) => sum + macs, 0),
  };
}

function shapeOf(graph: Graph, value: string): Dimension[] | null {
  const type = graph.types.get(value) ?? graph.outputs.find(({ name }) => name === value);
  return type ? [...type.shape] : null;
}

function histogram(ops: readonly string[]): { op: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const op of ops) counts.set(op, (counts.get(op) ?? 0) + 1);
  return [...counts]
    .map(([op, count]) => ({ op, count }))
    .sort((a, b) => b.count - a.count || (a.op < b.op ? -1 : 1));
}

/** Population standard deviation, two passes in float64. */
function deviation(x: Float32Array): number {
  if (x.length === 0) return 0;
  let sum = 0;
  for (const value of x) sum += value;
  const mean = sum / x.length;
  let squares = 0;
  for (const value of x) squares += (value - mean) ** 2;
  return Math.sqrt(squares / x.length);
}
