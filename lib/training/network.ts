import type { Graph, Node, Tensor } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { gradientRule } from './rules/index.ts';
import { type Tape, TapeBuilder } from './tape.ts';
import { type NormState, type Parameter, parameter, type TapeOptions } from './training.ts';

/** A graph to train, with everything in it that can be learned. */
export interface TrainableNetwork {
  /** Channels-last. */
  graph: Graph;
  /** Weights, biases and the scales and shifts of normalizations, by name of the constant: copies. */
  parameters: Map<string, Parameter>;
  /** Running statistics by name of the normalization, copies. */
  norms: Map<string, NormState>;
}

/** Everything that training may change, copied from a channels-last graph. */
export function trainable(graph: Graph): TrainableNetwork {
  const parameters = new Map<string, Parameter>();
  const norms = new Map<string, NormState>();
  const learn = (name: string | undefined) => {
    const data = name ? graph.constants.get(name) : undefined;
    if (name && data && !parameters.has(name)) parameters.set(name, parameter(copied(data)));
  };
  for (const { node } of layersOf(graph)) for (const name of node.inputs.slice(1)) learn(name);
  for (const { op, name, inputs } of graph.nodes) {
    if (op !== 'BatchNormalization') continue;
    learn(inputs[1]);
    learn(inputs[2]);
    const [mean, variance] = [inputs[3], inputs[4]].map((constant) => copied(graph.constants.get(constant)!));
    norms.set(name, { mean, variance });
  }
  return { graph, parameters, norms };
}

const copied = ({ data }: Tensor) => Float32Array.from(data as Float32Array);

/**
 * The training step of these nodes (all of them by default) for batches of one size. Throws UNSUPPORTED_OPERATOR for an
 * operator without a gradient.
 */
export function tapeOf(
  graph: Graph,
  kernels: Kernels,
  batch: number,
  options: TapeOptions,
  nodes: readonly Node[] = graph.nodes,
): Tape {
  return new TapeBuilder(graph, kernels, batch, options).build(nodes, gradientRule);
}

/** The graph with parameters and running statistics in the place of its constants. */
export function trainedGraph({ graph, parameters, norms }: TrainableNetwork): Graph {
  const constants = new Map(graph.constants);
  const replace = (name: string, data: Float32Array) =>
    constants.set(name, { ...constants.get(name)!, data: Float32Array.from(data) });
  for (const [name, { data }] of parameters) replace(name, data);
  for (const node of graph.nodes) {
    const state = norms.get(node.name);
    if (!state) continue;
    replace(node.inputs[3], state.mean);
    replace(node.inputs[4], state.variance);
  }
  return { ...graph, constants };
}
