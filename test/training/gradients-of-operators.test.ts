import assert from 'node:assert/strict';
import type { SigmaQuantError } from '../../lib/errors.ts';
import type { Attribute, Tensor } from '../../lib/graph/graph.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import { gradientRule, hasGradient, parameter, tapeOf } from '../../lib/training/index.ts';
import {
  checkGradients,
  closeTo,
  floatTensor,
  graphOf,
  int64,
  node,
  noPause,
  onEveryBackend,
  type Subject,
} from './support.ts';

type Attributes = Readonly<Record<string, Attribute>>;

/** One operator over x. */
const unary = (op: string, x: readonly number[], attributes: Attributes = {}): Subject => ({
  nodes: [node(op, ['x'], attributes)],
  inputs: { x },
});

const binary = (
  op: string,
  a: readonly number[],
  b: readonly number[],
  attributes: Attributes = {},
): Subject => ({
  nodes: [node(op, ['a', 'b'], attributes)],
  inputs: { a, b },
});

/** Numbers in (-4, 4) no nearer than 0.01 to where the operator has no slope. */
const beside =
  (...kinks: number[]): Subject['fill'] =>
  (next) =>
  () => {
    for (;;) {
      const value = 8 * next() - 4;
      if (kinks.every((kink) => Math.abs(value - kink) > 0.01)) return value;
    }
  };

/** A shuffle of 0, 0.05, 0.1, ...: no two are near each other. */
const distinct: Subject['fill'] = (next, _, shape) => {
  const values = Array.from(
    { length: shape.reduce((product, size) => product * size, 1) },
    (_, i) => 0.05 * i,
  );
  return () => values.splice(Math.floor(next() * values.length), 1)[0];
};

const activation = (op: string, kinks: number[], attributes: Attributes = {}): Subject => ({
  ...unary(op, [2, 3, 4, 5], attributes),
  fill: beside(...kinks),
});

const ACTIVATIONS: Record<string, Subject> = {
  Relu: activation('Relu', [0]),
  'Clip on both sides': activation('Clip', [-1, 2.5], { clamp: [-1, 2.5] }),
  'Clip from 0': activation('Clip', [0, 3], { clamp: [0, 3] }),
  LeakyRelu: activation('LeakyRelu', [0], { alpha: 0.2 }),
  'LeakyRelu with its own slope': activation('LeakyRelu', [0]),
  Sigmoid: activation('Sigmoid', []),
  HardSigmoid: activation('HardSigmoid', [-2.5, 2.5]),
  'HardSigmoid with slope and shift': activation('HardSigmoid', [-1.5, 2.5], { alpha: 0.25, beta: 0.375 }),
  HardSwish: activation('HardSwish', [-3, 3]),
};

const SUMS: Record<string, Subject> = {
  'of equal shapes': binary('Add', [2, 3, 4, 5], [2, 3, 4, 5]),
  'with a fused activation': binary('Add', [2, 3, 4, 5], [2, 3, 4, 5], { clamp: [0, 1] }),
  'with a vector for each channel': binary('Add', [2, 3, 4, 5], [2, 1, 1, 5]),
  'that repeats its first input': binary('Add', [2, 1, 4, 1], [2, 3, 1, 5]),
  'of ranks 4 and 1, with a fused activation': {
    ...binary('Add', [2, 3, 2, 5], [2, 3, 2, 5], { clamp: [-0.5, 0.75] }),
    nodes: [node('Add', ['c', 'a'], {}, 's'), node('Add', ['s', 'b'], { clamp: [-0.5, 0.75] })],
    frozen: { c: floatTensor([5], Float32Array.of(0.5, -0.25, 0, 1, 0.125)) },
  },
  'of a value with itself': { ...unary('Add', [2, 7]), nodes: [node('Add', ['x', 'x'])] },
};

const PRODUCTS: Record<string, Subject> = {
  'of equal shapes': binary('Mul', [2, 3, 4, 5], [2, 3, 4, 5]),
  'with a gate for each channel': binary('Mul', [2, 3, 4, 5], [2, 1, 1, 5]),
  'with a gate as the first input': binary('Mul', [2, 1, 1, 5], [2, 3, 4, 5]),
  'that repeats both inputs': binary('Mul', [2, 1, 4, 1], [2, 3, 1, 5]),
  'with a constant': {
    ...unary('Mul', [2, 3, 5]),
    nodes: [node('Mul', ['x', 'c'])],
    frozen: { c: floatTensor([1], Float32Array.of(-1.5)) },
  },
  'of a value with itself': { ...unary('Mul', [2, 7]), nodes: [node('Mul', ['x', 'x'])] },
};

const joined = (shapes: readonly (readonly number[])[], axis: number): Subject => ({
  nodes: [
    node(
      'Concat',
      shapes.map((_, i) => `x${i}`),
      { axis },
    ),
  ],
  inputs: Object.fromEntries(shapes.map((shape, i) => [`x${i}`, shape])),
});

const sliced = (x: readonly number[], ...[starts, ends, axes, steps]: number[][]): Subject => ({
  nodes: [node('Slice', ['x', 'starts', 'ends', 'axes', 'steps'])],
  inputs: { x },
  frozen: { starts: int64(...starts), ends: int64(...ends), axes: int64(...axes), steps: int64(...steps) },
});

const viewed = (
  op: string,
  x: readonly number[],
  list: Record<string, Tensor>,
  attributes: Attributes = {},
) => ({
  nodes: [node(op, ['x', ...Object.keys(list)], attributes)],
  inputs: { x },
  frozen: list,
});

const MOVEMENTS: Record<string, Subject> = {
  'Concat of channels': joined(
    [
      [2, 3, 4, 2],
      [2, 3, 4, 5],
      [2, 3, 4, 1],
    ],
    3,
  ),
  'Concat of lines': joined(
    [
      [2, 3, 4, 2],
      [2, 1, 4, 2],
    ],
    1,
  ),
  'Concat of a value with itself': {
    ...unary('Concat', [2, 3]),
    nodes: [node('Concat', ['x', 'x'], { axis: 1 })],
  },
  'Pad of pixels': unary('Pad', [2, 3, 4, 2], { pads: [0, 1, 2, 0, 0, 0, 1, 0], value: 0, mode: 'constant' }),
  'Pad of channels': unary('Pad', [2, 3, 3, 2], {
    pads: [0, 0, 0, 2, 0, 0, 0, 3],
    value: 0,
    mode: 'constant',
  }),
  'Pad that cuts': unary('Pad', [2, 4, 4, 2], {
    pads: [0, -1, 1, 0, 0, 1, -2, 0],
    value: 0,
    mode: 'constant',
  }),
  'Pad by reflection': unary('Pad', [2, 4, 5, 2], { pads: [0, 2, 1, 0, 0, 1, 3, 0], mode: 'reflect' }),
  'Pad by the edge': unary('Pad', [2, 4, 5, 2], { pads: [0, 2, 1, 0, 0, 1, 3, 0], mode: 'edge' }),
  Slice: sliced([2, 5, 6, 3], [1, 2], [4, 6], [1, 2], [1, 1]),
  'Slice with steps': sliced([2, 5, 6, 3], [0, 1], [5, 6], [1, 2], [2, 2]),
  'Slice backwards': sliced([2, 5, 6, 3], [4, 2], [-9, 0], [1, 3], [-2, -1]),
  Transpose: unary('Transpose', [2, 3, 4, 5], { perm: [0, 3, 1, 2] }),
  'DepthToSpace, columns first': unary('DepthToSpace', [2, 2, 3, 12], { blocksize: 2, mode: 'DCR' }),
  'DepthToSpace, rows first': unary('DepthToSpace', [2, 2, 3, 12], { blocksize: 2, mode: 'CRD' }),
  SpaceToDepth: unary('SpaceToDepth', [2, 4, 6, 3], { blocksize: 2 }),
  Flatten: unary('Flatten', [2, 3, 2, 4], { axis: 1 }),
  Reshape: viewed('Reshape', [2, 3, 4], {}, { shape: [0, 12] }),
  Squeeze: viewed('Squeeze', [2, 1, 3, 1], { axes: int64(1, 3) }),
  Unsqueeze: viewed('Unsqueeze', [2, 3], { axes: int64(1, 3) }),
  Identity: unary('Identity', [2, 3]),
};

const pool = (
  op: string,
  x: readonly number[],
  kernel: readonly number[],
  attributes: Attributes = {},
): Subject => {
  const ones = kernel.map(() => 1);
  return {
    ...unary(op, x, {
      kernel_shape: kernel,
      strides: ones,
      dilations: ones,
      pads: [...ones, ...ones].map(() => 0),
      ceil_mode: 0,
      ...attributes,
    }),
    ...(op === 'MaxPool' ? { fill: distinct } : {}),
  };
};

const POOLS: Record<string, Subject> = {
  'MaxPool 2x2': pool('MaxPool', [2, 4, 6, 3], [2, 2], { strides: [2, 2] }),
  'MaxPool of overlapping windows, padded': pool('MaxPool', [2, 5, 6, 3], [3, 3], {
    strides: [2, 1],
    pads: [1, 0, 1, 2],
  }),
  'MaxPool with ceil_mode': pool('MaxPool', [2, 6, 5, 2], [3, 2], { strides: [2, 2], ceil_mode: 1 }),
  'MaxPool with dilations': pool('MaxPool', [1, 7, 6, 2], [2, 3], { dilations: [3, 2], pads: [1, 1, 0, 1] }),
  'MaxPool over one axis': pool('MaxPool', [2, 9, 3], [3], { strides: [2], pads: [1, 1] }),
  'AveragePool 2x2': pool('AveragePool', [2, 4, 6, 3], [2, 2], { strides: [2, 2] }),
  'AveragePool, padding left out': pool('AveragePool', [2, 5, 4, 3], [3, 3], {
    strides: [2, 1],
    pads: [1, 0, 1, 2],
  }),
  'AveragePool with count_include_pad': pool('AveragePool', [2, 5, 4, 3], [3, 3], {
    strides: [2, 1],
    pads: [1, 0, 1, 2],
    count_include_pad: 1,
  }),
  'AveragePool with ceil_mode': pool('AveragePool', [2, 6, 5, 2], [3, 2], { strides: [2, 2], ceil_mode: 1 }),
  'AveragePool with ceil_mode, padded': pool('AveragePool', [1, 6, 5, 2], [3, 2], {
    strides: [2, 2],
    pads: [1, 0, 0, 1],
    ceil_mode: 1,
  }),
  'AveragePool over one axis': pool('AveragePool', [2, 9, 3], [4], { strides: [3], pads: [1, 2] }),
  GlobalAveragePool: unary('GlobalAveragePool', [2, 4, 5, 3]),
  'GlobalAveragePool over one axis': unary('GlobalAveragePool', [2, 7, 3]),
};

const conv = (input: string, weights: string, output: string, size: number, attributes: Attributes = {}) => ({
  ...node('Conv', [input, weights], {
    kernel_shape: [size, size],
    strides: [1, 1],
    dilations: [1, 1],
    pads: new Array<number>(4).fill((size - 1) / 2),
    group: 1,
    ...attributes,
  }),
  name: weights,
  outputs: [output],
});

/** Values that several nodes read: what each gives is added up, and nobody spoils what another still needs. */
const NETWORKS: Record<string, Subject> = {
  'a shortcut around two convolutions': {
    nodes: [
      conv('x', 'w1', 'c1', 3),
      node('LeakyRelu', ['c1'], { alpha: 0.25 }, 'r1'),
      conv('r1', 'w2', 'c2', 3),
      node('Add', ['c2', 'r1'], { clamp: [0, 1] }),
    ],
    inputs: { x: [2, 4, 4, 2] },
    learned: { w1: [3, 3, 3, 2], w2: [3, 3, 3, 3] },
  },
  'a gate from a global pool (squeeze and excitation)': {
    nodes: [
      conv('x', 'w1', 'c1', 3),
      node('GlobalAveragePool', ['c1'], {}, 'g'),
      conv('g', 'w2', 's', 1),
      node('Sigmoid', ['s'], {}, 't'),
      node('Mul', ['c1', 't']),
    ],
    inputs: { x: [2, 3, 4, 2] },
    learned: { w1: [3, 3, 3, 2], w2: [3, 1, 1, 3] },
  },
  'three readers, one behind a view': {
    nodes: [
      conv('x', 'w1', 'c', 1),
      node('Identity', ['c'], {}, 'i'),
      node('Add', ['i', 'c'], {}, 's'),
      node('Sigmoid', ['c'], {}, 't'),
      node('Mul', ['s', 't'], {}, 'm'),
      node('Concat', ['m', 'c', 'i'], { axis: 3 }),
    ],
    inputs: { x: [2, 2, 3, 2] },
    learned: { w1: [3, 1, 1, 2] },
  },
  'weights that two layers share': {
    nodes: [
      conv('x', 'w', 'c', 3),
      node('Sigmoid', ['c'], {}, 's'),
      { ...conv('s', 'w', 'y', 3), name: 'again' },
    ],
    inputs: { x: [2, 4, 3, 2] },
    learned: { w: [2, 3, 3, 2] },
  },
};

const refused = (subject: Subject, message: RegExp) => (error: SigmaQuantError) => {
  assert.equal(error.code, 'UNSUPPORTED_OPERATOR');
  assert.match(error.message, message);
  assert.match(error.message, new RegExp(subject.nodes[0].name.replaceAll('.', '\\.')));
  return true;
};

describe('gradients of operators against central differences', () => {
  onEveryBackend((kernels) => {
    for (const [kind, subjects] of Object.entries({
      activation: ACTIVATIONS,
      Add: SUMS,
      Mul: PRODUCTS,
      movement: MOVEMENTS,
      pool: POOLS,
      network: NETWORKS,
    }))
      for (const [name, subject] of Object.entries(subjects))
        it(`${kind}: ${name}`, () => checkGradients(kernels(), subject));

    it('several outputs at once, one of which another node reads', () => twoOutputs(kernels()));

    it('gradients are added to those of earlier steps', async () => {
      const w = parameter(Float32Array.of(1, 2));
      const constants = new Map([['w', floatTensor([1, 2], w.data)]]);
      const graph = graphOf([node('Linear', ['x', 'w'])], { x: [1, 2] }, constants);
      const tape = tapeOf(graph, kernels(), 1, { parameters: new Map([['w', w]]), outputs: ['y'] });
      for (const x of [3, 5]) {
        tape.input('x.fed').set([x, -x]);
        await tape.run('forward', noPause);
        tape.seed('y').set([2]);
        await tape.run('backward', noPause);
      }
      assert.deepEqual([...w.gradient], [16, -16]);
      tape.dispose();
    });

    it('refuses what has no gradient here and names the node', () => {
      const cases: [Subject, RegExp][] = [
        [unary('Softmax', [2, 3], { axis: 1 }), /operator with a gradient but received Softmax/],
        [
          unary('Pad', [2, 3], { pads: [0, 1, 0, 0], mode: 'constant', value: 2 }),
          /padding with zeros .* received 2/,
        ],
        [
          pool('AveragePool', [1, 4, 4, 1], [3, 3], { ceil_mode: 1, count_include_pad: 1 }),
          /without both ceil_mode and count_include_pad/,
        ],
        [pool('MaxPool', [1, 3, 3, 3, 2], [2, 2, 2]), /pool over one or two axes/],
        [
          {
            nodes: [node('Conv', ['x', 'w'], { kernel_shape: [1, 1, 1] })],
            inputs: { x: [1, 3, 3, 3, 2] },
            learned: { w: [2, 1, 1, 1, 2] },
          },
          /convolution over one or two axes/,
        ],
      ];
      for (const [subject, message] of cases) {
        const constants = new Map(
          Object.entries(subject.learned ?? {}).map(([name, shape]) => [
            name,
            floatTensor(shape, new Float32Array(4)),
          ]),
        );
        const graph = graphOf(subject.nodes, subject.inputs, constants);
        assert.throws(
          () => tapeOf(graph, kernels(), 2, { parameters: new Map(), outputs: ['y'] }),
          refused(subject, message),
        );
      }
      assert.equal(hasGradient(node('Softmax', ['x'])), false);
      assert.equal(hasGradient(node('toString', ['x'])), false);
      assert.equal(typeof gradientRule(node('Conv', ['x'])), 'function');
    });
  });
});

/** y = 3 m and m = w x: by m and by y together. */
async function twoOutputs(kernels: Kernels): Promise<void> {
  const w = parameter(Float32Array.of(2));
  const constants = new Map([
    ['w', floatTensor([1, 1], w.data)],
    ['three', floatTensor([1], Float32Array.of(3))],
  ]);
  const nodes = [node('Linear', ['x', 'w'], {}, 'm'), node('Mul', ['m', 'three'])];
  const graph = graphOf(nodes, { x: [2, 1] }, constants);
  const tape = tapeOf(graph, kernels, 2, {
    parameters: new Map([['w', w]]),
    outputs: ['m', 'y'],
    watch: ['x', 'm'],
  });
  tape.input('x.fed').set([5, 7]);
  await tape.run('forward', noPause);
  assert.deepEqual([...tape.output('m')], [10, 14]);
  assert.deepEqual([...tape.output('y')], [30, 42]);
  tape.seed('m').set([1, 10]);
  tape.seed('y').set([100, 1000]);
  await tape.run('backward', noPause);
  closeTo(tape.watched('m'), [301, 3010], 'by m');
  closeTo(tape.watched('x'), [602, 6020], 'by x');
  closeTo(w.gradient, [301 * 5 + 3010 * 7], 'by w');
  tape.dispose();
}
