import type { Draft } from '../draft.ts';
import type { Node } from '../graph.ts';
import { clampOf } from '../ops/elementwise.ts';
import type { StaticType } from '../types.ts';

const FUSABLE = new Set(['Conv', 'ConvTranspose', 'Linear', 'Add']);

/** Relu and constant Clip become the `clamp` of the operator before them, where nobody else reads its value. */
export function fuseClamps(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  const uses = draft.uses();
  const producers = draft.producers();
  const replaced = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const node of draft.nodes) {
    const range = activation(node);
    if (!range || types.get(node.outputs[0])?.dtype !== 'float32') continue;
    const [value] = node.inputs;
    const maker = producers.get(value);
    if (!maker || !FUSABLE.has(maker.op) || uses.get(value) !== 1 || draft.isOutput(value)) continue;
    const before = replaced.get(maker) ?? maker;
    const clamp = clampOf(before).map((limit) => Math.min(Math.max(limit, range[0]), range[1]));
    replaced.set(maker, { ...before, outputs: node.outputs, attributes: { ...before.attributes, clamp } });
    producers.set(node.outputs[0], maker);
    dropped.add(node);
  }
  draft.nodes = draft.nodes.filter((node) => !dropped.has(node)).map((node) => replaced.get(node) ?? node);
}

function activation(node: Node): readonly [number, number] | null {
  if (node.op === 'Relu') return [0, Infinity];
  return node.op === 'Clip' && node.attributes['clamp'] ? clampOf(node) : null;
}
