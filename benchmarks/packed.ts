import { readFileSync } from 'node:fs';
import { ortModel } from '../lib/export/ort.ts';
import { packedModel } from '../lib/export/sqnt.ts';
import { type Graph, importGraph, type Layer, layers, toChannelsLast } from '../lib/graph/index.ts';
import type { Kernels } from '../lib/kernels/index.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { writeModel } from '../lib/onnx/index.ts';
import { weightBytes } from '../lib/quant/packing.ts';
import type { Quantization } from '../lib/quant/quantizer.ts';
import { writeSqnt } from '../lib/sqnt/index.ts';
import { ORIGIN, plainQuantization, randomImage } from '../test/sqnt/models.ts';

/** Widths of layers by their position; `mixed` has every width from 2 to 8. */
export const ALLOCATIONS: Readonly<Record<string, (layer: number) => number>> = {
  'uniform 8': () => 8,
  'uniform 4': () => 4,
  mixed: (layer) => 2 + ((layer * 3) % 7),
};

export interface Packed {
  /** Channels-last. */
  graph: Graph;
  layers: readonly Layer[];
  quantization: Quantization;
  sqnt: Uint8Array;
  /** The same integers for onnxruntime. */
  onnx: Uint8Array;
  weightBytes: number;
}

/** A network at the widths of an allocation, its integers rounded to the nearest: what it costs, not how good it is. */
export function packed(path: string, allocation: string, kernels: Kernels = createReference()): Packed {
  const { graph: onnx } = importGraph(readFileSync(path));
  const graph = toChannelsLast(onnx);
  const quantization = plainQuantization(graph, kernels, randomImage(graph), ALLOCATIONS[allocation]);
  const all = layers(graph);
  return {
    graph,
    layers: all,
    quantization,
    sqnt: writeSqnt(packedModel(graph, quantization, ORIGIN)),
    onnx: writeModel(ortModel(onnx, quantization, { opset: 21, metadata: new Map() })),
    weightBytes: all.reduce(
      (sum, { name, weights, outChannels }) =>
        sum + weightBytes(weights.length, outChannels, quantization.layers.get(name)!.bits),
      0,
    ),
  };
}
