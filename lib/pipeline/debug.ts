import {
  BREAK_RULE,
  type LayerDamage,
  measureDamage,
  type OutputDamage,
  pairValues,
} from '../analysis/index.ts';
import type { Preprocessing } from '../data/dataset.ts';
import { SigmaQuantError } from '../errors.ts';
import { createKernels } from '../kernels/index.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import { isSqnt } from '../sqnt/index.ts';
import { readBytes } from './files.ts';
import { executable, type OpenedModel, openModel } from './model.ts';
import { nodeHost } from './node-host.ts';
import { type CommonOptions, checkOptions, type DataSource, type ModelSource } from './options.ts';
import { openQuantized } from './quantized-model.ts';
import { openSamples, sampleInput } from './samples.ts';

/** Samples that are enough to tell damage from noise: each brings thousands of activations. */
const SAMPLES = 32;

/** A float network, what was made of it, and samples to compare them on. */
export interface DebugOptions extends Omit<CommonOptions, 'model'> {
  /** The float network. */
  float: ModelSource;
  /** A QDQ file of any tool, or a packed file (`.sqnt`). */
  quantized: ModelSource;
  /** Samples; labels are not needed. */
  data: DataSource;
  /** Default: what the quantized file says, if it does. */
  preprocessing?: Preprocessing;
  /** Samples at most, spread evenly over the data; default 32. */
  samples?: number;
}

/** The document of `debug --json`. */
export interface DebugResult {
  float: string;
  quantized: string;
  form: 'qdq' | 'sqnt';
  samples: number;
  /** In the quantized network's order of execution. */
  layers: LayerDamage[];
  outputs: OutputDamage[];
  /** The first layer that breaks by `rule`; null where none does. */
  firstBreak: string | null;
  rule: typeof BREAK_RULE;
  /** Layers without a partner in the other file. */
  unmatched: { float: readonly string[]; quantized: readonly string[] };
  notes: string[];
  backend: BackendName;
  isa: Isa;
  threads: number;
  seconds: number;
}

/** The float network; `openModel` would say of a packed file only that it is no ONNX file. */
async function openFloat(
  model: ModelSource,
  inputShapes: CommonOptions['inputShapes'],
): Promise<OpenedModel> {
  const source =
    typeof model === 'string' ? { name: model, bytes: await readBytes(model, 'the float model') } : model;
  if (isSqnt(source.bytes))
    throw new SigmaQuantError(
      'MALFORMED_MODEL',
      `Expected an ONNX file for the float model but received a packed one (${JSON.stringify(source.name)}).`,
    );
  return openModel({ model: source, ...(inputShapes ? { inputShapes } : {}) }, nodeHost);
}

/**
 * Compares a quantized network with the float one layer by layer: what each layer does by itself, what has
 * accumulated, and where it breaks first. Throws INVALID_ARGUMENT where the files are not of one network.
 */
export async function debug(options: DebugOptions): Promise<DebugResult> {
  const started = performance.now();
  const { inputShapes, samples = SAMPLES, signal } = options;
  checkOptions({ samples });
  signal?.throwIfAborted();
  const float = await openFloat(options.float, inputShapes);
  const quantized = await openQuantized(options.quantized, inputShapes);
  const graph = executable(float);
  const pairing = pairValues(graph, quantized.network);
  sampleInput(quantized.network.graph);
  const preprocessing = options.preprocessing ?? quantized.preprocessing;
  const data = await openSamples(options.data, sampleInput(graph), preprocessing, nodeHost);
  const { backend, isa, threads } = options;
  const kernels = await createKernels({ backend, isa, threads });
  try {
    const { layers, outputs, ...rest } = await measureDamage(
      graph,
      quantized.network,
      pairing,
      kernels,
      data,
      {
        samples,
        ...(signal ? { signal } : {}),
        ...(options.onProgress ? { onProgress: options.onProgress } : {}),
      },
    );
    return {
      float: float.name,
      quantized: quantized.name,
      form: quantized.form,
      samples: rest.samples,
      layers,
      outputs,
      firstBreak: layers.find(({ breaks }) => breaks !== null)?.name ?? null,
      rule: BREAK_RULE,
      unmatched: pairing.unmatched,
      notes:
        quantized.source === null || quantized.source === float.sha256
          ? []
          : [`${quantized.name} says that it was made from another file than ${float.name}.`],
      backend: kernels.backend,
      isa: kernels.isa,
      threads: kernels.threads,
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } finally {
    kernels.dispose();
  }
}
