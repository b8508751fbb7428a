import { compile } from '../../lib/engine/index.ts';
import { ortModel } from '../../lib/export/ort.ts';
import type { Graph, Node, Tensor } from '../../lib/graph/graph.ts';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import { type FileModel, writeModel } from '../../lib/onnx/index.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import { openSession, runTapped } from '../onnxruntime.ts';
import type { Batches, Network } from './network.ts';
import { type Optimized, optimizedGraph } from './optimized.ts';

/** One operator on the integers that onnxruntime gave to its own. */
export interface Comparison {
  node: string;
  op: string;
  /** Whether its results are integers; logits are float. */
  integer: boolean;
  results: number;
  differing: number;
  /** Largest difference: in steps of the quantizer, or of the logits; and the largest result. */
  most: number;
  largest: number;
}

/** What float32 sums of a few hundred terms may lose by their order, of the largest result. */
const SUM_ORDER = 2 ** -18;

/** Why results differ. Integers have no reason to. */
export function kindOf({ integer, differing, most, largest }: Omit<Comparison, 'node' | 'op'>): string {
  if (differing === 0) return '';
  return !integer && most <= SUM_ORDER * largest ? 'floats summed in another order' : 'unexplained';
}

export interface LayerByLayer {
  network: string;
  allocation: string;
  samples: number;
  comparisons: Comparison[];
  /** Nodes that our engine runs in float. */
  ourFloatNodes: readonly string[];
  /** Of the exported file as it is, without taps. */
  optimized: Optimized;
  /** Operators of the graph with taps that are others than without. */
  tapped: Record<string, number>;
}

/** The exported file with every quantized value as a further output. */
function tappedModel(model: FileModel, { onnx }: Network): { bytes: Uint8Array; taps: Map<string, string> } {
  const taps = new Map<string, string>();
  const clips = new Map(
    model.nodes.filter(({ op }) => op === 'Clip').map((node) => [node.inputs[0], node.outputs[0]]),
  );
  for (const { op, inputs, outputs } of model.nodes)
    if (op === 'QuantizeLinear') taps.set(inputs[0], clips.get(outputs[0]) ?? outputs[0]);
  const shapeOf = (value: string) =>
    (onnx.types.get(value) ?? onnx.inputs.find(({ name }) => name === value))!.shape;
  const names = new Set(taps.values());
  const outputs = [...taps].map(([value, name]) => ({ name, dtype: 'uint8', shape: shapeOf(value) }));
  const bytes = writeModel({
    ...model,
    outputs: [...model.outputs, ...outputs],
    values: (model.values ?? []).filter(({ name }) => !names.has(name)),
  });
  return { bytes, taps };
}

/**
 * Runs the exported file in onnxruntime, looks at every quantized value, and runs each operator of ours alone on what
 * onnxruntime's had as inputs.
 */
export async function layerByLayer(
  network: Network,
  allocation: string,
  quantization: Quantization,
  kernels: Kernels,
  batches: Batches,
): Promise<LayerByLayer> {
  const { onnx, graph, pair } = network;
  const file = ortModel(onnx, quantization, { opset: 21, metadata: new Map() });
  const optimized = await optimizedGraph(writeModel(file));
  const { bytes, taps } = tappedModel(file, network);
  const tapped = await optimizedGraph(bytes);
  const session = await openSession(bytes, kernels.threads);
  const executor = compile(graph, kernels, { quantization });
  const comparisons = new Map<string, Comparison>();
  const [{ name: input }] = onnx.inputs;
  let samples = 0;
  for await (const { x, shape } of batches()) {
    const theirs = await runTapped(session, x, shape);
    samples += shape[0];
    const known = new Map<string, Tensor>();
    for (const [value, name] of taps)
      known.set(value, value === input ? theirs.get(name)! : channelsLast(theirs.get(name)!));
    for (const { name } of onnx.outputs) known.set(name, theirs.get(name)!);
    const fed = executor.run(new Map([[input, { dtype: 'float32', shape, data: x }]]), [input]);
    count(comparisons, { name: input, op: 'QuantizeLinear' }, fed.get(input)!, known.get(input)!);
    known.set(`${input}/channels_last`, channelsLast(known.get(input)!));
    for (const node of graph.nodes) {
      const [output] = node.outputs;
      const expected = known.get(output);
      if (!expected || node.op === 'Transpose') continue;
      const feeds = feedsOf(graph, node, known);
      count(comparisons, node, executor.run(feeds, [output]).get(output)!, expected);
    }
  }
  const { floatNodes: ourFloatNodes } = executor;
  executor.dispose();
  await session.release();
  return {
    network: pair.name,
    allocation,
    samples,
    comparisons: [...comparisons.values()],
    ourFloatNodes,
    optimized,
    tapped: others(tapped.operators, optimized.operators),
  };
}

/** What onnxruntime gave to the node, or to the nodes in float before it. */
function feedsOf(graph: Graph, node: Node, known: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const value of node.inputs) {
    if (!value || graph.constants.has(value)) continue;
    const tensor = known.get(value);
    if (tensor) feeds.set(value, tensor);
    else {
      const producer = graph.nodes.find(({ outputs }) => outputs.includes(value))!;
      for (const [name, fed] of feedsOf(graph, producer, known)) feeds.set(name, fed);
    }
  }
  return feeds;
}

function count(
  all: Map<string, Comparison>,
  node: Pick<Node, 'name' | 'op'>,
  ours: Tensor,
  theirs: Tensor,
): void {
  const [a, b] = [ours.data as ArrayLike<number>, theirs.data as ArrayLike<number>];
  if (String(ours.shape) !== String(theirs.shape) || ours.dtype !== theirs.dtype)
    throw new Error(
      `Expected ${theirs.dtype} [${theirs.shape}] from node ${node.name} but received ${ours.dtype} [${ours.shape}].`,
    );
  const { name, op } = node;
  const row = all.get(name) ?? {
    node: name,
    op,
    integer: ours.dtype === 'uint8',
    results: 0,
    differing: 0,
    most: 0,
    largest: 0,
  };
  all.set(name, row);
  row.results += a.length;
  for (let i = 0; i < a.length; i++) {
    row.largest = Math.max(row.largest, Math.abs(b[i]));
    if (a[i] === b[i]) continue;
    row.differing++;
    row.most = Math.max(row.most, Math.abs(a[i] - b[i]));
  }
}

/** [N, C, H, W] as [N, H, W, C]; everything else as it is. */
function channelsLast(tensor: Tensor): Tensor {
  const { shape, data } = tensor;
  if (shape.length !== 4) return tensor;
  const [batch, channels, height, width] = shape;
  const [from, area] = [data as Uint8Array, height * width];
  const to = new Uint8Array(from.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < area; i++) to[(n * area + i) * channels + c] = from[(n * channels + c) * area + i];
  return { dtype: 'uint8', shape: [batch, height, width, channels], data: to };
}

/** Counts of `a` less those of `b`, where they differ. */
function others(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>) {
  const ops = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(
    ops.map((op) => [op, (a[op] ?? 0) - (b[op] ?? 0)]).filter(([, difference]) => difference !== 0),
  );
}
