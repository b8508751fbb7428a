import type { Executor } from '../engine/engine.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { classifierOf } from './classifier.ts';
import { executable, openModel } from './model.ts';
import { nodeHost } from './node-host.ts';
import type { CommonOptions, ModelSource } from './options.ts';
import { sampleInput } from './samples.ts';

/** A float network whose scores another one learns. */
export interface Teacher {
  sha256: string;
  /** Class scores [count][classes] of samples [count][...shape]. */
  scores(x: Float32Array, count: number, shape: readonly number[]): Promise<Float32Array>;
  dispose(): void;
}

/** Throws as `openModel`, and DATA_MISMATCH for a teacher of other classes. */
export async function openTeacher(
  model: ModelSource,
  kernels: Kernels,
  classes: number,
  signal: CommonOptions['signal'],
): Promise<Teacher> {
  const opened = await openModel({ model }, nodeHost);
  const graph = executable(opened);
  const own = classifierOf(graph);
  if (own.classes !== classes)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected a network of ${classes} classes for distill but received ${opened.name} of ${own.classes}.`,
    );
  const { name } = sampleInput(graph);
  const executor: Executor = compile(graph, kernels);
  return {
    sha256: opened.sha256,
    scores: async (x, count, shape) => {
      const feeds = new Map([[name, { dtype: 'float32' as const, shape: [count, ...shape], data: x }]]);
      const scores = await executor.runLater(feeds, [own.logits], signal ? { signal } : {});
      return scores.get(own.logits)!.data as Float32Array;
    },
    dispose: () => executor.dispose(),
  };
}
