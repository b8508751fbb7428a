import type { Graph, Node } from '../graph.ts';
import { clampOf } from '../ops/elementwise.ts';
import type { ChannelFlow } from './channel-flow.ts';
import { type ChannelLayer, eachBlock } from './channel-layers.ts';
import type { ChannelStatistics } from './channel-statistics.ts';

/** A row whose weights are all below this share of the layer's largest does nothing but add its bias. */
const DEAD = 2 ** -20;

/**
 * Values whose channels may be shifted by constants that everybody who reads them takes back: made by layers, or
 * by operators that pass a shift on, and read by layers that see no padding, or by operators that pass it on.
 */
function shiftableValues(graph: Graph, { layers, passage }: ChannelFlow): Set<string> {
  const shiftable = new Set<string>();
  for (const node of graph.nodes)
    if (layers.has(node.name) || (passage(node)?.shifts(node) && isLinear(node)))
      shiftable.add(node.outputs[0]);
  for (const { name } of graph.outputs) shiftable.delete(name);
  const passes = (node: Node, value: string): boolean => {
    const layer = layers.get(node.name);
    if (layer) return !layer.padded && node.inputs.lastIndexOf(value) === 0;
    return shiftable.has(node.outputs[0]) && (passage(node)?.shifts(node) ?? false);
  };
  // What cannot be passed on cannot be received: until nothing changes.
  for (let before = -1; before !== shiftable.size; ) {
    before = shiftable.size;
    for (const node of graph.nodes)
      for (const value of node.inputs)
        if (shiftable.has(value) && !passes(node, value)) shiftable.delete(value);
  }
  return shiftable;
}

const isLinear = (node: Node) => {
  const [low, high] = clampOf(node);
  return low === Number.NEGATIVE_INFINITY && high === Number.POSITIVE_INFINITY;
};

export interface ShiftOptions {
  /** Channels that are constant become 0. */
  constants: boolean;
  /** Channels of values without activation function get a mean of 0; needs statistics. */
  centre: boolean;
  pace: (work: number) => Promise<void>;
}

/**
 * Moves constants from values into the biases of those who read them: value - shift takes the value's place. Changes
 * layers; returns the shifts by value.
 */
export async function shiftChannels(
  graph: Graph,
  flow: ChannelFlow,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
  options: ShiftOptions,
): Promise<Map<string, Float64Array>> {
  const { layers } = flow;
  const shiftable = shiftableValues(graph, flow);
  const shifts = new Map<string, Float64Array>();
  const silent = new Map<string, Uint8Array>();
  for (const node of graph.nodes) {
    const layer = layers.get(node.name);
    const [input, output] = [node.inputs[0], node.outputs[0]];
    if (!layer) {
      passOn(node, flow, shifts, silent);
      continue;
    }
    const given = shifts.get(input);
    if (given) takeBack(layer, given);
    const shift = new Float64Array(layer.rows);
    if (options.constants) {
      const heard = silent.get(input);
      if (heard) forgetSilent(layer, heard);
      silent.set(output, silenceConstants(layer, shiftable.has(output), shift));
    }
    if (options.centre && shiftable.has(output) && isLinear(node))
      centreChannels(layer, statistics?.get(output)?.mean, shift);
    if (shift.some((value) => value !== 0)) shifts.set(output, shift);
    await options.pace(4 * layer.weights.length);
  }
  return shifts;
}

/** Sums of shifts; a channel is silent where all that it comes from is. */
function passOn(
  node: Node,
  { counts, passage }: ChannelFlow,
  shifts: Map<string, Float64Array>,
  silent: Map<string, Uint8Array>,
): void {
  const known = passage(node);
  if (!known) return;
  const [output] = node.outputs;
  const channels = counts.get(output)!;
  const [shift, loud, tied] = [
    new Float64Array(channels),
    new Uint8Array(channels),
    new Uint8Array(channels),
  ];
  known.ties(
    node,
    (value) => counts.get(value)!,
    (input, from, to) => {
      shift[to] += shifts.get(node.inputs[input])?.[from] ?? 0;
      if (!silent.get(node.inputs[input])?.[from]) loud[to] = 1;
      tied[to] = 1;
    },
  );
  if (shift.some((value) => value !== 0)) shifts.set(output, shift);
  if (holdsZero(node))
    silent.set(
      output,
      tied.map((own, channel) => own & ~loud[channel]),
    );
}

/** True where a bound does not make something else of 0. */
function holdsZero(node: Node): boolean {
  const [low, high] = clampOf(node);
  return low <= 0 && high >= 0;
}

/** The layer's input is smaller by `shift`: its bias makes up for it. */
function takeBack(layer: ChannelLayer, shift: Float64Array): void {
  eachBlock(layer, (row, input, offset) => {
    for (let i = offset; shift[input] !== 0 && i < offset + layer.taps; i++)
      layer.bias[row] += layer.weights[i] * shift[input];
  });
}

/** Weights of channels that are always 0 say nothing, but would count in the layer's sigma and scales. */
function forgetSilent(layer: ChannelLayer, silent: Uint8Array): void {
  eachBlock(layer, (_, input, offset) => {
    if (silent[input]) layer.weights.fill(0, offset, offset + layer.taps);
  });
}

/**
 * Rows without weights give a constant, by their bias: 0 and what every reader knows is a waste of the value's range.
 * Where a reader pads with zeros the constant stays, for at the border there is none. Returns 1 for rows that are 0.
 */
function silenceConstants(layer: ChannelLayer, shiftable: boolean, shift: Float64Array): Uint8Array {
  const { weights, bias, rows, node } = layer;
  const [low, high] = clampOf(node);
  const k = weights.length / rows;
  const largest = weights.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const silent = new Uint8Array(rows);
  for (let row = 0; row < rows && holdsZero(node); row++) {
    const own = weights.subarray(row * k, (row + 1) * k);
    if (!own.every((value) => Math.abs(value) <= DEAD * largest)) continue;
    const constant = Math.min(Math.max(bias[row], low), high);
    if (!shiftable && constant !== 0) continue;
    own.fill(0);
    bias[row] = 0;
    shift[row] = constant;
    silent[row] = 1;
  }
  return silent;
}

/**
 * Means of sums are sums of means, so all values of a residual chain can have a mean of 0 at once; and where nothing
 * clips, the function stays what it was whatever the statistics say.
 */
function centreChannels(layer: ChannelLayer, mean: Float64Array | undefined, shift: Float64Array): void {
  const k = layer.weights.length / layer.rows;
  for (let row = 0; mean && row < layer.rows; row++) {
    const own = layer.weights.subarray(row * k, (row + 1) * k);
    if (own.every((value) => value === 0)) continue;
    shift[row] = mean[row];
    layer.bias[row] -= mean[row];
  }
}
