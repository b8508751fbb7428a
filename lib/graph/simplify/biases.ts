import type { Draft } from '../draft.ts';
import type { Node, Tensor } from '../graph.ts';
import { floatTensor } from '../tensors.ts';
import type { StaticType } from '../types.ts';

/** An Add of a constant per channel, right behind a Conv or Linear, becomes its bias. */
export function foldBiases(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  const uses = draft.uses();
  const producers = draft.producers();
  const replaced = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const add of draft.nodes) {
    if (add.op !== 'Add') continue;
    const position = add.inputs.findIndex((name) => draft.constants.has(name));
    if (position < 0) continue;
    const value = add.inputs[1 - position];
    const maker = producers.get(value);
    const layer = maker && (replaced.get(maker) ?? maker);
    if (!maker || !layer || !isLayer(draft, layer) || uses.get(value) !== 1 || draft.isOutput(value))
      continue;
    const constant = draft.constants.get(add.inputs[position])!;
    const rank = types.get(value)?.shape.length ?? 0;
    const channels = draft.constants.get(layer.inputs[1])!.shape[0];
    const addend = perChannel(constant, layer.op === 'Conv' ? 1 : rank - 1, rank, channels);
    if (!addend) continue;
    const bias = draft.constants.get(layer.inputs[2] ?? '');
    const sum = addend.map((term, c) => term + ((bias?.data[c] as number | undefined) ?? 0));
    const name = draft.store(`${layer.name}.bias`, floatTensor([channels], sum));
    const merged = { ...layer, inputs: [layer.inputs[0], layer.inputs[1], name], outputs: add.outputs };
    replaced.set(maker, merged);
    // A second Add finds the layer behind this one's output.
    producers.set(add.outputs[0], maker);
    dropped.add(add);
  }
  draft.nodes = draft.nodes.filter((node) => !dropped.has(node)).map((node) => replaced.get(node) ?? node);
}

/** A node with constant weights and, if any, constant bias. */
export function isLayer(draft: Draft, node: Node): boolean {
  if (node.op !== 'Conv' && node.op !== 'Linear') return false;
  if (node.attributes['clamp']) return false;
  return (
    draft.constants.get(node.inputs[1])?.dtype === 'float32' &&
    (!node.inputs[2] || draft.constants.has(node.inputs[2]))
  );
}

/** Values per channel of a constant that broadcasts along one axis only; null for any other. */
function perChannel(tensor: Tensor, axis: number, rank: number, channels: number): Float32Array | null {
  if (tensor.dtype !== 'float32' || tensor.shape.length > rank) return null;
  const data = tensor.data as Float32Array;
  if (data.length === 1) return new Float32Array(channels).fill(data[0]);
  const place = axis - (rank - tensor.shape.length);
  return data.length === channels && tensor.shape[place] === channels ? data : null;
}
