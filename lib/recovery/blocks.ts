import type { Graph, Node, Port } from '../graph/graph.ts';
import { aliveAfter, layers as layersOf } from '../graph/index.ts';

/** A part of the network with one value coming in and one going out. */
export interface Block {
  /** Channels-last, with the part's own input and output. */
  graph: Graph;
  input: string;
  output: string;
  /** Layers inside. */
  layers: readonly string[];
}

/** Layers that a block has at least, where the network can be cut so. */
const LEAST_LAYERS = 2;

/**
 * The network cut wherever only one value is alive, from its input to its output: residual blocks and the like stay
 * whole, chains are cut after every second layer (BRECQ: Li et al. 2021). What comes before the first layer joins its
 * block, what comes behind the last its own.
 */
export function blocksOf(graph: Graph): Block[] {
  const names = new Set(layersOf(graph).map(({ name }) => name));
  const blocks: Block[] = [];
  let first = 0;
  let input = graph.inputs[0].name;
  let count = 0;
  const rest = graph.nodes.filter(({ name }) => names.has(name)).length;
  let seen = 0;
  const aliveBy = aliveAfter(
    graph.nodes,
    graph.inputs.map(({ name }) => name),
    graph.outputs.map(({ name }) => name),
  );
  graph.nodes.forEach((node, i) => {
    if (names.has(node.name)) {
      count++;
      seen++;
    }
    const last = i === graph.nodes.length - 1;
    const alive = last ? [] : aliveBy[i];
    const cut = alive.length === 1 && count >= LEAST_LAYERS && seen < rest && graph.types.has(alive[0]);
    if (!cut && !last) return;
    const output = last ? graph.outputs[0].name : alive[0];
    blocks.push(blockOf(graph, graph.nodes.slice(first, i + 1), input, output, names));
    first = i + 1;
    input = output;
    count = 0;
  });
  return blocks.filter(({ layers }) => layers.length > 0);
}

function blockOf(
  graph: Graph,
  nodes: readonly Node[],
  input: string,
  output: string,
  names: ReadonlySet<string>,
): Block {
  const port = (name: string): Port =>
    graph.inputs.find((known) => known.name === name) ?? { name, ...graph.types.get(name)! };
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const constants = new Map([...graph.constants].filter(([name]) => read.has(name)));
  return {
    graph: { ...graph, inputs: [port(input)], outputs: [port(output)], nodes, constants },
    input,
    output,
    layers: nodes.filter(({ name }) => names.has(name)).map(({ name }) => name),
  };
}
