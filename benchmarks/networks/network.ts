import { readFileSync } from 'node:fs';
import { calibrate } from '../../lib/analysis/index.ts';
import { openDataset } from '../../lib/data/index.ts';
import { compile } from '../../lib/engine/index.ts';
import { packedModel } from '../../lib/export/sqnt.ts';
import type { Graph, Layer } from '../../lib/graph/graph.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../../lib/graph/index.ts';
import { createKernels, type Kernels } from '../../lib/kernels/index.ts';
import { sha256 } from '../../lib/pipeline/model.ts';
import { chooseRanges, createQuantizers } from '../../lib/pipeline/quantization.ts';
import { toolVersion } from '../../lib/pipeline/version.ts';
import type { Quantization, QuantizedLayer } from '../../lib/quant/quantizer.ts';
import type { RangeStatistics } from '../../lib/quant/ranges.ts';
import { createRecovery } from '../../lib/recovery/index.ts';
import { writeSqnt } from '../../lib/sqnt/index.ts';
import type { Pair } from '../pairs.ts';

/** mixed.json: pair -> the widths that our search found for it. */
export type MixedAllocations = Record<
  string,
  { strategy: string; averageBits: number; widths: Record<string, number> }
>;

/** Samples that activation ranges are chosen from; times do not depend on how well. */
const CALIBRATION_SAMPLES = 64;
const CALIBRATION_BATCH = 16;

/** A network of the test bed, calibrated once; any allocation is made from it. */
export interface Network {
  readonly pair: Pair;
  /** As imported, and as our engine runs it. */
  readonly onnx: Graph;
  readonly graph: Graph;
  readonly layers: readonly Layer[];
  /** Per quantized value; for network outputs their range. */
  readonly statistics: ReadonlyMap<string, RangeStatistics>;
  /** Every layer rounded to nearest at the widths of an allocation, activations at 8 bits or at `activationBits`. */
  quantization(
    allocation: string | ReadonlyMap<string, number>,
    activationBits?: number,
  ): Promise<Quantization>;
  dispose(): void;
}

/** Calibrates on the pair's own data with our kernels. */
export async function openNetwork(pair: Pair): Promise<Network> {
  const { graph: onnx } = importGraph(readFileSync(pair.model));
  const graph = toChannelsLast(onnx);
  const layers = layersOf(graph);
  const kernels = await createKernels();
  const data = await openDataset(pair.calibration, { preprocessing: pair.preprocessing });
  const calibration = await calibrate(graph, layers, kernels, data, {
    samples: CALIBRATION_SAMPLES,
    batch: CALIBRATION_BATCH,
    gram: false,
    patches: 1,
  });
  const outputs = await outputRanges(graph, await firstSamples(pair, CALIBRATION_BATCH), kernels);
  return {
    pair,
    onnx,
    graph,
    layers,
    statistics: new Map<string, RangeStatistics>([...calibration.values, ...outputs]),
    async quantization(allocation, activationBits = 8) {
      const widths = typeof allocation === 'string' ? widthsOf(pair.name, allocation, layers) : allocation;
      const quantizers = createQuantizers(
        graph,
        layers,
        chooseRanges(graph, calibration, 'mse', [activationBits]),
      );
      const activations = quantizers.at(
        new Map(
          layers.map(({ name }) => [name, { weights: widths.get(name)!, activations: activationBits }]),
        ),
      );
      const inputScales = new Map(
        layers.map(({ name }) => [name, activations.get(quantizers.owners.get(name)!)!.scale]),
      );
      const recovery = createRecovery('none', { layers, calibration, inputScales, kernels });
      const made = new Map<string, QuantizedLayer>();
      for (const { name } of layers) made.set(name, await recovery.quantize(name, widths.get(name)!));
      return { activations, layers: made };
    },
    dispose: () => kernels.dispose(),
  };
}

/** `mixed`, or one width for all layers. */
function widthsOf(network: string, allocation: string, layers: readonly Layer[]): Map<string, number> {
  if (allocation !== 'mixed') return new Map(layers.map(({ name }) => [name, Number(allocation)]));
  const path = new URL('../mixed.json', import.meta.url);
  const all: MixedAllocations = JSON.parse(readFileSync(path, 'utf8'));
  const widths = new Map(Object.entries(all[network]?.widths ?? {}));
  for (const { name } of layers)
    if (!widths.has(name))
      throw new Error(
        `Expected a width of layer ${name} of ${network} in mixed.json: npm run mixed makes it.`,
      );
  return widths;
}

/** Samples as a network takes them, [count][channels][height][width]. */
export interface Batch {
  x: Float32Array;
  shape: readonly number[];
}

/** The first samples of the pair's calibration data. */
export async function firstSamples(pair: Pair, count: number): Promise<Batch> {
  const data = await openDataset(pair.calibration, { preprocessing: pair.preprocessing });
  for await (const batch of data.batches({ size: count })) {
    if (batch.count === count) return { x: batch.x, shape: [count, ...data.shape] };
  }
  throw new Error(`Expected ${count} samples in ${data.name} but it has ${data.size}.`);
}

/** Samples of a data set, batch by batch, from the beginning each time. */
export type Batches = () => AsyncIterable<Batch>;

/** The first `count` samples that the pair is judged on. */
export async function evaluationBatches(pair: Pair, count: number, size: number): Promise<Batches> {
  const data = await openDataset(pair.evaluate, { preprocessing: pair.preprocessing });
  return async function* batches() {
    for await (const batch of data.batches({ size, select: (index) => index < count }))
      yield { x: batch.x, shape: [batch.count, ...data.shape] };
  };
}

/** Least and largest of each output over a batch. */
async function outputRanges(
  graph: Graph,
  { x, shape }: Batch,
  kernels: Kernels,
): Promise<[string, RangeStatistics][]> {
  const executor = compile(graph, kernels);
  const feeds = new Map([[graph.inputs[0].name, { dtype: 'float32', shape, data: x } as const]]);
  const fetches = graph.outputs.map(({ name }) => name);
  const ranges = [...executor.run(feeds, fetches)].map(([name, { data }]): [string, RangeStatistics] => {
    const values = data as Float32Array;
    const [min, max] = [Math.min(...values), Math.max(...values)];
    return [name, { min, max, low: min, high: max, counts: Float64Array.of(values.length) }];
  });
  executor.dispose();
  return ranges;
}

/** The packed file that a session loads. */
export function sqntBytes({ pair, graph }: Network, quantization: Quantization): Uint8Array {
  const source = { name: pair.name, sha256: sha256(readFileSync(pair.model)) };
  const provenance = { tool: 'sigmaquant', version: toolVersion(), source };
  return writeSqnt(packedModel(graph, quantization, { preprocessing: pair.preprocessing, provenance }));
}
