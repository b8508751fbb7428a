import { between } from '../engine/planning.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Node, Port, ValueType } from '../graph/graph.ts';
import { channelsLastCopy, type Origin } from '../graph/index.ts';
import { permute, toFirst, toLast } from '../graph/ops/indexing.ts';

/** Under which name a value in one layout is an input or output of a part. */
export function portName({ value, layout }: Origin): string {
  return layout === 'last' ? channelsLastCopy(value) : value;
}

/** Names of the inputs that stand for a layer's weights and bias where these are fed. */
export const fedWeights = (layer: string) => `${layer}/fed_weights`;
export const fedBias = (layer: string) => `${layer}/fed_bias`;

/**
 * The part of a graph in ONNX form between values that are fed and values that are fetched, each in either layout, as a
 * graph of its own. Weights of `layers` become inputs. Throws INTERNAL where the feeds do not lead to the fetches.
 */
export function partOf(
  graph: Graph,
  fed: readonly Origin[],
  fetched: readonly Origin[],
  layers: ReadonlySet<string>,
): Graph {
  const given = new Set(fed.map(({ value }) => value));
  const nodes = between(
    graph,
    given,
    fetched.map(({ value }) => value),
  );
  checkSources(graph, given, nodes);
  const open = nodes.filter(({ name }) => layers.has(name));
  return {
    ...graph,
    inputs: [
      ...fed.map((origin) => portOf(graph, origin)),
      ...open.flatMap((node) => weightPorts(graph, node)),
    ],
    outputs: fetched.map((origin) => portOf(graph, origin)),
    nodes: [
      ...fed
        .filter(isLast)
        .map(({ value }) => turn(channelsLastCopy(value), value, toFirst(rankOf(graph, value)))),
      ...nodes.flatMap((node) => (layers.has(node.name) ? withFedWeights(graph, node) : [node])),
      ...fetched
        .filter(isLast)
        .map(({ value }) => turn(value, channelsLastCopy(value), toLast(rankOf(graph, value)))),
    ],
    types: new Map([
      ...graph.types,
      ...[...fed, ...fetched]
        .filter(isLast)
        .map((origin): [string, ValueType] => [portName(origin), portOf(graph, origin)]),
    ]),
  };
}

const isLast = ({ layout }: Origin) => layout === 'last';

function checkSources(graph: Graph, given: ReadonlySet<string>, nodes: readonly Node[]): void {
  const made = new Set([...given, ...graph.constants.keys(), ...nodes.flatMap(({ outputs }) => outputs), '']);
  for (const { name, inputs } of nodes) {
    const missing = inputs.find((input) => !made.has(input));
    if (missing !== undefined)
      throw new SigmaQuantError(
        'INTERNAL',
        `Expected a feed for ${missing}, input of node ${name}, but received none.`,
      );
  }
}

function typeOf(graph: Graph, value: string): ValueType {
  const type = graph.types.get(value) ?? graph.inputs.find(({ name }) => name === value);
  if (type) return type;
  throw new SigmaQuantError(
    'UNSUPPORTED_MODEL',
    `Expected a known type for value ${value} but received none.`,
  );
}

const rankOf = (graph: Graph, value: string) => typeOf(graph, value).shape.length;

function portOf(graph: Graph, origin: Origin): Port {
  const { dtype, shape } = typeOf(graph, origin.value);
  return {
    name: portName(origin),
    dtype,
    shape: isLast(origin) ? permute(shape, toLast(shape.length)) : shape,
  };
}

function turn(from: string, to: string, perm: readonly number[]): Node {
  return { name: `${to}/turn`, op: 'Transpose', inputs: [from], outputs: [to], attributes: { perm } };
}

function weightPorts(graph: Graph, { name, inputs }: Node): Port[] {
  const { shape } = graph.constants.get(inputs[1])!;
  return [
    { name: fedWeights(name), dtype: 'float32', shape },
    { name: fedBias(name), dtype: 'float32', shape: shape.slice(0, 1) },
  ];
}

/** A Linear over more than two dimensions is no Gemm, whose weights need not be constant: a product and a sum. */
function withFedWeights(graph: Graph, node: Node): Node[] {
  const { name, op, inputs, outputs, attributes } = node;
  const [weights, bias] = [fedWeights(name), fedBias(name)];
  if (op === 'Conv' || rankOf(graph, inputs[0]) === 2)
    return [{ ...node, inputs: [inputs[0], weights, bias] }];
  const [turned, product] = [`${weights}/turned`, `${name}/fed_product`];
  return [
    turn(weights, turned, [1, 0]),
    { name: product, op: 'MatMul', inputs: [inputs[0], turned], outputs: [product], attributes: {} },
    { name, op: 'Add', inputs: [product, bias], outputs, attributes },
  ];
}
