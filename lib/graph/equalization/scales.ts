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

/** Sets of channels that are scaled alike, and what is known of each; arrays by set. */
interface Problem {
  layers: ReadonlyMap<string, ChannelLayer>;
  sets: ChannelSets;
  /** 1 where the factor must stay 1. */
  fixed: Uint8Array;
  /** How large the channel's values are; 0 where nothing is known. */
  range: Float64Array;
  /** 1 where only depthwise layers read the channel: their weights do not mind. */
  depthwise: Uint8Array;
  /** Sets that meet in one value or in values that are tied: what matters is how they compare. */
  groups: number[][];
}

/**
 * Scales channels (value * factor takes the value's place): rows of the layers that make them grow, columns of those
 * that read them shrink. Changes layers; returns the factors by value.
 */
export function scaleChannels(
  graph: Graph,
  flow: ChannelFlow,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
  source: ScaleSource,
): Map<string, Float64Array> {
  const sets = channelSets(graph, flow);
  const { layers, counts } = flow;
  const range = source === 'data' ? seenRanges(sets, statistics, counts) : weightRanges(sets, layers);
  const fixed = fixedSets(graph, flow, sets, source);
  const depthwise = depthwiseSets(sets, layers);
  const groups = groupsOf(graph, flow, sets);
  const factors = solve({ layers, sets, fixed, range, depthwise, groups }, source);
  for (const layer of layers.values()) scaleLayer(layer, sets, factors);
  const byValue = new Map<string, Float64Array>();
  for (const [value, count] of counts) {
    const own = Float64Array.from({ length: count }, (_, channel) => factors[sets.of(value, channel)]);
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
 * no depthwise layer makes or reads: there scaling gained nothing (docs/equalization.md).
 */
function fixedSets(
  graph: Graph,
  { layers, counts, passage }: ChannelFlow,
  sets: ChannelSets,
  source: ScaleSource,
): Uint8Array {
  const values = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  for (const node of graph.nodes) {
    const layer = layers.has(node.name);
    if (!isPositivelyHomogeneous(node)) values.add(node.outputs[0]);
    if (!layer && !passage(node)) for (const value of [...node.inputs, ...node.outputs]) values.add(value);
    // A layer's own weights and bias are constants, unless the network computes them.
    if (layer) for (const value of node.inputs.slice(1)) values.add(value);
  }
  const fixed = new Uint8Array(sets.size).fill(source === 'data' ? 1 : 0);
  const each = (value: string, mark: 0 | 1) => {
    for (let channel = 0; channel < (counts.get(value) ?? 0); channel++)
      fixed[sets.of(value, channel)] = mark;
  };
  for (const layer of layers.values())
    if (isDepthwise(layer)) for (const value of [layer.node.inputs[0], layer.node.outputs[0]]) each(value, 0);
  for (const value of values) each(value, 1);
  return fixed;
}

/** √(largest · spread): the largest alone would let one outlier set a channel's factor, the spread alone clips it. */
function seenRanges(
  sets: ChannelSets,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
  counts: ReadonlyMap<string, number>,
): Float64Array {
  const range = new Float64Array(sets.size);
  for (const [value, { min, max, mean, power }] of statistics ?? [])
    for (let channel = 0; channel < (counts.get(value) ?? 0); channel++) {
      const largest = Math.max(max[channel], -min[channel]);
      const variance = power[channel] - (1 - MEAN_SHARE) * mean[channel] ** 2;
      const own = Math.sqrt(largest * Math.sqrt(Math.max(variance, 0)));
      const set = sets.of(value, channel);
      range[set] = Math.max(range[set], own);
    }
  return range;
}

/** The largest weight of the rows that make a channel: Nagel et al. 2019. */
function weightRanges(sets: ChannelSets, layers: ReadonlyMap<string, ChannelLayer>): Float64Array {
  const range = new Float64Array(sets.size);
  for (const { weights, rows, node } of layers.values()) {
    const k = weights.length / rows;
    for (let i = 0; i < weights.length; i++) {
      const set = sets.of(node.outputs[0], Math.floor(i / k));
      range[set] = Math.max(range[set], Math.abs(weights[i]));
    }
  }
  return range;
}

function depthwiseSets(sets: ChannelSets, layers: ReadonlyMap<string, ChannelLayer>): Uint8Array {
  const depthwise = new Uint8Array(sets.size).fill(1);
  for (const layer of layers.values())
    if (!isDepthwise(layer))
      eachBlock(layer, (_, input) => {
        depthwise[sets.of(layer.node.inputs[0], input)] = 0;
      });
  return depthwise;
}

function groupsOf(graph: Graph, { counts, passage }: ChannelFlow, sets: ChannelSets): number[][] {
  const index = new Map([...counts.keys()].map((value, i) => [value, i]));
  const tied = new DisjointSets(index.size);
  for (const node of graph.nodes)
    if (passage(node))
      for (const input of node.inputs) tied.join(index.get(input)!, index.get(node.outputs[0])!);
  const groups = new Map<number, Set<number>>();
  for (const [value, count] of counts) {
    const root = tied.find(index.get(value)!);
    const group = groups.get(root) ?? new Set();
    for (let channel = 0; channel < count; channel++) group.add(sets.of(value, channel));
    groups.set(root, group);
  }
  return [...groups.values()].map((group) => [...group]);
}

function solve(problem: Problem, source: ScaleSource): Float64Array {
  const { sets, groups } = problem;
  const factors = new Float64Array(sets.size).fill(1);
  for (let round = 0; round < ROUNDS; round++) {
    const before = factors.slice();
    const ideal = source === 'data' ? idealByData(problem, factors) : idealByWeights(problem, factors);
    for (const group of groups) place(group, ideal, problem, factors);
    if (factors.every((factor, set) => Math.abs(factor / before[set] - 1) < SETTLED)) break;
  }
  return factors;
}

/**
 * ours: (demand · range)^½ is left of range and demand if noise of the activation and of the weights matter alike,
 * range · demand^-1 alone if only one does. For depthwise readers, whose rows have scales of their own, the activation
 * matters: (demand / range³)^¼. For others rounding the weights costs more: (demand³ / range)^¼. Both measured
 * (docs/equalization.md).
 */
function idealByData({ layers, sets, range, depthwise }: Problem, factors: Float64Array): Float64Array {
  const squares = new Float64Array(sets.size);
  for (const layer of layers.values())
    eachBlock(layer, (row, input, offset) => {
      const factor = factors[sets.of(layer.node.outputs[0], row)];
      const set = sets.of(layer.node.inputs[0], input);
      for (let i = offset; i < offset + layer.taps; i++) squares[set] += (layer.weights[i] * factor) ** 2;
    });
  return squares.map((square, set) => {
    const demand = Math.sqrt(square);
    if (!(demand > 0) || !(range[set] > 0)) return 0;
    const power = depthwise[set] ? demand / range[set] ** 3 : demand ** 3 / range[set];
    return Math.sqrt(Math.sqrt(power));
  });
}

/** √(r1 · r2) / r1 with r1 the range of the rows that make a channel, r2 of the weights that read it. */
function idealByWeights({ layers, sets, range }: Problem, factors: Float64Array): Float64Array {
  const reading = new Float64Array(sets.size);
  const making = new Float64Array(sets.size).fill(Number.NaN);
  for (const layer of layers.values())
    eachBlock(layer, (row, input, offset) => {
      const [to, from] = [sets.of(layer.node.outputs[0], row), sets.of(layer.node.inputs[0], input)];
      let largest = 0;
      for (let i = offset; i < offset + layer.taps; i++)
        largest = Math.max(largest, Math.abs(layer.weights[i]));
      reading[from] = Math.max(reading[from], largest * factors[to]);
      making[to] = Math.max(making[to] || 0, largest / factors[from]);
    });
  return range.map((own, set) => (own > 0 && making[set] > 0 ? Math.sqrt(reading[set] / making[set]) : 0));
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
  eachBlock(layer, (row, input, offset) => {
    const factor = factors[sets.of(node.outputs[0], row)] / factors[sets.of(node.inputs[0], input)];
    for (let i = offset; i < offset + taps; i++) weights[i] *= factor;
  });
  for (let row = 0; row < bias.length; row++) bias[row] *= factors[sets.of(node.outputs[0], row)];
}
