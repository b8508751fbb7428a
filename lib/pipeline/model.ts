import { createHash } from 'node:crypto';
import type { CompileEvaluator } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer, ValueType } from '../graph/graph.ts';
import { importGraph, layers, toChannelsLast, unsupportedNodes } from '../graph/index.ts';
import { encodeModel, type ModelProto, type ReadExternal, readModel } from '../onnx/index.ts';
import { Onnxruntime, onnxruntimeNetwork, valueTypes } from '../onnxruntime/index.ts';
import { externalReader } from './external-data.ts';
import { modelName, readBytes } from './files.ts';
import type { CommonOptions, RunOptions } from './options.ts';
import type { ExecutorResult } from './result.ts';
import { toolVersion } from './version.ts';

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
  return imported(await sourceOf(options.model), options.inputShapes);
}

/** A model file, read: with the tensors that lay in files beside it. */
export interface Source {
  name: string;
  sha256: string;
  fileBytes: number;
  proto: ModelProto;
  /** The model in one piece. */
  bytes: Uint8Array;
}

/** Reads a model file. Throws INVALID_ARGUMENT, MALFORMED_MODEL. */
export async function sourceOf(model: CommonOptions['model']): Promise<Source> {
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
  return {
    name,
    sha256: hash.digest('hex'),
    fileBytes,
    proto,
    get bytes() {
      return fileBytes === bytes.length ? bytes : encodeModel(proto);
    },
  };
}

function imported(
  { name, sha256, fileBytes, proto }: Source,
  inputShapes: CommonOptions['inputShapes'],
  types?: ReadonlyMap<string, ValueType>,
): OpenedModel {
  const { graph } = importGraph(proto, {
    ...(inputShapes ? { inputShapes } : {}),
    ...(types ? { types } : {}),
  });
  checkWeightTypes(graph);
  return { name, sha256, fileBytes, graph, layers: layers(graph) };
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

/**
 * The channels-last form. Throws UNSUPPORTED_OPERATOR naming every operator that cannot run, with a node, and what
 * could be done `otherwise`.
 */
export function executable(model: OpenedModel, otherwise = ''): Graph {
  const unsupported = unsupportedNodes(model.graph);
  if (unsupported.length > 0) {
    const byOp = new Map<string, string[]>();
    for (const { op, name } of unsupported) byOp.set(op, [...(byOp.get(op) ?? []), name]);
    const list = [...byOp].map(
      ([op, names]) => `${op} (node ${names[0]}${names.length > 1 ? ` and ${names.length - 1} more` : ''})`,
    );
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected operators that can be executed but received ${list.join(', ')}${otherwise}.`,
    );
  }
  return toChannelsLast(model.graph);
}

const OTHER_EXECUTOR =
  '; --executor onnxruntime evaluates the model with your installation of onnxruntime-node';

/** A model and who runs it. */
export interface Executable {
  model: OpenedModel;
  /** Channels-last: what `compile` takes. */
  graph: Graph;
  compile: CompileEvaluator;
  /** Bytes of activations that evaluations may keep for one another, at most. */
  cacheBytes: number;
  executor: ExecutorResult;
  dispose(): void;
}

/**
 * Opens a model to be run. Throws as openModel, and UNSUPPORTED_OPERATOR for operators that the executor lacks,
 * BACKEND_UNAVAILABLE where onnxruntime-node is absent, too old or dies.
 */
export async function openExecutable(options: CommonOptions & RunOptions): Promise<Executable> {
  if (options.executor === 'onnxruntime') return openOnOnnxruntime(options);
  const model = await openModel(options);
  const executor = { name: 'engine', version: toolVersion() } as const;
  const graph = executable(model, OTHER_EXECUTOR);
  return { model, graph, compile, cacheBytes: Number.POSITIVE_INFINITY, executor, dispose: () => {} };
}

async function openOnOnnxruntime({ model, inputShapes }: CommonOptions): Promise<Executable> {
  const source = await sourceOf(model);
  const untyped = imported(source, inputShapes);
  const runtime = await Onnxruntime.start();
  try {
    const opened = imported(source, inputShapes, valueTypes(runtime, source.bytes, untyped.graph));
    return {
      model: opened,
      ...onnxruntimeNetwork(runtime, opened.graph),
      cacheBytes: 0, // to fetch an activation from there costs more than to compute it again
      executor: { name: 'onnxruntime', version: runtime.version },
      dispose: () => runtime.dispose(),
    };
  } catch (error) {
    runtime.dispose();
    throw error;
  }
}

/** Throws UNSUPPORTED_MODEL where nothing could be quantized. */
export function requireLayers(model: string, layers: readonly Layer[]): void {
  if (layers.length === 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected at least one Conv, Gemm or MatMul with constant weights for model ${model} but received none.`,
    );
}
