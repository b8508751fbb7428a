import { refuse, SigmaQuantError } from '../errors.ts';
import type { Graph, Node, Tensor, ValueType } from '../graph/graph.ts';
import type { StaticType } from '../graph/types.ts';
import { evaluateStep } from './evaluate-steps.ts';
import { floatSteps } from './float-steps.ts';
import { integerSteps } from './integer-steps.ts';
import type { Model } from './model.ts';
import { moveSteps } from './move-steps.ts';
import { type Plan, PlanBuilder, type PlanPort } from './plan.ts';
import { byteSlot, floatSlot, type Slot, sizeOf } from './storage.ts';

export type Feeds = ReadonlyMap<string, Tensor>;

function declaredType(graph: Graph, value: string): ValueType | undefined {
  return graph.inputs.find(({ name }) => name === value) ?? graph.types.get(value);
}

/** The batch that feeds agree on: the length of whatever dimension has a name. 1 where none has. */
export function batchOf(graph: Graph, feeds: Feeds): number {
  let batch: number | null = null;
  for (const [name, { shape }] of feeds) {
    const axis = declaredType(graph, name)?.shape.findIndex((length) => typeof length === 'string') ?? -1;
    if (axis < 0 || shape[axis] === undefined) continue;
    if (batch !== null && batch !== shape[axis])
      throw new SigmaQuantError(
        'DATA_MISMATCH',
        `Expected a batch of ${batch} for ${name} but received ${shape[axis]}.`,
      );
    batch = shape[axis];
  }
  return batch ?? 1;
}

/** The nodes between feeds and fetches, in execution order. */
export function between(graph: Graph, feeds: Pick<Feeds, 'has'>, fetches: readonly string[]): Node[] {
  const wanted = new Set(fetches.filter((name) => !feeds.has(name)));
  const nodes: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((output) => wanted.has(output))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input && !feeds.has(input)) wanted.add(input);
  }
  return nodes.reverse();
}

export function planFor(
  model: Model,
  types: ReadonlyMap<string, StaticType>,
  feeds: Feeds,
  fetches: readonly string[],
): Plan {
  const nodes = between(model.graph, feeds, fetches);
  const reads = new Map<string, number>();
  for (const name of [...nodes.flatMap(({ inputs }) => inputs), ...fetches])
    reads.set(name, (reads.get(name) ?? 0) + 1);
  const plan = new PlanBuilder(model, types, reads);
  const known = new Set([...types.keys(), ...model.graph.constants.keys()]);
  for (const node of model.graph.nodes) for (const output of node.outputs) known.add(output);
  for (const name of [...feeds.keys(), ...fetches])
    if (!known.has(name)) refuse('the name of a value of the graph', 'a feed or fetch', name);

  const fed = [...feeds].map(([name, tensor]) => feedPort(plan, name, tensor));
  for (const node of nodes) {
    plan.begin(node);
    makeSteps(plan, node);
    plan.finish(node);
  }
  const outputs = new Set(model.graph.outputs.map(({ name }) => name));
  const fetched = fetches.map((name): PlanPort => {
    const stored = outputs.has(name) ? (plan.float(name) ?? plan.stored(name)) : plan.stored(name);
    return { name, stored, type: plan.type(name) };
  });
  return plan.build(fed, fetched);
}

/** A fed value is read where the caller has it; a float that should be quantized is quantized first. */
function feedPort(plan: PlanBuilder, name: string, tensor: Tensor): PlanPort {
  const type = plan.type(name);
  const quantizer = plan.quantizer(name);
  if (type?.dtype !== 'float32' && !quantizer) return { name, stored: plan.holder(name), type };
  const shape = type?.shape ?? tensor.shape;
  const length = sizeOf(shape);
  const given: Slot =
    quantizer && tensor.dtype === 'uint8' ? byteSlot(length, true) : floatSlot(length, true);
  if (quantizer && given.dtype === 'float32') {
    const to = byteSlot(length);
    plan.quantize(given, quantizer, to);
    plan.define(name, to);
  } else plan.define(name, given);
  return { name, stored: given, type };
}

/** The best way that serves this node: integers, moves, float kernels, or the row's `evaluate`. */
function makeSteps(plan: PlanBuilder, node: Node): void {
  const execution = plan.model.execution(node);
  const quantized =
    execution === 'integer' || (execution === 'move' && plan.stored(node.inputs[0]).dtype === 'uint8');
  const tables = quantized ? [integerSteps, moveSteps] : [moveSteps, floatSteps];
  for (const table of tables) if (table[node.op]?.(plan, node)) return;
  evaluateStep(plan, node);
}
