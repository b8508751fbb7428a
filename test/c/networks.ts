import { compile, quantizedValues } from '../../lib/engine/index.ts';
import type { Attribute, Graph, Tensor } from '../../lib/graph/graph.ts';
import { layers as layersOf } from '../../lib/graph/index.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import type { Quantization, Quantizer } from '../../lib/quant/quantizer.ts';
import { rangeQuantizer } from '../../lib/quant/ranges.ts';
import { random } from '../contract/support.ts';
import { Network } from '../engine/network.ts';
import { integers } from '../engine/support.ts';
import type { Case } from './comparison.ts';

const N = 'batch';
const OPEN = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
/** Of the data that ranges are chosen from; comparisons go beyond them. */
const RANGE_SAMPLES = 4;

function noise(seed: number, length: number, spread: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => (next() * 2 - 1) * spread);
}

const lengthOf = (shape: readonly (number | string)[]) =>
  shape.reduce<number>((product, size) => product * (typeof size === 'string' ? 1 : size), 1);

/** Integers of chosen widths; ranges are those that a few random samples show. */
export function quantizationFor(
  graph: Graph,
  kernels: Kernels,
  weightBits: (layer: number) => number,
  activationBits: (value: number) => number,
): Quantization {
  const float = compile(graph, kernels);
  const wanted = quantizedValues(graph);
  const feeds = graph.inputs.map(({ name, shape }, i): [string, Tensor] => [
    name,
    {
      dtype: 'float32',
      shape: shape.map((size) => (typeof size === 'string' ? RANGE_SAMPLES : size)),
      data: noise(11 + i, lengthOf(shape) * RANGE_SAMPLES, 1),
    },
  ]);
  const values = float.run(
    new Map(feeds),
    wanted.map(({ value }) => value),
  );
  float.dispose();
  const activations = wanted.map(({ value, nonNegativeByConstruction }, i): [string, Quantizer] => {
    const data = values.get(value)!.data as Float32Array;
    const least = nonNegativeByConstruction ? 0 : data.reduce((a, b) => Math.min(a, b), 0);
    const most = data.reduce((a, b) => Math.max(a, b), 0);
    return [value, rangeQuantizer(least, most, activationBits(i))];
  });
  const layers = layersOf(graph).map(({ name, node, bias }, i) => {
    const weights = graph.constants.get(node.inputs[1])!;
    return [name, integers(weights, bias ?? new Float32Array(weights.shape[0]), weightBits(i))] as const;
  });
  return { activations: new Map(activations), layers: new Map(layers) };
}

/** Sums whose every second result is a tie: all scales are powers of two, the outputs' twice those of their inputs. */
export function ties(kernels: Kernels): { graph: Graph; quantization: Quantization } {
  const net = new Network(29);
  net.type('x', [N, 8, 8, 3]);
  net.conv('a', 'x', [3, 1, 1, 3], [N, 8, 8, 3], { pads: [0, 0, 0, 0], clamp: OPEN });
  net.node('Add', 'half', ['a', 'x'], [N, 8, 8, 3], { clamp: OPEN });
  net.node('Add', 'quarter', ['half', 'a'], [N, 8, 8, 3], { clamp: OPEN });
  const [w, b] = [net.constant('fc.w', [9, 192]), net.constant('fc.b', [9])];
  net.node('Flatten', 'flat', ['quarter'], [N, 192], { axis: 1 });
  net.node('Linear', 'fc', ['flat', w, b], [N, 9], { clamp: OPEN });
  const graph = net.graph(['x'], ['fc']);
  const { layers } = quantizationFor(
    graph,
    kernels,
    () => 8,
    () => 8,
  );
  const scales = { x: 2 ** -6, a: 2 ** -6, half: 2 ** -5, quarter: 2 ** -4 };
  const activations = Object.entries(scales).map(([value, scale]): [string, Quantizer] => [
    value,
    { bits: 8, scale, zeroPoint: 128, low: 0, high: 255 },
  ]);
  return { graph, quantization: { activations: new Map(activations), layers } };
}

/** Every pair of levels through several additions, whose scales have nothing to do with one another. */
export function allPairs(): Case {
  const next = random(30);
  const net = new Network(30);
  const levels = 256;
  net.type('left', [N, levels * levels]);
  net.type('right', [N, levels * levels]);
  const quantizer = (scale: number): Quantizer => ({
    bits: 8,
    scale: Math.fround(scale),
    zeroPoint: Math.floor(next() * levels),
    low: 0,
    high: 255,
  });
  const activations = new Map([
    ['left', quantizer(0.02)],
    ['right', quantizer(0.05 * next())],
  ]);
  // The last ones have no fixed point that fits.
  const names = [0.01, 0.02, 0.05, 0.3, 1e-4, 1e-9].map((scale, i) => {
    const name = net.node('Add', `sum${i}`, ['left', 'right'], [N, levels * levels], { clamp: OPEN });
    activations.set(name, quantizer(scale * (0.5 + next())));
    return name;
  });
  const pairs = (level: (i: number) => number) =>
    Uint8Array.from({ length: levels * levels }, (_, i) => level(i));
  return {
    name: 'all pairs',
    graph: net.graph(['left', 'right'], names),
    quantization: { activations, layers: new Map() },
    inputs: [pairs((i) => i >> 8), pairs((i) => i & 255)],
    options: { input: 'uint8' },
  };
}

/** A case with samples of noise, twice as wide as what its ranges were chosen from; the first holds what floats can. */
export function caseOf(
  name: string,
  graph: Graph,
  quantization: Quantization,
  samples: number,
  options: Case['options'] = {},
): Case {
  const inputs = graph.inputs.map(({ name: value, shape }, i) => {
    const length = lengthOf(shape) * samples;
    if (options.input === 'uint8') {
      const { high } = quantization.activations.get(value)!;
      return Uint8Array.from(noise(31 + i, length, 1), (x) => ((x + 1) / 2) * (high + 0.999));
    }
    const data = noise(31 + i, length, 2);
    data.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -3e38, -0, 1e-42]);
    return data;
  });
  return { name, graph, quantization, inputs, options };
}

/**
 * Seven layers of every kind one after another; with `turn` 0..6, weights and inputs of 2..8 bits meet in every
 * combination.
 */
export function widths(turn: number, kernels: Kernels): { graph: Graph; quantization: Quantization } {
  const net = new Network(turn + 1);
  net.type('x', [N, 5, 5, 3]);
  net.conv('a', 'x', [6, 3, 3, 3], [N, 5, 5, 6], { clamp: OPEN });
  net.conv('b', 'a', [6, 3, 3, 1], [N, 5, 5, 6], { group: 6 });
  net.conv('c', 'b', [7, 1, 1, 6], [N, 5, 5, 7], { pads: [0, 0, 0, 0] });
  net.conv('d', 'c', [5, 2, 3, 7], [N, 3, 3, 5], { strides: [2, 2], pads: [1, 1, 0, 1], clamp: OPEN });
  net.conv('e', 'd', [10, 2, 2, 1], [N, 2, 2, 10], { group: 5, pads: [0, 0, 0, 0], clamp: [0, 6] });
  net.node('Flatten', 'flat', ['e'], [N, 40], { axis: 1 });
  const linear = (name: string, input: string, [n, k]: [number, number]) =>
    net.node(
      'Linear',
      name,
      [input, net.constant(`${name}.w`, [n, k]), net.constant(`${name}.b`, [n])],
      [N, n],
      {
        clamp: OPEN,
      },
    );
  linear('f', 'flat', [9, 40]);
  linear('g', 'f', [3, 9]);
  const graph = net.graph(['x'], ['g']);
  const quantization = quantizationFor(
    graph,
    kernels,
    (layer) => 2 + layer,
    (value) => 2 + ((value + turn) % 7),
  );
  return { graph, quantization };
}

const WINDOW = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], ceil_mode: 0, count_include_pad: 0 };

/** Small networks for everything that a step can be, by name. */
export function operators(): Record<string, Graph> {
  return {
    'dilated, grouped, strided convolutions': convolutions(),
    'one dimension': oneDimension(),
    'rows of more than the scratch': longRows(),
    'pools of every kind': pools(),
    'sums, joins, tables': sums(),
    moves: moves(),
    'float at the end': floatEnd(),
    'several inputs and outputs': ports(),
    'an output that is an input': identity(),
  };
}

function convolutions(): Graph {
  const net = new Network(21);
  net.type('x', [N, 9, 8, 4]);
  net.conv('dilated', 'x', [5, 3, 3, 4], [N, 5, 4, 5], { dilations: [2, 2], pads: [0, 0, 0, 0] });
  net.conv('grouped', 'x', [6, 3, 3, 2], [N, 9, 8, 6], { group: 2, clamp: OPEN });
  net.conv('far', 'grouped', [3, 3, 2, 6], [N, 5, 4, 3], {
    strides: [2, 2],
    dilations: [3, 1],
    pads: [3, 0, 3, 0],
  });
  net.conv('twice', 'far', [9, 3, 3, 1], [N, 5, 4, 9], { group: 3, dilations: [1, 2], pads: [1, 2, 1, 2] });
  net.node('Concat', 'joined', ['dilated', 'twice'], [N, 5, 4, 14], { axis: 3 });
  net.conv('wide', 'joined', [4, 5, 4, 14], [N, 3, 3, 4], { pads: [1, 1, 1, 1], clamp: OPEN });
  return net.graph(['x'], ['wide']);
}

function oneDimension(): Graph {
  const net = new Network(22);
  net.type('x', [N, 17, 3]);
  const conv = (name: string, input: string, weights: number[], shape: (number | string)[], more = {}) =>
    net.node(
      'Conv',
      name,
      [input, net.constant(`${name}.w`, weights), net.constant(`${name}.b`, [weights[0]])],
      shape,
      { strides: [1], dilations: [1], pads: [0, 0], group: 1, clamp: [0, 6], ...more },
    );
  conv('a', 'x', [4, 5, 3], [N, 8, 4], { strides: [2], pads: [1, 1] });
  conv('b', 'a', [4, 3, 1], [N, 8, 4], { group: 4, pads: [1, 1] });
  net.node('MaxPool', 'c', ['b'], [N, 4, 4], {
    kernel_shape: [2],
    strides: [2],
    dilations: [1],
    pads: [0, 0],
    ceil_mode: 0,
  });
  conv('d', 'c', [2, 1, 4], [N, 4, 2]);
  return net.graph(['x'], ['d']);
}

function longRows(): Graph {
  const net = new Network(20);
  net.type('x', [N, 8, 8, 4]);
  net.conv('a', 'x', [30, 3, 3, 4], [N, 8, 8, 30], {});
  net.node('Flatten', 'flat', ['a'], [N, 1920], { axis: 1 });
  const linear = (name: string, input: string, [n, k]: [number, number]) =>
    net.node(
      'Linear',
      name,
      [input, net.constant(`${name}.w`, [n, k]), net.constant(`${name}.b`, [n])],
      [N, n],
      { clamp: OPEN },
    );
  linear('b', 'flat', [5, 1920]);
  linear('c', 'b', [4, 5]);
  return net.graph(['x'], ['c']);
}

function pools(): Graph {
  const net = new Network(23);
  const pool = (op: string, name: string, input: string, shape: (number | string)[], more: object) =>
    net.node(op, name, [input], shape, { ...WINDOW, ...(more as Record<string, Attribute>) });
  net.type('x', [N, 7, 7, 3]);
  net.conv('a', 'x', [5, 3, 3, 3], [N, 7, 7, 5], { clamp: OPEN });
  pool('MaxPool', 'most', 'a', [N, 4, 4, 5], {
    kernel_shape: [3, 3],
    strides: [2, 2],
    pads: [1, 1, 1, 1],
    dilations: [1, 1],
  });
  pool('AveragePool', 'whole', 'most', [N, 4, 4, 5], {
    kernel_shape: [3, 3],
    pads: [1, 1, 1, 1],
    count_include_pad: 1,
  });
  pool('AveragePool', 'inside', 'whole', [N, 2, 2, 5], {
    kernel_shape: [3, 3],
    strides: [2, 2],
    pads: [1, 1, 0, 0],
  });
  pool('MaxPool', 'dilated', 'a', [N, 2, 2, 5], {
    kernel_shape: [2, 2],
    strides: [3, 3],
    dilations: [3, 3],
    pads: [0, 0, 0, 0],
  });
  net.node('Concat', 'both', ['inside', 'dilated'], [N, 2, 2, 10], { axis: 3 });
  net.node('GlobalAveragePool', 'mean', ['both'], [N, 1, 1, 10]);
  net.conv('last', 'mean', [3, 1, 1, 10], [N, 1, 1, 3], { pads: [0, 0, 0, 0], clamp: OPEN });
  return net.graph(['x'], ['last']);
}

function sums(): Graph {
  const net = new Network(24);
  net.type('x', [N, 4, 4, 6]);
  net.conv('a', 'x', [6, 3, 3, 6], [N, 4, 4, 6], { clamp: OPEN });
  net.conv('b', 'x', [6, 1, 1, 6], [N, 4, 4, 6], { pads: [0, 0, 0, 0], clamp: [0, 6] });
  net.node('Add', 'signed', ['a', 'b'], [N, 4, 4, 6], { clamp: OPEN });
  net.node('Add', 'positive', ['signed', 'x'], [N, 4, 4, 6], { clamp: [0, Number.POSITIVE_INFINITY] });
  net.node('Add', 'twice', ['positive', 'positive'], [N, 4, 4, 6], { clamp: [0, 6] });
  net.node('Relu', 'relu', ['signed'], [N, 4, 4, 6]);
  net.node('Clip', 'clip', ['a'], [N, 4, 4, 6], { clamp: [-0.5, 0.75] });
  net.node('Concat', 'channels', ['relu', 'clip', 'twice', 'relu'], [N, 4, 4, 24], { axis: 3 });
  net.node('Concat', 'lines', ['channels', 'channels'], [N, 8, 4, 24], { axis: 1 });
  net.conv('last', 'lines', [2, 3, 3, 24], [N, 3, 1, 2], {
    strides: [2, 2],
    pads: [0, 0, 0, 0],
    clamp: OPEN,
  });
  return net.graph(['x'], ['last']);
}

function moves(): Graph {
  const net = new Network(25);
  net.type('x', [N, 2, 5, 6, 3]);
  net.node('Transpose', 'turned', ['x'], [N, 6, 5, 3, 2], { perm: [0, 3, 2, 4, 1] });
  net.node('Reshape', 'flat', ['turned'], [N, 6, 5, 6], { shape: [-1, 6, 5, 6] });
  net.conv('a', 'flat', [8, 3, 3, 6], [N, 6, 5, 8], { clamp: OPEN });
  net.node('Pad', 'padded', ['a'], [N, 7, 8, 8], {
    pads: [0, 1, 2, 0, 0, 0, 1, 0],
    mode: 'constant',
    value: 0,
  });
  net.ints('starts', [-1, 1]);
  net.ints('ends', [-100, 100]);
  net.ints('axes', [1, 3]);
  net.ints('steps', [-2, 3]);
  net.node('Slice', 'sliced', ['padded', 'starts', 'ends', 'axes', 'steps'], [N, 4, 8, 3]);
  net.node('Pad', 'cropped', ['sliced'], [N, 4, 5, 4], {
    pads: [0, 0, -2, 1, 0, 0, -1, 0],
    mode: 'constant',
    value: 0,
  });
  net.node('Transpose', 'last', ['cropped'], [N, 4, 4, 5], { perm: [0, 3, 1, 2] });
  net.node('Flatten', 'features', ['last'], [N, 80], { axis: 1 });
  const [w, b] = [net.constant('fc.w', [3, 80]), net.constant('fc.b', [3])];
  net.node('Linear', 'fc', ['features', w, b], [N, 3], { clamp: OPEN });
  return net.graph(['x'], ['fc']);
}

/** Behind the last integers everything is float: clamps, sums, pools, joins, a layout. */
function floatEnd(): Graph {
  const net = new Network(26);
  net.type('x', [N, 6, 6, 3]);
  net.conv('a', 'x', [4, 3, 3, 3], [N, 6, 6, 4], { clamp: [0, 1.5] });
  net.conv('b', 'x', [4, 1, 1, 3], [N, 6, 6, 4], { pads: [0, 0, 0, 0], clamp: OPEN });
  net.node('Add', 'sum', ['a', 'b'], [N, 6, 6, 4], { clamp: [0, Number.POSITIVE_INFINITY] });
  net.node('MaxPool', 'most', ['sum'], [N, 3, 3, 4], { ...WINDOW, kernel_shape: [2, 2], strides: [2, 2] });
  net.node('AveragePool', 'average', ['sum'], [N, 3, 3, 4], {
    ...WINDOW,
    kernel_shape: [3, 3],
    strides: [2, 2],
    pads: [0, 0, 1, 1],
  });
  net.node('Concat', 'both', ['most', 'average'], [N, 3, 3, 8], { axis: 3 });
  net.node('Relu', 'relu', ['both'], [N, 3, 3, 8]);
  net.node('Pad', 'padded', ['relu'], [N, 3, 4, 8], {
    pads: [0, 0, 1, 0, 0, 0, 0, 0],
    mode: 'constant',
    value: 0.25,
  });
  net.node('Transpose', 'planes', ['padded'], [N, 8, 3, 4], { perm: [0, 3, 1, 2] });
  net.node('GlobalAveragePool', 'mean', ['both'], [N, 1, 1, 8]);
  return net.graph(['x'], ['planes', 'mean']);
}

/** Two inputs, outputs that are views of one another and that others read. */
function ports(): Graph {
  const net = new Network(27);
  net.type('left', [N, 4, 4, 2]);
  net.type('right', [N, 4, 4, 2]);
  net.conv('a', 'left', [3, 3, 3, 2], [N, 4, 4, 3], {});
  net.conv('b', 'right', [3, 3, 3, 2], [N, 4, 4, 3], { clamp: OPEN });
  net.node('Add', 'sum', ['a', 'b'], [N, 4, 4, 3], { clamp: OPEN });
  net.conv('c', 'sum', [2, 1, 1, 3], [N, 4, 4, 2], { pads: [0, 0, 0, 0], clamp: OPEN });
  net.node('Flatten', 'flat', ['c'], [N, 32], { axis: 1 });
  return net.graph(['left', 'right'], ['c', 'sum', 'flat']);
}

function identity(): Graph {
  const net = new Network(28);
  net.type('x', [N, 3, 3, 2]);
  net.node('Reshape', 'same', ['x'], [N, 18], { shape: [-1, 18] });
  net.conv('a', 'x', [2, 3, 3, 2], [N, 3, 3, 2], { clamp: OPEN });
  return net.graph(['x'], ['same', 'a', 'x']);
}
