import { createHash } from 'node:crypto';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import { importGraph, layers, toChannelsLast, unsupportedNodes } from '../graph/index.ts';
import { type ReadExternal, readModel } from '../onnx/index.ts';
import { externalReader } from './external-data.ts';
import { modelName, readBytes } from './files.ts';
import type { CommonOptions } from './options.ts';

/** A model as every command needs it. */
export interface OpenedModel {
  name: string;
  /** Of the file and, in the model's order, its external data; hex. */
  sha256: string;
  /** External data included. */
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
  const hash = createHash('sha256').update(bytes);
  let fileBytes = bytes.length;
  const read = typeof model === 'string' ? externalReader(model) : undefined;
  const external: ReadExternal | undefined =
    read &&
    ((range, what) => {
      const data = read(range, what);
      hash.update(data);
      fileBytes += data.length;
      return data;
    });
  const proto = readModel(bytes, { external });
  const { graph } = importGraph(proto, { ...(inputShapes ? { inputShapes } : {}) });
  checkWeightTypes(graph);
  return { name, sha256: hash.digest('hex'), fileBytes, graph, layers: layers(graph) };
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
