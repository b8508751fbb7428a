import { contentHash } from '../data/content-hash.ts';
import type { CompileEvaluator } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer, ValueType } from '../graph/graph.ts';
import { importGraph, layers, toChannelsLast, unsupportedNodes } from '../graph/index.ts';
import { encodeModel, type ModelProto, type ReadExternal, readModel } from '../onnx/index.ts';
import type { Host, ModelFile } from './host.ts';
import type { CommonOptions, RunOptions } from './options.ts';
import type { ExecutorResult } from './result.ts';

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
  const hash = contentHash();
  hash.update(bytes);
  return hash.hex();
}

/** Reads and imports a model. Throws INVALID_ARGUMENT, MALFORMED_MODEL, UNSUPPORTED_MODEL. */
export async function openModel(
  options: Pick<CommonOptions, 'model' | 'inputShapes'>,
  host: Pick<Host, 'readModel'>,
): Promise<OpenedModel> {
  return imported(await readSource(options.model, host), options.inputShapes);
}

/** What reports call a model: its file name without folder and `.onnx`. */
export function titleOf(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1).replace(/\.onnx$/i, '') || 'model';
}

/** A model file, read: with the tensors that lay in files beside it. */
export interface ReadSource {
  name: string;
  sha256: string;
  fileBytes: number;
  proto: ModelProto;
  /** The model in one piece. */
  bytes: Uint8Array;
}

export async function readSource(
  model: CommonOptions['model'],
  host: Pick<Host, 'readModel'>,
): Promise<ReadSource> {
  const file: ModelFile = typeof model === 'string' ? await host.readModel(model) : model;
  const { bytes } = file;
  const hash = contentHash();
  hash.update(bytes);
  let fileBytes = bytes.length;
  const external: ReadExternal | undefined =
    file.external &&
    ((range, what) => {
      const data = file.external!(range, what);
      hash.update(data);
      fileBytes += data.length;
      return data;
    });
  const proto = readModel(bytes, { external });
  return {
    name: titleOf(file.name),
    sha256: hash.hex(),
    fileBytes,
    proto,
    get bytes() {
      return fileBytes === bytes.length ? bytes : encodeModel(proto);
    },
  };
}

export function imported(
  { name, sha256, fileBytes, proto }: ReadSource,
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
export async function openExecutable(
  options: CommonOptions & RunOptions,
  host: Pick<Host, 'readModel' | 'openOnOnnxruntime' | 'version'>,
): Promise<Executable> {
  if (options.executor === 'onnxruntime') return host.openOnOnnxruntime(options);
  const model = await openModel(options, host);
  const executor = { name: 'engine', version: host.version } as const;
  const graph = executable(model, OTHER_EXECUTOR);
  return { model, graph, compile, cacheBytes: Number.POSITIVE_INFINITY, executor, dispose: () => {} };
}

/** Throws UNSUPPORTED_MODEL where nothing could be quantized. */
export function requireLayers(model: string, layers: readonly Layer[]): void {
  if (layers.length === 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected at least one Conv, Gemm or MatMul with constant weights for model ${model} but received none.`,
    );
}
