import type { Graph, Node, Port, Tensor, ValueType } from './graph.ts';

/** A graph while it is being simplified: passes replace `nodes` and add constants. */
export class Draft {
  readonly name: string;
  readonly opset: number;
  readonly layout = 'onnx';
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly constants: Map<string, Tensor>;
  readonly rawSigma = new Map<string, number>();
  readonly given: ReadonlyMap<string, ValueType> | undefined;
  readonly #outputNames: ReadonlySet<string>;
  nodes: Node[];

  constructor(graph: Graph) {
    this.name = graph.name;
    this.opset = graph.opset;
    this.inputs = graph.inputs;
    this.outputs = graph.outputs;
    this.nodes = [...graph.nodes];
    this.constants = new Map(graph.constants);
    this.given = graph.given;
    this.#outputNames = new Set(graph.outputs.map(({ name }) => name));
  }

  isOutput(value: string): boolean {
    return this.#outputNames.has(value);
  }

  /** How often each value is read by nodes. */
  uses(): Map<string, number> {
    const uses = new Map<string, number>();
    for (const { inputs } of this.nodes)
      for (const input of inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
    return uses;
  }

  /** The node that makes each value. */
  producers(): Map<string, Node> {
    return new Map(this.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  }

  /** Stores a tensor under the first free name that starts with `name`. */
  store(name: string, tensor: Tensor): string {
    let free = name;
    for (let i = 2; this.constants.has(free); i++) free = `${name}_${i}`;
    this.constants.set(free, tensor);
    return free;
  }

  /** Replaces a constant for one reader: under its own name where nobody else reads it. */
  replace(name: string, tensor: Tensor, reader: Node, uses: ReadonlyMap<string, number>): string {
    if ((uses.get(name) ?? 0) > 1 || this.isOutput(name)) return this.store(`${reader.name}.${name}`, tensor);
    this.constants.set(name, tensor);
    return name;
  }

  /** Drops nodes and constants that lead to no output. */
  prune(): void {
    this.nodes = prune(this.nodes, this.#outputNames, this.constants);
  }
}

/** The nodes that lead to outputs; drops constants that nobody needs. */
export function prune(
  nodes: readonly Node[],
  outputs: Iterable<string>,
  constants: Map<string, Tensor>,
): Node[] {
  const needed = new Set(outputs);
  const kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) needed.add(input);
    kept.push(node);
  }
  for (const name of constants.keys()) if (!needed.has(name)) constants.delete(name);
  return kept.reverse();
}
