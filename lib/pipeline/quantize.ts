import type { Answer } from './answers.ts';
import { makeArtefacts, OUTPUT_NAMES, outputFiles, writeArtefacts } from './artefacts.ts';
import { refuseExisting } from './files.ts';
import { checkOptions, type QuantizeOptions } from './options.ts';
import { floatBytesOf } from './resources.ts';
import type { Artefacts, QuantizeResult } from './result.ts';
import { classesOf } from './scoring.ts';
import { type Study, withStudy } from './study.ts';

/**
 * Chooses a width for every layer and makes the quantized network.
 *
 * The search sees calibration and validation samples only; `accuracy` comes from samples that were scored once, after
 * the widths were frozen. With `out` four files are written, all or none. Rejects with `signal.reason` on abort, and
 * with SigmaQuantError: OUTPUT_EXISTS, INVALID_ARGUMENT, MALFORMED_MODEL, UNSUPPORTED_MODEL, UNSUPPORTED_OPERATOR,
 * DATA_MISMATCH, DATA_UNREADABLE, BACKEND_UNAVAILABLE. An unreachable target is a verdict, not an error.
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeResult> {
  checkOptions(options);
  options.signal?.throwIfAborted();
  const { out, force = false } = options;
  if (out !== undefined) await refuseExisting(out, force, OUTPUT_NAMES);
  return withStudy(options, async (study) => finish(study, await study.ask(options), options));
}

/** Judges an answer, which nothing changes any more, and makes and writes what comes of it. */
export async function finish(
  study: Study,
  answer: Answer,
  options: QuantizeOptions,
): Promise<QuantizeResult> {
  const { out, force = false, signal } = options;
  const uniform = await study.uniform(options);
  await study.validate(answer.allocation.widths);
  const artefacts = await makeArtefacts({
    ...study,
    ...answer,
    uniform,
    options: { ...options, strategy: answer.strategy },
    accuracy: await study.judge(),
    floatBytes: floatBytesOf([...study.layers, ...study.floatLayers]),
    calibrationSamples: study.ranges.samples,
    unreadable: study.cache.unreadable,
    quantization: study.candidate.quantization,
    floatNodes: study.candidate.executor.floatNodes,
    classes: classesOf(study.graph.outputs),
  });
  if (out !== undefined) await writeArtefacts(out, artefacts, force, signal);
  return summarize(study, artefacts, answer.learned, out);
}

function summarize(
  { kernels, executor, seconds, cache }: Study,
  artefacts: Artefacts,
  answered: QuantizeResult['learned'],
  out: string | undefined,
): QuantizeResult {
  const { allocation } = artefacts;
  return {
    model: allocation.model.name,
    layers: allocation.layers.map(({ name, op, parameters, macs, sigma, weights, activations }) => ({
      name,
      op,
      parameters,
      macs,
      sigma,
      weights,
      activations,
    })),
    averageBits: allocation.cost['averageBits'],
    floatBytes: allocation.floatBytes,
    weightBytes: allocation.cost['weightBytes'],
    fileBytes: artefacts.model.length,
    sqntBytes: artefacts.sqnt?.length ?? null,
    accuracy: allocation.accuracy,
    validation: allocation.validation!,
    verdict: allocation.verdict,
    device: allocation.device.name,
    targets: allocation.targets,
    cost: allocation.cost,
    warnings: allocation.warnings,
    binding: allocation.binding,
    reachable: allocation.reachable,
    feasible: allocation.feasible,
    learned: answered,
    strategy: allocation.strategy,
    recovery: allocation.recovery,
    executor,
    backend: kernels.backend,
    isa: kernels.isa,
    threads: kernels.threads,
    seconds: seconds(),
    evaluations: allocation.evaluations,
    cached: { ...cache.reused },
    files: out === undefined ? null : outputFiles(out, artefacts.sqnt !== null),
    artefacts,
  };
}
