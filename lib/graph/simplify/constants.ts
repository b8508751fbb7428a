import type { Draft } from '../draft.ts';
import type { Node, Tensor } from '../graph.ts';
import { constantOf } from '../ops/shapes.ts';
import { evaluateNode, type Known, OPERATORS } from '../ops.ts';
import { numbers, sizeOf } from '../tensors.ts';
import { inferValues } from '../types.ts';

/** What folding may make out of small constants (Expand, Tile, ConstantOfShape), in elements. */
const LARGEST_FOLDED = 2 ** 24;
/** Operators whose every element is one element of their input, so that what two batches agree on holds for all. */
const SELECTING = new Set(['Shape', 'Gather', 'Slice', 'Split', 'Squeeze', 'Unsqueeze', 'Reshape', 'Cast']);
/** A quantized model keeps its stored integers, unless told otherwise. */
const KEPT = /Quantize|QLinear|Integer/;

/**
 * Turns into constants: Constant nodes, what follows from constants alone, and shapes that do not depend on the
 * batch. Reshapes take their shape as an attribute, with the batch as 0 (copied) or -1 (inferred).
 */
export function foldConstants(draft: Draft, batches: readonly [number, number], foldQuantized = false): void {
  draft.nodes = draft.nodes.filter((node) => {
    if (node.op !== 'Constant') return true;
    draft.constants.set(node.outputs[0], constantOf(node));
    return false;
  });
  const [a, b] = batches.map((batch) => inferValues(draft, batch));
  draft.nodes = draft.nodes
    .filter((node) => {
      const values = KEPT.test(node.op) && !foldQuantized ? null : folded(draft, node, a, b);
      node.outputs.forEach((name, i) => {
        if (values && name !== '') draft.constants.set(name, values[i]);
      });
      return values === null;
    })
    .map((node) => (node.op === 'Reshape' ? fixedReshape(node, a, b, batches) : node));
}

function folded(
  draft: Draft,
  node: Node,
  a: ReadonlyMap<string, Known>,
  b: ReadonlyMap<string, Known>,
): Tensor[] | null {
  const row = OPERATORS.get(node.op);
  if (!row) return null;
  const known = node.outputs.map((name) => a.get(name));
  if (SELECTING.has(node.op)) {
    const values = known.map((value) => value?.value);
    const others = node.outputs.map((name) => b.get(name)?.value);
    if (values.every((value, i) => value && others[i] && equal(value, others[i]))) return values as Tensor[];
  }
  const inputs = node.inputs.map((name) => (name === '' ? null : draft.constants.get(name)));
  if (inputs.length === 0 || inputs.includes(undefined)) return null;
  // Integers become as many floats: nothing grows.
  const grows = !KEPT.test(node.op);
  if (grows && known.some((value) => value && sizeOf(value.shape) > LARGEST_FOLDED)) return null;
  return evaluateNode(draft, node, inputs as (Tensor | null)[]);
}

function equal(a: Tensor, b: Tensor): boolean {
  if (a.shape.length !== b.shape.length || a.shape.some((size, axis) => size !== b.shape[axis])) return false;
  return Array.prototype.every.call(a.data, (value, i) => value === b.data[i]);
}

/** Reshape with its shape as an attribute, where two batches tell what it is. */
function fixedReshape(
  node: Node,
  a: ReadonlyMap<string, Known>,
  b: ReadonlyMap<string, Known>,
  batches: readonly [number, number],
): Node {
  const [data, name] = node.inputs;
  const [first, second] = [a.get(name)?.value, b.get(name)?.value];
  const [x, y] = [a.get(data)?.shape, b.get(data)?.shape];
  if (!first || !second || first.data.length !== second.data.length) return node;
  const shapes = [first, second].map((tensor) => Array.from(numbers(tensor)));
  if (node.attributes['allowzero'] === 1 && shapes[0].includes(0)) return node;
  let open = shapes[0].includes(-1);
  const shape: number[] = [];
  for (const [axis, size] of shapes[0].entries()) {
    const other = shapes[1][axis];
    if (size === other) shape.push(size);
    else if (x && y && size === x[axis] && other === y[axis]) shape.push(0);
    else if (!open && size / batches[0] === other / batches[1]) {
      shape.push(-1);
      open = true;
    } else return node;
  }
  return { ...node, inputs: [data], attributes: { shape } };
}
