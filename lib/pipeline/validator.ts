import type { Dataset } from '../data/dataset.ts';
import { compile } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import { importGraph, layers, toChannelsLast } from '../graph/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { crossEntropy } from '../training/index.ts';
import { classifierOf } from './classifier.ts';
import type { CommonOptions } from './options.ts';
import { batchSize } from './scoring.ts';
import type { ValidationScore } from './train-options.ts';
import { checkLabels } from './training-data.ts';

/**
 * Loss and accuracy of an ONNX file on labelled samples, by the engine that runs networks: batch norms are folded, as
 * whoever runs the file will have them. Throws DATA_MISMATCH without labels or for one that is no class.
 */
export async function validated(
  bytes: Uint8Array,
  dataset: Dataset,
  kernels: Kernels,
  { inputShapes, signal }: Pick<CommonOptions, 'inputShapes' | 'signal'>,
): Promise<ValidationScore> {
  requireLabels(dataset);
  const { graph: imported } = importGraph(bytes, inputShapes ? { inputShapes } : {});
  const graph = toChannelsLast(imported);
  const { logits, classes } = classifierOf(graph);
  const [input] = graph.inputs;
  const macs = layers(graph).reduce((sum, layer) => sum + layer.macs, 0);
  const executor = compile(graph, kernels);
  const interruptible = signal ? { signal } : {};
  try {
    let [loss, hits, samples] = [0, 0, 0];
    for await (const batch of dataset.batches({ size: batchSize(macs, input), ...interruptible })) {
      const { x, labels, count } = batch;
      checkLabels(labels!, batch.indices, classes, dataset.name);
      const feeds = new Map([
        [input.name, { dtype: 'float32' as const, shape: [count, ...dataset.shape], data: x }],
      ]);
      const data = (await executor.runLater(feeds, [logits], interruptible)).get(logits)!
        .data as Float32Array;
      loss += count * crossEntropy(labels!)(data, classes, new Float32Array(data.length));
      for (let row = 0; row < count; row++)
        if (highest(data.subarray(row * classes, (row + 1) * classes)) === labels![row]) hits++;
      samples += count;
    }
    return { loss: loss / samples, accuracy: (100 * hits) / samples, samples };
  } finally {
    executor.dispose();
  }
}

export function requireLabels({ labelled, name }: Dataset): void {
  if (labelled) return;
  throw new SigmaQuantError(
    'DATA_MISMATCH',
    `Expected labelled samples for training but received ${name} without labels.`,
  );
}

function highest(scores: Float32Array): number {
  let best = 0;
  for (let c = 1; c < scores.length; c++) if (scores[c] > scores[best]) best = c;
  return best;
}
