import type { Dataset, Preprocessing } from '../data/dataset.ts';
import { SigmaQuantError } from '../errors.ts';
import { quantizationOf } from '../export/read-back.ts';
import { createKernels } from '../kernels/index.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import { openAllocation } from './allocation-file.ts';
import { paired } from './interval.ts';
import { loadMetric, type MetricFunction } from './metric.ts';
import { type Executable, openExecutable } from './model.ts';
import { nodeHost } from './node-host.ts';
import { type CommonOptions, checkOptions, type DataSource, type RunOptions } from './options.ts';
import type { AccuracyResult, ExecutorResult } from './result.ts';
import { openSamples, type Samples, sampleInput } from './samples.ts';
import { batchSize, createScorer } from './scoring.ts';
import { accuracyOf } from './search.ts';

/** A network, labelled samples, and perhaps an allocation to score beside it. */
export interface EvaluateOptions extends CommonOptions, RunOptions {
  evaluate: DataSource;
  /** Output folder of `quantize`, or the `allocation.json` in it: its integers are scored against the float model. */
  allocation?: string;
  /** With an allocation, the preprocessing stored there is the default. */
  preprocessing?: Preprocessing;
  metric?: string | MetricFunction;
  /** Samples at most. */
  samples?: number;
}

/** The document of `evaluate --json`. */
export interface EvaluateResult {
  model: string;
  metric: string;
  samples: number;
  /** Percent. */
  float: number;
  /** Null without an allocation. */
  quantized: AccuracyResult | null;
  executor: ExecutorResult;
  backend: BackendName;
  isa: Isa;
  threads: number;
  seconds: number;
}

/** Scores a float network, and with `allocation` the quantized one beside it, on labelled samples. */
export async function evaluate(options: EvaluateOptions): Promise<EvaluateResult> {
  const started = performance.now();
  checkOptions({ samples: options.samples, executor: options.executor });
  options.signal?.throwIfAborted();
  const opened = await openExecutable(options, nodeHost);
  try {
    return await evaluateOpened(opened, options, started);
  } finally {
    opened.dispose();
  }
}

async function evaluateOpened(
  { model, graph, compile, executor }: Executable,
  options: EvaluateOptions,
  started: number,
): Promise<EvaluateResult> {
  const input = sampleInput(model.graph);
  const stored = options.allocation === undefined ? null : await openAllocation(options.allocation, model);
  const metric = options.metric === undefined ? null : await loadMetric(options.metric, nodeHost);
  const preprocessing =
    options.preprocessing ?? (stored?.allocation.preprocessing as Preprocessing | undefined) ?? {};
  const dataset = await openSamples(options.evaluate, input, preprocessing, nodeHost);
  if (!dataset.labelled && !metric)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected labels or a metric for evaluate but received ${dataset.name} without labels.`,
    );
  const kernels = await createKernels({
    backend: options.backend,
    isa: options.isa,
    threads: options.threads,
  });
  try {
    const macs = model.layers.reduce((sum, layer) => sum + layer.macs, 0);
    const scorer = await createScorer(compile(graph, kernels), {
      ...options,
      samples: firstSamples(dataset, options.samples),
      input,
      outputs: graph.outputs,
      batch: batchSize(macs, input),
      metric,
    });
    let quantized: AccuracyResult | null = null;
    if (stored) {
      const quantization = quantizationOf(stored.bytes);
      quantized = accuracyOf(scorer, await scorer.score(compile(graph, kernels, { quantization }), options));
    }
    return {
      model: model.name,
      metric: scorer.metric,
      samples: scorer.samples,
      float: paired(scorer.float, scorer.float).float,
      quantized,
      executor,
      backend: kernels.backend,
      isa: kernels.isa,
      threads: kernels.threads,
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } finally {
    kernels.dispose();
  }
}

function firstSamples(dataset: Dataset, limit = Number.POSITIVE_INFINITY): Samples {
  if (limit >= (dataset.size ?? Number.POSITIVE_INFINITY)) return { dataset, size: dataset.size };
  return { dataset, size: Math.min(limit, dataset.size ?? limit), select: (index) => index < limit };
}
