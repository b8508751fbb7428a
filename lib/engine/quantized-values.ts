import type { Graph, Node } from '../graph/graph.ts';
import { clampOf } from './geometry.ts';

/** Operators that only move or choose values: their output has their first input's quantizer. */
const MOVES = new Set([
  'MaxPool',
  'Flatten',
  'Reshape',
  'Transpose',
  'Slice',
  'Squeeze',
  'Unsqueeze',
  'Identity',
  'Split',
  'DepthToSpace',
  'SpaceToDepth',
]);
/** Never negative, whatever comes in. */
const NON_NEGATIVE = new Set(['Relu', 'Sigmoid', 'HardSigmoid', 'Softmax', 'Softplus', 'Exp', 'Abs', 'Sqrt']);

/** Who makes and who reads each value. */
interface Wiring {
  producers: ReadonlyMap<string, Node>;
  consumers: ReadonlyMap<string, readonly Node[]>;
}

const wirings = new WeakMap<Graph, Wiring>();

function wiringOf(graph: Graph): Wiring {
  let wiring = wirings.get(graph);
  if (!wiring) {
    const producers = new Map<string, Node>();
    const consumers = new Map<string, Node[]>();
    for (const node of graph.nodes) {
      for (const output of node.outputs) if (output) producers.set(output, node);
      for (const input of new Set(node.inputs)) {
        const readers = consumers.get(input);
        if (readers) readers.push(node);
        else consumers.set(input, [node]);
      }
    }
    wirings.set(graph, (wiring = { producers, consumers }));
  }
  return wiring;
}

/**
 * True where the output has the quantizer of the first input: MaxPool, Flatten, Reshape, Transpose, Slice and
 * other moves, and Pad where what it adds is zero or comes from the input.
 */
export function inheritsQuantizer(node: Node): boolean {
  if (node.op === 'MaxPool') return node.outputs.length === 1;
  if (node.op === 'Pad') return node.attributes['mode'] !== 'constant' || node.attributes['value'] === 0;
  return MOVES.has(node.op);
}

/** The inputs whose integers a node computes with; null for what can only run in float. */
export function integerInputs(graph: Graph, node: Node): readonly string[] | null {
  const data = (names: readonly string[]) =>
    names.every((name) => !graph.constants.has(name) && isFloat(graph, name)) ? names : null;
  const { inputs } = node;
  switch (node.op) {
    case 'Conv':
    case 'Linear': {
      const bias = inputs[2];
      const constant = graph.constants.has(inputs[1]) && (!bias || graph.constants.has(bias));
      const spatial = (graph.types.get(inputs[0])?.shape.length ?? 0) - 2;
      return constant && (node.op === 'Linear' || spatial === 1 || spatial === 2)
        ? data(inputs.slice(0, 1))
        : null;
    }
    case 'Add':
      return sameShape(graph, inputs[0], inputs[1]) ? data(inputs) : null;
    case 'Concat':
      return data(inputs);
    case 'AveragePool':
    case 'GlobalAveragePool':
      return data(inputs.slice(0, 1));
    default:
      return null;
  }
}

const isFloat = (graph: Graph, value: string) => graph.types.get(value)?.dtype === 'float32';

function sameShape(graph: Graph, a: string, b: string): boolean {
  const [left, right] = [graph.types.get(a)?.shape, graph.types.get(b)?.shape];
  return (
    left !== undefined && left.length === right?.length && left.every((length, i) => length === right[i])
  );
}

/** The value whose quantizer `value` has: itself, or what the operators before it only moved. */
export function quantizerOf(graph: Graph, value: string): string {
  const { producers } = wiringOf(graph);
  for (let node = producers.get(value); node && inheritsQuantizer(node); node = producers.get(value))
    value = node.inputs[0];
  return value;
}

export interface QuantizedValue {
  value: string;
  /** Zero point 0 without looking at data: behind a Relu, a Clip from 0 up, a Sigmoid ... */
  nonNegativeByConstruction: boolean;
}

/**
 * The values that need a quantizer of their own, in graph order: network inputs and float results that are read
 * by integer operators, and results of integer operators unless they lead to network outputs only.
 */
export function quantizedValues(graph: Graph): QuantizedValue[] {
  const { producers, consumers } = wiringOf(graph);
  const fed = new Set<string>(); // read by an integer operator, perhaps after moves
  const leads = new Set<string>(); // something behind it is read by an integer operator
  const visit = (value: string): void => {
    for (const node of consumers.get(value) ?? []) {
      if (integerInputs(graph, node)?.includes(value)) fed.add(value);
      if (inheritsQuantizer(node) && node.inputs[0] === value && node.outputs.some((out) => fed.has(out)))
        fed.add(value);
      if (node.outputs.some((out) => leads.has(out))) leads.add(value);
    }
    if (fed.has(value)) leads.add(value);
  };
  for (let i = graph.nodes.length - 1; i >= 0; i--) graph.nodes[i].outputs.forEach(visit);
  for (const { name } of graph.inputs) visit(name);

  const values = [
    ...graph.inputs.map(({ name }) => name).filter((name) => fed.has(name)),
    ...graph.nodes
      .filter((node) => !inheritsQuantizer(node))
      .flatMap((node) => {
        const needed = integerInputs(graph, node) ? leads : fed;
        return node.outputs.filter((output) => needed.has(output) && isFloat(graph, output));
      }),
  ];
  const known = new Map<string, boolean>();
  return values.map((value) => ({
    value,
    nonNegativeByConstruction: isNonNegative(value, producers, known),
  }));
}

function isNonNegative(
  value: string,
  producers: ReadonlyMap<string, Node>,
  known: Map<string, boolean>,
): boolean {
  const before = known.get(value);
  if (before !== undefined) return before;
  const node = producers.get(value);
  const inputs = () => node!.inputs.every((input) => isNonNegative(input, producers, known));
  let result = false;
  if (node) {
    if (NON_NEGATIVE.has(node.op) || clampOf(node)[0] >= 0) result = true;
    else if (['Add', 'Concat', 'Mul'].includes(node.op)) result = inputs();
    else if (inheritsQuantizer(node) || ['AveragePool', 'GlobalAveragePool'].includes(node.op))
      result = isNonNegative(node.inputs[0], producers, known);
  }
  known.set(value, result);
  return result;
}
