import type { Node } from './graph.ts';

/**
 * After each node, in execution order: the values that exist and are read later, by a node or as an output. Inputs count,
 * constants do not.
 */
export function aliveAfter(
  nodes: readonly Node[],
  inputs: readonly string[],
  outputs: readonly string[],
): string[][] {
  const lastRead = new Map<string, number>();
  for (const [i, node] of nodes.entries()) for (const input of node.inputs) lastRead.set(input, i);
  for (const output of outputs) lastRead.set(output, nodes.length);
  let alive = new Set(inputs);
  return nodes.map((node, i) => {
    for (const output of node.outputs) alive.add(output);
    alive = new Set([...alive].filter((name) => (lastRead.get(name) ?? -1) > i));
    return [...alive];
  });
}
