import type { Graph, Node, Tensor } from '../graph/graph.ts';
import type { StaticType } from '../graph/types.ts';
import { between, type Feeds } from './planning.ts';
import { sizeOf } from './storage.ts';

/**
 * A batch whose intermediate values take more than this runs a few samples at a time, so that what one step leaves
 * the next finds in a cache. A share of a last-level cache; whatever the size, results are the same.
 */
const SLICE_BYTES = 16 << 20;

/** Operators that treat each sample by itself wherever the first axis of all they read and write is the batch. */
const SAMPLE_WISE = new Set([
  'Conv',
  'Linear',
  'Add',
  'Relu',
  'Clip',
  'MaxPool',
  'AveragePool',
  'GlobalAveragePool',
  'Identity',
  'Flatten',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Transpose',
  'Pad',
  'Concat',
  'Softmax',
]);

type Types = ReadonlyMap<string, StaticType>;

/** How many samples to run at a time: the whole batch if its `planned` bytes are few. */
export function samplesAtOnce(batch: number, planned: number): number {
  const most = Math.max(1, Math.floor((batch * SLICE_BYTES) / Math.max(1, planned)));
  return Math.ceil(batch / Math.ceil(batch / most)); // slices of like size
}

/** Whether running `some` samples after the other gives what all of them give together. */
export function isSampleWise(
  graph: Graph,
  feeds: Feeds,
  fetches: readonly string[],
  [batch, all]: [number, Types],
  [some, fewer]: [number, Types],
): boolean {
  const keepsBatch = (name: string) => {
    const [one, other] = [all.get(name), fewer.get(name)];
    return (
      one?.dtype === 'float32' &&
      one.shape[0] === batch &&
      other?.shape[0] === some &&
      sizeOf(one.shape) * some === sizeOf(other.shape) * batch
    );
  };
  return (
    [...feeds.keys(), ...fetches].every(keepsBatch) &&
    between(graph, feeds, fetches).every((node) => {
      const read = node.inputs.filter((name) => name && (feeds.has(name) || !graph.constants.has(name)));
      return (
        SAMPLE_WISE.has(node.op) &&
        [...read, ...node.outputs].every(keepsBatch) &&
        leavesFirstAxis(graph, node, all.get(node.outputs[0])!.shape.length)
      );
    })
  );
}

/** Where attributes or constants could mix samples. */
function leavesFirstAxis(graph: Graph, { op, inputs, attributes }: Node, rank: number): boolean {
  const axis = (attributes['axis'] as number | undefined) ?? -1;
  switch (op) {
    case 'Transpose':
      return (attributes['perm'] as readonly number[])[0] === 0;
    case 'Pad':
      return (attributes['pads'] as readonly number[] | undefined)?.[0] === 0;
    case 'Concat':
    case 'Softmax':
      return (axis + rank) % rank !== 0;
    case 'Add':
      return inputs.every((name) => {
        const shape = graph.constants.get(name)?.shape;
        return !shape || shape.length < rank || shape[0] === 1;
      });
    default:
      return true;
  }
}

/** Samples first..first + count of a batch, in place. */
export function sliceOf(tensor: Tensor, batch: number, first: number, count: number): Tensor {
  const data = tensor.data as Float32Array;
  const sample = data.length / batch;
  const shape = [count, ...tensor.shape.slice(1)];
  return { ...tensor, shape, data: data.subarray(first * sample, (first + count) * sample) } as Tensor;
}
