import { malformed } from '../errors.ts';
import type { Node, Port, Tensor } from './graph.ts';

/**
 * Nodes in execution order, file order where it is one already. Throws MALFORMED_MODEL on cycles, values made
 * twice and values that nobody makes.
 */
export function inOrder(
  nodes: readonly Node[],
  inputs: readonly Port[],
  outputs: readonly Port[],
  constants: ReadonlyMap<string, Tensor>,
): Node[] {
  const given = new Set([...inputs.map(({ name }) => name), ...constants.keys()]);
  const producers = producersOf(nodes, given);
  for (const { name } of outputs)
    if (!given.has(name) && !producers.has(name))
      malformed(`Expected a node that makes the output ${JSON.stringify(name)} but received none.`);
  const waits = new Map<Node, number>();
  const readers = new Map<Node, Node[]>();
  for (const node of nodes) {
    const sources = new Set<Node>();
    for (const input of node.inputs) {
      if (input === '' || given.has(input)) continue;
      const source = producers.get(input);
      if (!source)
        malformed(
          `Expected a source for input ${JSON.stringify(input)} of node ${node.name} (${node.op}) but received none.`,
        );
      sources.add(source);
    }
    waits.set(node, sources.size);
    for (const source of sources) {
      const list = readers.get(source);
      if (list) list.push(node);
      else readers.set(source, [node]);
    }
  }
  return sorted(nodes, waits, readers);
}

function producersOf(nodes: readonly Node[], given: ReadonlySet<string>): Map<string, Node> {
  const producers = new Map<string, Node>();
  for (const node of nodes)
    for (const output of node.outputs) {
      if (output === '') continue;
      if (given.has(output) || producers.has(output))
        malformed(
          `Expected value ${JSON.stringify(output)} to be made once but received it again from node ${node.name} (${node.op}).`,
        );
      producers.set(output, node);
    }
  return producers;
}

function sorted(
  nodes: readonly Node[],
  waits: Map<Node, number>,
  readers: ReadonlyMap<Node, Node[]>,
): Node[] {
  const order: Node[] = [];
  const done = new Set<Node>();
  const passed = new Set<Node>();
  const release = (first: Node) => {
    const ready = [first];
    for (let next = ready.pop(); next; next = ready.pop()) {
      order.push(next);
      done.add(next);
      for (const reader of readers.get(next) ?? []) {
        const left = waits.get(reader)! - 1;
        waits.set(reader, left);
        // What comes later in the file waits for its turn.
        if (left === 0 && passed.has(reader)) ready.push(reader);
      }
    }
  };
  for (const node of nodes) {
    if (waits.get(node) === 0) release(node);
    else passed.add(node);
  }
  const stuck = nodes.find((node) => !done.has(node));
  if (stuck)
    malformed(`Expected a graph without cycles but node ${stuck.name} (${stuck.op}) depends on itself.`);
  return order;
}
