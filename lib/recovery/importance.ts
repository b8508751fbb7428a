import type { Pace } from '../analysis/pace.ts';
import type { Graph } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { crossEntropy, hasGradient, type TrainingSet, tapeOf } from '../training/index.ts';
import type { Block } from './blocks.ts';

/** Samples that the mean is taken over at most. */
const SAMPLES = 256;
const BATCH = 16;

/**
 * By output of a block, per channel: the mean squared gradient of the cross-entropy with the network's own answer by
 * that value, Fisher's information of its errors up to sampling, mean 1 over channels. Only for networks of class
 * scores whose operators all have gradients; none for others, whose errors count alike.
 */
export async function outputImportance(
  graph: Graph,
  kernels: Kernels,
  blocks: readonly Block[],
  data: TrainingSet,
  { pace }: { pace: Pace },
): Promise<Map<string, Float32Array>> {
  const importance = new Map<string, Float32Array>();
  const [output] = graph.outputs;
  if (output.shape.length !== 2 || graph.outputs.length !== 1 || !graph.nodes.every(hasGradient))
    return importance;
  const watch = blocks.slice(0, -1).map((block) => block.output);
  const batch = Math.min(BATCH, data.count);
  const tape = tapeOf(graph, kernels, batch, { parameters: new Map(), outputs: [output.name], watch });
  const size = data.x.length / data.count;
  const sums = new Map<string, Float64Array>();
  try {
    for (let first = 0; first + batch <= Math.min(SAMPLES, data.count); first += batch) {
      tape.input(graph.inputs[0].name).set(data.x.subarray(first * size, (first + batch) * size));
      await tape.run('forward', pace);
      const logits = tape.output(output.name);
      crossEntropy(answersOf(logits, batch))(logits, logits.length / batch, tape.seed(output.name));
      await tape.run('backward', pace);
      for (const name of watch) addSquares(sums, name, tape.watched(name), channelsOf(graph, name));
    }
  } finally {
    tape.dispose();
  }
  for (const [name, squares] of sums) {
    const mean = squares.reduce((sum, value) => sum + value, 0) / squares.length;
    if (mean > 0)
      importance.set(
        name,
        Float32Array.from(squares, (value) => value / mean),
      );
  }
  return importance;
}

const channelsOf = (graph: Graph, name: string) => graph.types.get(name)!.shape.at(-1) as number;

function answersOf(logits: Float32Array, batch: number): number[] {
  const classes = logits.length / batch;
  return Array.from({ length: batch }, (_, row) => {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    return scores.indexOf(scores.reduce((most, score) => Math.max(most, score)));
  });
}

function addSquares(
  sums: Map<string, Float64Array>,
  name: string,
  gradient: Float32Array,
  channels: number,
): void {
  const squares = sums.get(name) ?? new Float64Array(channels);
  sums.set(name, squares);
  for (let i = 0; i < gradient.length; i++) squares[i % channels] += gradient[i] * gradient[i];
}
