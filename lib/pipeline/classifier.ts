import { SigmaQuantError } from '../errors.ts';
import type { Graph, Node } from '../graph/graph.ts';

/** What training looks at in a network that tells classes apart. */
export interface Classifier {
  /** Name of the value [batch, classes] before any Softmax. */
  logits: string;
  classes: number;
  /** What leads there. */
  nodes: readonly Node[];
}

/** A Softmax or a LogSoftmax at the end belongs to the loss. Throws UNSUPPORTED_MODEL for other outputs. */
export function classifierOf({ outputs, nodes }: Graph): Classifier {
  const [output] = outputs;
  const [classes] = output.shape.slice(1);
  if (outputs.length !== 1 || output.shape.length !== 2 || typeof classes !== 'number' || classes < 2)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected one output [batch, classes] for training but received ${outputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ')}.`,
    );
  const last = nodes.find((node) => node.outputs.includes(output.name));
  if (last?.op !== 'Softmax' && last?.op !== 'LogSoftmax') return { logits: output.name, classes, nodes };
  return { logits: last.inputs[0], classes, nodes: nodes.filter((node) => node !== last) };
}
