import { SigmaQuantError } from '../errors.ts';
import type { Node, Tensor, TensorData } from '../graph/graph.ts';
import type { PlanBuilder } from './plan.ts';
import type { Holder, Slot } from './storage.ts';

/** Where one input comes from when the node runs; '' stands for an absent one. */
type Source = () => Tensor | null;

/**
 * Runs a node by its table row's `evaluate`: whatever has no kernel, any type, any rank. Values without a
 * static shape, and all that is neither float32 nor quantized, stay outside the arena.
 */
export function evaluateStep(plan: PlanBuilder, node: Node): void {
  const { model } = plan;
  const moves = model.execution(node) === 'move';
  const reads: Slot[] = [];
  const sources = node.inputs.map((name) => (name ? source(plan, name, moves, reads) : () => null));
  // Outputs that nobody reads need no place, and the row may leave them out.
  const targets = node.outputs.map((name, i) => (plan.isRead(name) ? target(plan, node, i, moves) : null));
  const writes = targets.filter((stored): stored is Slot => stored !== null && stored.dtype !== 'tensor');
  const evaluate = () => {
    const inputs = sources.map((read) => read());
    const results = model.evaluate(node, inputs);
    targets.forEach((stored, i) => {
      if (stored?.dtype === 'tensor') stored.tensor = own(results[i], inputs);
      else if (stored) store(node, i, results[i], stored);
    });
  };
  plan.emit([...reads, ...writes], evaluate, false);
}

function source(plan: PlanBuilder, name: string, moves: boolean, reads: Slot[]): Source {
  const constant = plan.constant(name);
  if (constant) return () => constant;
  const slot = moves ? plan.slot(name) : plan.float(name);
  if (!slot) {
    const holder = plan.stored(name) as Holder;
    return () => holder.tensor;
  }
  reads.push(slot);
  const shape = plan.shape(name)!;
  return () => ({ dtype: slot.dtype, shape, data: slot.data });
}

function target(plan: PlanBuilder, node: Node, index: number, moves: boolean): Slot | Holder {
  const name = node.outputs[index];
  if (plan.type(name)?.dtype !== 'float32') return plan.holder(name);
  return moves && plan.quantizer(name) ? plan.byteOutput(node, index) : plan.floatOutput(node, index);
}

/** A result may share its input's memory, which the arena will give to others. */
function own(result: Tensor, inputs: readonly (Tensor | null)[]): Tensor {
  const buffer = (tensor: Tensor | null) => (ArrayBuffer.isView(tensor?.data) ? tensor.data.buffer : null);
  const shares = buffer(result) !== null && inputs.some((input) => buffer(input) === buffer(result));
  return shares ? { ...result, data: result.data.slice() as TensorData } : result;
}

function store(node: Node, index: number, result: Tensor, slot: Slot): void {
  if (result.data.length !== slot.length || result.dtype !== slot.dtype)
    throw new SigmaQuantError(
      'INTERNAL',
      `Expected ${slot.length} ${slot.dtype} elements for ${node.outputs[index]} of node ${node.name} but received ${result.data.length} of ${result.dtype}.`,
    );
  slot.data.set(result.data as Float32Array | Uint8Array);
}
