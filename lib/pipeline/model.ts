import { createHash } from 'node:crypto';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import { importGraph, layers, toChannelsLast, unsupportedNodes } from '../graph/index.ts';
import { modelName, readBytes } from './files.ts';
import type { CommonOptions } from './options.ts';

/** A model as every command needs it. */
export interface OpenedModel {
  name: string;
  /** Of the file, hex. */
  sha256: string;
  fileBytes: number;
  /** ONNX form: what the exporter reads. */
  graph: Graph;
  /** In execution order. */
  layers: Layer[];
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Reads and imports a model. Throws INVALID_ARGUMENT, MALFORMED_MODEL, UNSUPPORTED_MODEL. */
export async function openModel(options: Pick<CommonOptions, 'model' | 'inputShapes'>): Promise<OpenedModel> {
  const { model, inputShapes } = options;
  const [name, bytes] =
    typeof model === 'string'
      ? [modelName(model), await readBytes(model, 'model')]
      : [modelName(model.name), model.bytes];
  const { graph } = importGraph(bytes, { ...(inputShapes ? { inputShapes } : {}) });
  checkWeightTypes(graph);
  return { name, sha256: sha256(bytes), fileBytes: bytes.length, graph, layers: layers(graph) };
}

/** ONNX has these operators for floats alone, and the importer widens those to float32. */
function checkWeightTypes(graph: Graph): void {
  for (const { name, op, inputs } of graph.nodes) {
    const weights = op === 'Conv' || op === 'Linear' ? graph.constants.get(inputs[1]) : undefined;
    if (weights && weights.dtype !== 'float32')
      throw new SigmaQuantError(
        'MALFORMED_MODEL',
        `Expected float weights for node ${name} but received ${weights.dtype} in tensor ${inputs[1]}.`,
      );
  }
}

/** The channels-last form. Throws UNSUPPORTED_OPERATOR naming every operator that cannot run, with a node. */
export function executable(model: OpenedModel): Graph {
  const unsupported = unsupportedNodes(model.graph);
  if (unsupported.length > 0) {
    const byOp = new Map<string, string[]>();
    for (const { op, name } of unsupported) byOp.set(op, [...(byOp.get(op) ?? []), name]);
    const list = [...byOp].map(
      ([op, names]) => `${op} (node ${names[0]}${names.length > 1 ? ` and ${names.length - 1} more` : ''})`,
    );
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected operators that can be executed but received ${list.join(', ')}.`,
    );
  }
  return toChannelsLast(model.graph);
}

/** Throws UNSUPPORTED_MODEL where nothing could be quantized. */
export function requireLayers(model: string, layers: readonly Layer[]): void {
  if (layers.length === 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected at least one Conv, Gemm or MatMul with constant weights for model ${model} but received none.`,
    );
}
