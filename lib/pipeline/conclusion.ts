import type { Answer } from './answers.ts';
import { makeArtefacts } from './artefacts.ts';
import type { Host } from './host.ts';
import type { QuantizeOptions } from './options.ts';
import { floatBytesOf } from './resources.ts';
import type { Artefacts, QuantizeResult } from './result.ts';
import { classesOf } from './scoring.ts';
import { type Study, withStudy } from './study.ts';

/** Opens and measures a network and gives it the widths that the options ask for; nothing is written. */
export function quantizeOn(host: Host, options: QuantizeOptions): Promise<QuantizeResult> {
  return withStudy(host, options, async (study) => conclude(study, await study.ask(options), options));
}

/** Judges an answer, which nothing changes any more, and makes what comes of it. */
export async function conclude(
  study: Study,
  answer: Answer,
  options: QuantizeOptions,
): Promise<QuantizeResult> {
  const uniform = await study.uniform(options);
  await study.validate(answer.allocation.widths, answer.floor?.maxDrop ?? null);
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
  return summarize(study, artefacts, answer.learned);
}

function summarize(
  { kernels, executor, seconds, cache }: Study,
  artefacts: Artefacts,
  learned: Answer['learned'],
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
    learned,
    strategy: allocation.strategy,
    recovery: allocation.recovery,
    executor,
    backend: kernels.backend,
    isa: kernels.isa,
    threads: kernels.threads,
    seconds: seconds(),
    evaluations: allocation.evaluations,
    cached: { ...cache.reused },
    files: null,
    artefacts,
  };
}
