import { checkGradients, floatTensor, node, onEveryBackend, type Subject } from './support.ts';

/** Conv [n, ...kernel, channels / groups] over x, with the attributes that the graph always has. */
function convolution(
  x: readonly number[],
  weights: readonly number[],
  attributes: Record<string, number | readonly number[]> = {},
  biased = true,
): Subject {
  const axes = x.length - 2;
  const ones = new Array<number>(axes).fill(1);
  return {
    nodes: [
      node('Conv', biased ? ['x', 'w', 'b'] : ['x', 'w'], {
        kernel_shape: weights.slice(1, -1),
        strides: ones,
        dilations: ones,
        pads: [...ones, ...ones].map(() => 0),
        group: 1,
        ...attributes,
      }),
    ],
    inputs: { x },
    learned: { w: weights, ...(biased ? { b: weights.slice(0, 1) } : {}) },
  };
}

const CONVOLUTIONS: Record<string, Subject> = {
  plain: convolution([2, 5, 6, 3], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }),
  'without a bias': convolution([2, 5, 6, 3], [4, 3, 3, 3], {}, false),
  'with a fused activation': convolution([2, 4, 4, 3], [5, 3, 3, 3], { pads: [1, 1, 1, 1], clamp: [0, 1] }),
  pointwise: convolution([2, 3, 4, 7], [5, 1, 1, 7]),
  'pointwise, stride 2': convolution([2, 5, 4, 3], [4, 1, 1, 3], { strides: [2, 2] }),
  'two groups': convolution([2, 4, 5, 6], [4, 3, 3, 3], { group: 2, pads: [1, 1, 1, 1] }),
  depthwise: convolution([2, 5, 5, 5], [5, 3, 3, 1], { group: 5, pads: [1, 1, 1, 1] }),
  'depthwise, stride 2, two filters for each channel': convolution([2, 6, 5, 3], [6, 3, 3, 1], {
    group: 3,
    strides: [2, 2],
    pads: [0, 0, 1, 1],
  }),
  'strides of 2 and 3': convolution([2, 7, 9, 2], [3, 3, 2, 2], { strides: [2, 3], pads: [1, 0, 1, 1] }),
  'strides that leave the end unread': convolution([1, 8, 9, 2], [3, 2, 2, 2], { strides: [3, 4] }),
  'strides beyond the kernel': convolution([1, 7, 7, 2], [2, 1, 2, 2], { strides: [3, 3] }),
  'dilations of 2 and 3': convolution([1, 7, 9, 2], [3, 3, 3, 2], { dilations: [2, 3], pads: [2, 1, 0, 3] }),
  'dilations and strides': convolution([1, 9, 8, 2], [2, 3, 2, 2], {
    dilations: [2, 3],
    strides: [2, 2],
    pads: [1, 2, 2, 1],
  }),
  'asymmetric pads': convolution([2, 4, 5, 2], [3, 3, 3, 2], { pads: [2, 0, 1, 2] }),
  'pads beyond the kernel': convolution([1, 3, 4, 2], [3, 2, 2, 2], { pads: [3, 2, 2, 4] }),
  'pads beyond the kernel, strides': convolution([1, 5, 4, 2], [3, 2, 2, 2], {
    pads: [3, 4, 3, 2],
    strides: [2, 3],
  }),
  'pads beyond the kernel, no multiples of the strides': convolution([1, 5, 4, 2], [3, 2, 2, 2], {
    pads: [4, 3, 3, 2],
    strides: [2, 3],
  }),
  'an even kernel': convolution([1, 5, 6, 2], [3, 4, 2, 2], { pads: [2, 1, 1, 0] }),
  'a kernel of the whole input': convolution([3, 4, 3, 2], [5, 4, 3, 2]),
  'one axis': convolution([2, 9, 3], [4, 3, 3], { pads: [1, 1] }),
  'one axis, all options': convolution([2, 11, 4], [6, 3, 2], {
    pads: [3, 1],
    strides: [2],
    dilations: [2],
    group: 2,
    clamp: [-0.5, 0.75],
  }),
};

const LINEARS: Record<string, Subject> = {
  plain: { nodes: [node('Linear', ['x', 'w', 'b'])], inputs: { x: [3, 7] }, learned: { w: [5, 7], b: [5] } },
  'without a bias': { nodes: [node('Linear', ['x', 'w'])], inputs: { x: [3, 7] }, learned: { w: [5, 7] } },
  'over sequences, with a fused activation': {
    nodes: [node('Linear', ['x', 'w', 'b'], { clamp: [0, 6] })],
    inputs: { x: [2, 3, 4] },
    learned: { w: [6, 4], b: [6] },
  },
};

const statistics = (channels: number) => ({
  mean: floatTensor(
    [channels],
    Float32Array.from({ length: channels }, (_, c) => 0.3 * c - 0.2),
  ),
  variance: floatTensor(
    [channels],
    Float32Array.from({ length: channels }, (_, c) => 0.5 + 0.4 * c),
  ),
});

function normalization(x: readonly number[], byBatch: boolean, attributes = {}): Subject {
  const channels = x.at(-1)!;
  const norm = node('BatchNormalization', ['x', 'scale', 'shift', 'mean', 'variance'], {
    epsilon: 1e-3,
    ...attributes,
  });
  return {
    nodes: [norm],
    inputs: { x },
    learned: { scale: [channels], shift: [channels] },
    frozen: statistics(channels),
    norms: byBatch ? [norm.name] : [],
  };
}

const NORMALIZATIONS: Record<string, Subject> = {
  'by the batch': normalization([3, 4, 5, 6], true),
  'by the batch, with a fused activation': normalization([3, 4, 5, 3], true, { clamp: [0, 0.5] }),
  'by the batch, of features': normalization([9, 4], true),
  'by the batch, of one axis': normalization([3, 7, 4], true),
  frozen: normalization([2, 3, 3, 5], false),
  'frozen, with a fused activation': normalization([2, 3, 3, 4], false, { clamp: [-0.25, 0.5] }),
  'between two convolutions, by the batch': {
    nodes: [
      convolution([2, 5, 5, 2], [3, 3, 3, 2], { pads: [1, 1, 1, 1] }, false).nodes[0],
      node('BatchNormalization', ['c', 'scale', 'shift', 'mean', 'variance'], { epsilon: 1e-5 }, 'n'),
      node('Conv', ['n', 'w2'], {
        kernel_shape: [1, 1],
        strides: [2, 2],
        dilations: [1, 1],
        pads: [0, 0, 0, 0],
      }),
    ].map((one, i) => (i === 0 ? { ...one, name: 'first', outputs: ['c'] } : one)),
    inputs: { x: [2, 5, 5, 2] },
    learned: { w: [3, 3, 3, 2], scale: [3], shift: [3], w2: [4, 1, 1, 3] },
    frozen: statistics(3),
    norms: ['BatchNormalization.n'],
  },
};

describe('gradients of layers against central differences', () => {
  onEveryBackend((kernels) => {
    for (const [kind, subjects] of Object.entries({
      Conv: CONVOLUTIONS,
      Linear: LINEARS,
      BatchNormalization: NORMALIZATIONS,
    }))
      for (const [name, subject] of Object.entries(subjects))
        it(`${kind}: ${name}`, () => checkGradients(kernels(), subject));
  });
});
