import { SigmaQuantError } from '../errors.ts';
import { prune } from './draft.ts';
import type { Graph, Node, Tensor } from './graph.ts';
import { permute, toFirst, toLast, transpose } from './ops/indexing.ts';
import { ints } from './ops/operator.ts';
import { OPERATORS, type Operator } from './ops.ts';
import { RENAMED } from './renamed-axes.ts';
import { symbolicTypes } from './simplify.ts';

/** What a value's copy in the other layout is called: the value's name and this. */
const LAST = '/channels_last';
const FIRST = '/channels_first';

/**
 * The channels-last form: spatial operators on NHWC, elementwise and axis operators in the layout of their input, a
 * Transpose where the layout really changes. Values keep their names; a copy in the other layout has a suffix.
 * Inputs and outputs keep ONNX's layout under their own names.
 */
export function toChannelsLast(graph: Graph): Graph {
  if (graph.layout === 'channels-last') return graph;
  const pass = new LayoutPass(graph);
  for (const node of graph.nodes) pass.add(node);
  return pass.finish();
}

class LayoutPass {
  readonly #graph: Graph;
  readonly #nodes: Node[] = [];
  readonly #constants: Map<string, Tensor>;
  readonly #uses = new Map<string, number>();
  readonly #outputs: ReadonlySet<string>;
  /** Names under which values exist in each layout; values of rank < 3 count as ONNX's. */
  readonly #first = new Map<string, string>();
  readonly #last = new Map<string, string>();
  /** Of values whose sizes are not known: spatial operators keep their input's rank. */
  readonly #ranks = new Map<string, number>();
  /** Transposes of the result, by output. */
  readonly #transposes = new Map<string, { source: string; perm: readonly number[] }>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#constants = new Map(graph.constants);
    this.#outputs = new Set(graph.outputs.map(({ name }) => name));
    for (const { name } of graph.inputs) this.#first.set(name, name);
    for (const { inputs } of graph.nodes)
      for (const input of inputs) this.#uses.set(input, (this.#uses.get(input) ?? 0) + 1);
  }

  add(node: Node): void {
    const row = OPERATORS.get(node.op);
    const [data] = node.inputs;
    if (row?.layout === 'spatial') this.#spatial(node, row);
    else if ((row?.layout === 'elementwise' || this.#isPerTensor(node)) && this.#follows(node))
      this.#elementwise(node);
    else if (row?.layout === 'axis' && this.#isLast(data) && this.#axis(node)) return;
    else if (this.#isLast(data) && this.#viewed(node)) return;
    else
      this.#emit(
        node,
        node.inputs.map((name) => this.#asFirst(name)),
        () => 'first',
      );
  }

  finish(): Graph {
    const { name, opset, inputs, outputs, rawSigma } = this.#graph;
    const nodes = prune(this.#nodes, this.#outputs, this.#constants);
    const graph = { name, opset, inputs, outputs, nodes, constants: this.#constants, rawSigma } as const;
    const types = symbolicTypes({ ...graph, layout: 'channels-last' });
    return { ...graph, types, layout: 'channels-last' };
  }

  #rank(value: string): number | undefined {
    const type = this.#constants.get(value) ?? this.#graph.types.get(value);
    return type?.shape.length ?? this.#ranks.get(value);
  }

  #isLast(value: string | undefined): boolean {
    return value !== undefined && this.#last.has(value) && !this.#graph.constants.has(value);
  }

  // ---- reading ----

  #asFirst(value: string): string {
    if (value === '' || this.#constants.has(value)) return value;
    const name = this.#first.get(value);
    if (name !== undefined) return name;
    const rank = this.#rank(value)!;
    const copy = this.#outputs.has(value) ? value : value + FIRST;
    this.#first.set(value, copy);
    this.#transpose(this.#last.get(value)!, copy, toFirst(rank));
    return copy;
  }

  #asLast(value: string, node: Node): string {
    const known = this.#last.get(value);
    if (known !== undefined) return known;
    const rank = this.#rank(value);
    if (rank === undefined)
      throw new SigmaQuantError(
        'UNSUPPORTED_MODEL',
        `Expected a known shape for ${JSON.stringify(value)}, input of node ${node.name} (${node.op}), but received one that depends on data.`,
      );
    if (rank < 3) return this.#asFirst(value);
    const tensor = this.#graph.constants.get(value);
    const copy = tensor ? this.#lastConstant(value, tensor, rank) : value + LAST;
    if (!tensor) {
      const source = this.#asFirst(value);
      const before = this.#transposes.get(source);
      const perm = before ? permute(before.perm, toLast(rank)) : [];
      if (before && perm.every((axis, i) => axis === i)) return this.#record(value, before.source);
      this.#transpose(source, copy, toLast(rank));
    }
    return this.#record(value, copy);
  }

  #record(value: string, name: string): string {
    this.#last.set(value, name);
    return name;
  }

  /** A constant of the given rank (leading axes of 1 are added), under its own name where it has one reader. */
  #lastConstant(name: string, tensor: Tensor, rank: number): string {
    const shape = [...new Array<number>(rank - tensor.shape.length).fill(1), ...tensor.shape];
    const turned = transpose({ ...tensor, shape }, toLast(rank));
    if (this.#uses.get(name) === 1 && !this.#outputs.has(name)) {
      this.#constants.set(name, turned);
      return name;
    }
    return this.#store(name + LAST, turned);
  }

  #store(name: string, tensor: Tensor): string {
    let free = name;
    for (let i = 2; this.#constants.has(free); i++) free = `${name}_${i}`;
    this.#constants.set(free, tensor);
    return free;
  }

  // ---- writing ----

  #transpose(from: string, to: string, perm: readonly number[]): void {
    this.#transposes.set(to, { source: from, perm });
    this.#nodes.push({
      name: `${to}/transpose`,
      op: 'Transpose',
      inputs: [from],
      outputs: [to],
      attributes: { perm },
    });
  }

  /** Adds a node; outputs of rank >= 3 come out in the layout given. */
  #emit(node: Node, inputs: readonly string[], layout: (output: string) => 'first' | 'last'): void {
    const late: string[] = [];
    const outputs = node.outputs.map((name) => {
      if (name === '') return name;
      if (layout(name) === 'first' || (this.#rank(name) ?? 0) < 3) {
        this.#first.set(name, name);
        return name;
      }
      if (this.#outputs.has(name)) late.push(name);
      return this.#record(name, this.#outputs.has(name) ? name + LAST : name);
    });
    if (node.op === 'Transpose')
      this.#transposes.set(outputs[0], { source: inputs[0], perm: ints(node, 'perm')! });
    this.#nodes.push({ ...node, inputs, outputs });
    for (const name of late) this.#asFirst(name);
  }

  // ---- the roles ----

  #spatial(node: Node, { permuted = [0] }: Operator): void {
    const inputs = node.inputs.map((name, i) =>
      permuted.includes(i) && name !== '' ? this.#asLast(name, node) : this.#asFirst(name),
    );
    for (const output of node.outputs) this.#ranks.set(output, this.#rank(node.inputs[0])!);
    this.#emit(node, inputs, () => 'last');
  }

  /** True where an elementwise node has a channels-last input and nothing that could not be turned as well. */
  #follows(node: Node): boolean {
    const rank = this.#rank(node.outputs[0]);
    if (rank === undefined || rank < 3 || !node.inputs.some((name) => this.#isLast(name))) return false;
    return node.inputs.every(
      (name) => name === '' || this.#graph.constants.has(name) || this.#rank(name) === rank,
    );
  }

  /** Quantizing with one scale for all: no axis says where a scale belongs. */
  #isPerTensor({ op, inputs }: Node): boolean {
    const isOne = (name: string) => name === '' || this.#graph.constants.get(name)?.data.length === 1;
    return (op === 'QuantizeLinear' || op === 'DequantizeLinear') && inputs.slice(1).every(isOne);
  }

  #elementwise(node: Node): void {
    const rank = this.#rank(node.outputs[0])!;
    const inputs = node.inputs.map((name) => {
      const tensor = this.#graph.constants.get(name);
      if (name === '' || tensor?.data.length === 1) return name;
      return tensor ? this.#lastConstant(name, tensor, rank) : this.#asLast(name, node);
    });
    this.#emit(node, inputs, () => 'last');
  }

  #axis(node: Node): boolean {
    const rank = this.#rank(node.inputs[0])!;
    const renamed = RENAMED[node.op]?.(node, {
      rank,
      opset: this.#graph.opset,
      rankOf: (value) => this.#rank(value),
      constant: (value) => this.#graph.constants.get(value),
      store: (name, tensor) => this.#store(name, tensor),
    });
    if (!renamed) return false;
    const data = node.op === 'Concat' ? node.inputs.length : 1;
    const inputs = renamed.node.inputs.map((name, i) =>
      i < data ? this.#asLast(name, node) : this.#asFirst(name),
    );
    this.#emit(renamed.node, inputs, () => renamed.output);
    return true;
  }

  /** Flatten and Reshape of values whose elements lie in the same order in both layouts. */
  #viewed(node: Node): boolean {
    const [data] = node.inputs;
    const shape = this.#graph.types.get(data)?.shape;
    if (!shape || node.inputs.length !== 1) return false;
    const wide = toLast(shape.length).filter((axis) => shape[axis] !== 1);
    if (wide.some((axis, i) => i > 0 && axis < wide[i - 1])) return false;
    const input = this.#last.get(data)!;
    if (node.op === 'Flatten' && node.attributes['axis'] === 1) {
      this.#emit(node, [input], () => 'first');
      return true;
    }
    const sizes = node.op === 'Reshape' ? ints(node, 'shape') : undefined;
    if (!sizes) return false;
    // Copied sizes are those of ONNX's axes.
    const fixed = sizes.map((size, axis) => (size === 0 && axis > 0 ? shape[axis] : size));
    if (fixed.some((size) => typeof size === 'string')) return false;
    this.#emit({ ...node, attributes: { shape: fixed as number[] } }, [input], () => 'first');
    return true;
  }
}
