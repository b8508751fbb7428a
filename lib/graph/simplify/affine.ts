import type { Draft } from '../draft.ts';
import type { Node, Tensor } from '../graph.ts';
import { floatTensor } from '../tensors.ts';
import type { StaticType } from '../types.ts';

/** What a constant beside the value does to it: y = x * factor + addend, given the constant's element. */
type Affine = (constant: number) => { factor: number; addend: number };

/** Operators that scale or shift a value; null where the constant must come second. */
const AFFINE: Readonly<Record<string, readonly [first: Affine | null, second: Affine]>> = {
  Add: both((addend) => ({ factor: 1, addend })),
  Mul: both((factor) => ({ factor, addend: 0 })),
  Sub: [(addend) => ({ factor: -1, addend }), (subtrahend) => ({ factor: 1, addend: -subtrahend })],
  Div: [null, (divisor) => ({ factor: 1 / divisor, addend: 0 })],
};

function both(affine: Affine): readonly [Affine, Affine] {
  return [affine, affine];
}

/**
 * Constants per channel that are added to, subtracted from, multiplied with or divided into the value right behind a
 * Conv or Linear become part of its weights and bias.
 */
export function foldAffine(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  const uses = draft.uses();
  const producers = draft.producers();
  const replaced = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const node of draft.nodes) {
    const position = node.inputs.findIndex((name) => draft.constants.has(name));
    const affine = position < 0 ? null : AFFINE[node.op]?.[position];
    if (!affine) continue;
    const value = node.inputs[1 - position];
    const maker = producers.get(value);
    const layer = maker && (replaced.get(maker) ?? maker);
    if (!maker || !layer || !isLayer(draft, layer) || uses.get(value) !== 1 || draft.isOutput(value))
      continue;
    const constant = draft.constants.get(node.inputs[position])!;
    const rank = types.get(value)?.shape.length ?? 0;
    const channels = draft.constants.get(layer.inputs[1])!.shape[0];
    const values = perChannel(constant, layer.op === 'Conv' ? 1 : rank - 1, rank, channels);
    if (!values) continue;
    const inputs = folded(draft, layer, Array.from(values, affine), uses);
    replaced.set(maker, { ...layer, inputs, outputs: node.outputs });
    // A second one finds the layer behind this one's output.
    producers.set(node.outputs[0], maker);
    dropped.add(node);
  }
  draft.nodes = draft.nodes.filter((node) => !dropped.has(node)).map((node) => replaced.get(node) ?? node);
}

/** Inputs of the layer with each channel's weights and bias scaled, and its bias shifted. */
function folded(
  draft: Draft,
  layer: Node,
  channels: readonly { factor: number; addend: number }[],
  uses: ReadonlyMap<string, number>,
): string[] {
  const [x, w, b = ''] = layer.inputs;
  const weights = draft.constants.get(w)!;
  const bias = draft.constants.get(b)?.data as Float32Array | undefined;
  const shifted = Float32Array.from(channels, ({ factor, addend }, c) => (bias?.[c] ?? 0) * factor + addend);
  const name = draft.store(`${layer.name}.bias`, floatTensor([channels.length], shifted));
  if (channels.every(({ factor }) => factor === 1)) return [x, w, name];
  const from = weights.data as Float32Array;
  const per = from.length / channels.length;
  const scaled = from.map((weight, i) => weight * channels[Math.floor(i / per)].factor);
  return [x, draft.replace(w, floatTensor(weights.shape, scaled), layer, uses), name];
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
