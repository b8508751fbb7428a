import type { Graph } from '../graph.ts';
import { type ChannelFlow, isPositivelyHomogeneous } from './channel-flow.ts';
import { type ChannelLayer, eachBlock, isDepthwise } from './channel-layers.ts';
import { ChannelSets, DisjointSets } from './channel-sets.ts';
import type { ChannelStatistics } from './channel-statistics.ts';

/** Factors settle within a few rounds: each depends on those one layer further on. */
const ROUNDS = 20;
/** Relative change of all factors below which they have settled. */
const SETTLED = 1e-3;
/** Largest factor and, inverted, the smallest: beyond it a channel is noise, and float32 has better uses. */
const LARGEST_FACTOR = 2 ** 10;
/** Share of the squared mean that stays in a channel's spread: biases are corrected for most of it. */
const MEAN_SHARE = 0.1;

/** What channels are scaled by: ranges seen in calibration data, or the producing weights alone. */
export type ScaleSource = 'data' | 'weights';

type Pace = (work: number) => Promise<void>;

/** Sets of channels that are scaled alike, and what is known of each; arrays by set. */
interface Problem {
  layers: ReadonlyMap<string, ChannelLayer>;
  sets: ChannelSets;
  /** 1 where the factor must stay 1. */
  fixed: Uint8Array;
  /** How large the channel's values are; 0 where nothing is known. */
  range: Float64Array;
  /** Sets that meet in one value or in values that are tied: what matters is how they compare. */
  groups: number[][];
}

/**
 * Scales channels (value * factor takes the value's place): rows of the layers that make them grow, columns of those
 * that read them shrink. Changes layers; returns the factors by value.
 */
export async function scaleChannels(
  graph: Graph,
  flow: ChannelFlow,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
  source: ScaleSource,
  pace: Pace,
): Promise<Map<string, Float64Array>> {
  const sets = channelSets(graph, flow);
  const { layers, counts } = flow;
  const range = source === 'data' ? seenRanges(sets, statistics) : weightRanges(sets, layers);
  const fixed = fixedSets(graph, flow, sets, source);
  const groups = groupsOf(graph, flow, sets);
  const factors = await solve({ layers, sets, fixed, range, groups }, source, pace);
  for (const layer of layers.values()) {
    scaleLayer(layer, sets, factors);
    await pace(2 * layer.weights.length);
  }
  const byValue = new Map<string, Float64Array>();
  for (const value of counts.keys()) {
    const own = Float64Array.from(sets.all(value), (set) => factors[set]);
    if (own.some((factor) => factor !== 1)) byValue.set(value, own);
  }
  return byValue;
}

function channelSets(graph: Graph, { counts, passage }: ChannelFlow): ChannelSets {
  const sets = new ChannelSets(counts);
  for (const node of graph.nodes)
    passage(node)?.ties(
      node,
      (value) => counts.get(value)!,
      (input, from, to) => sets.join(node.inputs[input], from, node.outputs[0], to),
    );
  return sets;
}

/**
 * Network inputs and outputs, and all that an operator touches through which scaling does not go. With data, also what
 * others than depthwise layers read: a depthwise row has one input channel and a scale of its own, so that its rounding
 * does not change, while that of other rows would (docs/equalization.md has what it does to them).
 */
function fixedSets(
  graph: Graph,
  { layers, passage }: ChannelFlow,
  sets: ChannelSets,
  source: ScaleSource,
): Uint8Array {
  const fixed = new Uint8Array(sets.size);
  const fix = (value: string) => {
    for (const set of sets.all(value)) fixed[set] = 1;
  };
  for (const { name } of [...graph.inputs, ...graph.outputs]) fix(name);
  for (const node of graph.nodes) {
    const layer = layers.get(node.name);
    if (!isPositivelyHomogeneous(node)) fix(node.outputs[0]);
    if (!layer && !passage(node)) [...node.inputs, ...node.outputs].forEach(fix);
    if (layer && source === 'data' && !isDepthwise(layer)) fix(node.inputs[0]);
  }
  return fixed;
}

/** √(largest · spread): the largest alone would let one outlier set a channel's factor, the spread alone clips it. */
function seenRanges(
  sets: ChannelSets,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
): Float64Array {
  const range = new Float64Array(sets.size);
  for (const [value, { min, max, mean, power }] of statistics ?? [])
    for (const [channel, set] of sets.all(value).entries()) {
      const largest = Math.max(max[channel], -min[channel]);
      const variance = power[channel] - (1 - MEAN_SHARE) * mean[channel] ** 2;
      const own = Math.sqrt(largest * Math.sqrt(Math.max(variance, 0)));
      range[set] = Math.max(range[set], own);
    }
  return range;
}

/** Largest absolute weight per block of taps, [rows][channels]. */
function blockMaxima({ weights, taps }: ChannelLayer): Float64Array {
  return Float64Array.from({ length: weights.length / taps }, (_, block) => {
    let largest = 0;
    for (let i = block * taps; i < (block + 1) * taps; i++) largest = Math.max(largest, Math.abs(weights[i]));
    return largest;
  });
}

/** The largest weight of the rows that make a channel: Nagel et al. 2019. */
function weightRanges(sets: ChannelSets, layers: ReadonlyMap<string, ChannelLayer>): Float64Array {
  const range = new Float64Array(sets.size);
  for (const layer of layers.values()) {
    const to = sets.all(layer.node.outputs[0]);
    blockMaxima(layer).forEach((largest, block) => {
      const set = to[Math.floor(block / layer.channels)];
      range[set] = Math.max(range[set], largest);
    });
  }
  return range;
}

function groupsOf(graph: Graph, { counts, passage }: ChannelFlow, sets: ChannelSets): number[][] {
  const index = new Map([...counts.keys()].map((value, i) => [value, i]));
  const tied = new DisjointSets(index.size);
  for (const node of graph.nodes)
    if (passage(node))
      for (const input of node.inputs) tied.join(index.get(input)!, index.get(node.outputs[0])!);
  const groups = new Map<number, Set<number>>();
  for (const value of counts.keys()) {
    const root = tied.find(index.get(value)!);
    const group = groups.get(root) ?? new Set();
    for (const set of sets.all(value)) group.add(set);
    groups.set(root, group);
  }
  return [...groups.values()].map((group) => [...group]);
}

async function solve(problem: Problem, source: ScaleSource, pace: Pace): Promise<Float64Array> {
  const { sets, groups } = problem;
  const factors = new Float64Array(sets.size).fill(1);
  const idealOf = source === 'data' ? idealByData(problem, pace) : idealByWeights(problem, pace);
  for (let round = 0; round < ROUNDS; round++) {
    const before = factors.slice();
    const ideal = await idealOf(factors);
    for (const group of groups) place(group, ideal, problem, factors);
    if (factors.every((factor, set) => Math.abs(factor / before[set] - 1) < SETTLED)) break;
  }
  return factors;
}

/** What factors would best be, up to a multiple per group, given the present ones. */
type Ideal = (factors: Float64Array) => Promise<Float64Array>;

/**
 * ours: (demand / range³)^¼ with demand the length of the weights that read a channel. Ranges alone (1 / range) would
 * be best if the quantizer never clipped; with the square root of demand / range every channel's noise counts by what
 * reads it. Halfway between the two lost nowhere.
 */
function idealByData({ layers, sets, range }: Problem, pace: Pace): Ideal {
  const readers = [...layers.values()].filter(isDepthwise).map((layer) => ({
    layer,
    to: sets.all(layer.node.outputs[0]),
    from: sets.all(layer.node.inputs[0]),
  }));
  return async (factors) => {
    const squares = new Float64Array(sets.size);
    for (const { layer, to, from } of readers) {
      eachBlock(layer, (row, input, offset) => {
        for (let i = offset; i < offset + layer.taps; i++)
          squares[from[input]] += (layer.weights[i] * factors[to[row]]) ** 2;
      });
      await pace(2 * layer.weights.length);
    }
    return squares.map((square, set) =>
      square > 0 && range[set] > 0 ? Math.sqrt(Math.sqrt(Math.sqrt(square) / range[set] ** 3)) : 0,
    );
  };
}

/** √(r1 · r2) / r1 with r1 the range of the rows that make a channel, r2 of the weights that read it. */
function idealByWeights({ layers, sets, range }: Problem, pace: Pace): Ideal {
  const known = [...layers.values()].map((layer) => ({
    layer,
    to: sets.all(layer.node.outputs[0]),
    from: sets.all(layer.node.inputs[0]),
    maxima: blockMaxima(layer),
  }));
  return async (factors) => {
    const [reading, making] = [new Float64Array(sets.size), new Float64Array(sets.size)];
    for (const { layer, to, from, maxima } of known) {
      eachBlock(layer, (row, input, offset) => {
        const [target, source] = [to[row], from[input]];
        const largest = maxima[offset / layer.taps];
        reading[source] = Math.max(reading[source], largest * factors[target]);
        making[target] = Math.max(making[target], largest / factors[source]);
      });
      await pace(4 * maxima.length);
    }
    return range.map((own, set) => (own > 0 && making[set] > 0 ? Math.sqrt(reading[set] / making[set]) : 0));
  };
}

/** Factors of one group from their ideals: the largest channel (among fixed ones, if any) stays as large as it is. */
function place(
  group: readonly number[],
  ideal: Float64Array,
  { fixed, range }: Problem,
  factors: Float64Array,
) {
  const known = group.filter((set) => ideal[set] > 0);
  const anchors = known.some((set) => fixed[set]) ? known.filter((set) => fixed[set]) : known;
  if (anchors.every((set) => fixed[set]) && known.every((set) => fixed[set])) return;
  const largest = (size: (set: number) => number) =>
    anchors.reduce((most, set) => Math.max(most, size(set)), 0);
  const level = largest((set) => range[set]) / largest((set) => range[set] * ideal[set]);
  for (const set of known)
    if (!fixed[set])
      factors[set] = Math.min(Math.max(ideal[set] * level, 1 / LARGEST_FACTOR), LARGEST_FACTOR);
}

function scaleLayer(layer: ChannelLayer, sets: ChannelSets, factors: Float64Array): void {
  const { weights, bias, taps, node } = layer;
  const [to, from] = [sets.all(node.outputs[0]), sets.all(node.inputs[0])];
  if ([to, from].every((own) => own.every((set) => factors[set] === 1))) return;
  eachBlock(layer, (row, input, offset) => {
    const factor = factors[to[row]] / factors[from[input]];
    for (let i = offset; i < offset + taps; i++) weights[i] *= factor;
  });
  for (let row = 0; row < bias.length; row++) bias[row] *= factors[to[row]];
}
