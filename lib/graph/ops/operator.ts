import { malformed } from '../../errors.ts';
import type { Attribute, Dtype, Graph, Node, Tensor } from '../graph.ts';
import { numbers } from '../tensors.ts';

/** What is known of a value while shapes are inferred for one batch: its content too, where that is constant. */
export interface Known {
  dtype: Dtype;
  shape: readonly number[];
  value?: Tensor;
}

/** What a row needs to know of the graph around the node. */
export type Form = Pick<Graph, 'opset' | 'layout'>;

/**
 * How the layout pass treats an operator:
 * - spatial      its data are channels-first in ONNX form and channels-last in the other
 * - elementwise  any layout, as long as all its inputs share it
 * - axis         any layout, once its axes are renamed
 * - fixed        wants ONNX's layout
 */
export type LayoutRole = 'spatial' | 'elementwise' | 'axis' | 'fixed';

/**
 * One row of the table. `infer` and `evaluate` are written for ONNX's layout; for spatial operators of a
 * channels-last graph `table.ts` turns `permuted` inputs and all outputs around.
 */
export interface Operator {
  layout: LayoutRole;
  /** Positions of the inputs that change layout; data of rank < 3 never do. Default: the first. */
  permuted?: readonly number[];
  /** Null for an output whose shape depends on more than is known. Throws MALFORMED_MODEL for impossible inputs. */
  infer(node: Node, inputs: readonly (Known | null)[], form: Form): (Known | null)[];
  /** Plain evaluation on tensors, any type and rank. Outputs that nobody asks for may be left out at the end. */
  evaluate(node: Node, inputs: readonly (Tensor | null)[], form: Form): Tensor[];
}

export function ints(node: Node, name: string): readonly number[] | undefined {
  return node.attributes[name] as readonly number[] | undefined;
}

export function number(node: Node, name: string, otherwise: number): number {
  return (node.attributes[name] as number | undefined) ?? otherwise;
}

export function text(node: Node, name: string, otherwise: string): string {
  return (node.attributes[name] as string | undefined) ?? otherwise;
}

export function attribute<T extends Attribute>(node: Node, name: string): T | undefined {
  return node.attributes[name] as T | undefined;
}

/** The error of a node whose inputs do not fit. */
export function misfit(node: Node, expected: string, received: string): never {
  return malformed(`Expected ${expected} for node ${node.name} (${node.op}) but received ${received}.`);
}

/** A required input. */
export function need<T>(node: Node, inputs: readonly (T | null)[], index: number): T {
  return inputs[index] ?? misfit(node, `input ${index}`, 'none');
}

/** Throws unless all inputs that are there have the first one's type. */
export function sameTypes(node: Node, inputs: readonly ({ dtype: Dtype } | null | undefined)[]): void {
  const first = inputs[0]?.dtype;
  inputs.forEach((input, i) => {
    if (input && input.dtype !== first)
      misfit(node, `${first} for input ${i} (${JSON.stringify(node.inputs[i])})`, input.dtype);
  });
}

export function axisOf(node: Node, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!(positive >= 0 && positive <= Math.max(0, rank - 1)))
    misfit(node, `an axis within ${rank} dimensions`, String(axis));
  return positive;
}

/** Whole numbers of a tensor (shapes, axes). */
export function list(tensor: Tensor): number[] {
  return Array.from(numbers(tensor));
}

/** A list that is an attribute in older opsets and a constant input in newer ones; null where it is not known. */
export function listInput(
  node: Node,
  name: string,
  inputs: readonly (Known | Tensor | null)[],
  index: number,
): number[] | undefined | null {
  const given = ints(node, name);
  if (given) return [...given];
  const input = inputs[index];
  if (!input) return undefined;
  if ('data' in input) return list(input);
  return input.value ? list(input.value) : null;
}

export function broadcast(node: Node, ...shapes: readonly (readonly number[])[]): number[] {
  return shapes.reduce<number[]>((a, b) => {
    const rank = Math.max(a.length, b.length);
    return Array.from({ length: rank }, (_, i) => {
      const x = a[i - rank + a.length] ?? 1;
      const y = b[i - rank + b.length] ?? 1;
      if (x !== y && x !== 1 && y !== 1)
        misfit(node, 'shapes that broadcast', `[${a.join(', ')}] and [${b.join(', ')}]`);
      return x === 1 ? y : x;
    });
  }, []);
}

export const sameAsFirst: Operator['infer'] = (node, inputs) => {
  const { dtype, shape } = need(node, inputs, 0);
  return [{ dtype, shape }];
};
