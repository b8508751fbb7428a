import type { Dtype, Tensor } from '../lib/graph/graph.ts';
import { fromNumbers, int64Tensor, sizeOf } from '../lib/graph/tensors.ts';
import type { OpsetCase } from './opset-model.ts';

export const FIRST = 18;
export const LAST = 26;
const IMAGE = [2, 4, 5, 6];
const FLOAT = 1;
const INT64 = 7;

/** Deterministic, without ties, within [-range, range]. */
function waves(shape: readonly number[] = IMAGE, range = 2, phase = 0): Tensor {
  const values = Float64Array.from({ length: sizeOf(shape) }, (_, i) => range * Math.sin(i * 1.7 + phase));
  return fromNumbers('float32', shape, values);
}

/** Within (low, high). */
function between(low: number, high: number): Tensor {
  const { shape, data } = waves(IMAGE, 1);
  return fromNumbers(
    'float32',
    shape,
    Float64Array.from(data as Float32Array, (x) => (low + high) / 2 + (x * (high - low)) / 2.02),
  );
}

function flags(shape: readonly number[], every: number): Tensor {
  const values = Float64Array.from({ length: sizeOf(shape) }, (_, i) => (i % every === 0 ? 1 : 0));
  return fromNumbers('bool', shape, values);
}

function whole(shape: readonly number[], modulus: number, from = 0): Tensor {
  return int64Tensor(
    Array.from({ length: sizeOf(shape) }, (_, i) => from + ((i * 7) % modulus)),
    shape,
  );
}

const ints = (...values: number[]) => int64Tensor(values);
const scalar = (value: number) => int64Tensor([value], []);
const floats = (...values: number[]) => fromNumbers('float32', [values.length], values);

type Rest = Partial<Omit<OpsetCase, 'operator' | 'form'>>;

/** Fills in what is usual: one image in, one image out, in every operator set. */
function one(operator: string, form: string, rest: Rest = {}): OpsetCase {
  const { feeds = [waves()], since = FIRST, until = LAST, constants = [], attributes = {} } = rest;
  const [{ dtype, shape }] = feeds.length > 0 ? feeds : [waves()];
  const outputs = rest.outputs ?? [{ dtype, rank: shape.length }];
  return { operator, form, since, until, feeds, constants, attributes, outputs };
}

const result = (dtype: Dtype, rank: number) => [{ dtype, rank }];

const UNARY = [
  'Abs Asinh Atan Ceil Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Neg Relu Round',
  'Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Tan Tanh ThresholdedRelu Celu',
].flatMap((names) => names.split(' '));

const elementwise: OpsetCase[] = [
  ...UNARY.map((name) => one(name, '')),
  ...['Log', 'Sqrt', 'Reciprocal'].map((name) => one(name, '', { feeds: [between(0.1, 4)] })),
  ...['Acos', 'Asin', 'Atanh'].map((name) => one(name, '', { feeds: [between(-0.95, 0.95)] })),
  one('Acosh', '', { feeds: [between(1.1, 4)] }),
  one('Mish', ''),
  one('Gelu', 'exact', { since: 20 }),
  one('Gelu', 'tanh', { since: 20, attributes: { approximate: 'tanh' } }),
  one('Swish', 'alpha 1.5', { since: 24, attributes: { alpha: 1.5 } }),
  ...['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Mean', 'Sum'].map((name) =>
    one(name, 'broadcast', { feeds: [waves(), waves([4, 1, 1], 1, 3)] }),
  ),
  one('Mod', 'integers', { feeds: [whole([3, 4], 9, -4), whole([4], 5, 2)], outputs: result('int64', 2) }),
  one('Pow', '', { feeds: [between(0.1, 3), waves([6])] }),
  one('PRelu', '', { constants: [waves([4, 1, 1], 0.5)] }),
  one('Clip', 'limits as inputs', { constants: [fromNumbers('float32', [], [-1]), null] }),
  one('Where', '', {
    feeds: [flags([4, 1, 6], 3), waves(), waves([5, 6], 1)],
    outputs: result('float32', 4),
  }),
  ...['And', 'Or', 'Xor'].map((name) => one(name, '', { feeds: [flags(IMAGE, 2), flags([5, 6], 3)] })),
  one('Not', '', { feeds: [flags(IMAGE, 3)] }),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].flatMap((name) => [
    one(name, 'floats', { feeds: [waves(), waves([5, 6])], outputs: result('bool', 4) }),
    one(name, 'integers', { feeds: [whole([3, 4], 5), whole([4], 5)], outputs: result('bool', 2) }),
  ]),
  one('IsNaN', '', { feeds: [floats(1, Number.NaN, -2)], outputs: result('bool', 1) }),
  one('IsInf', 'positive only', {
    feeds: [floats(1, Infinity, -Infinity)],
    attributes: { detect_negative: 0 },
    outputs: result('bool', 1),
  }),
  one('Cast', 'to int64', { attributes: { to: INT64 }, outputs: result('int64', 4) }),
  one('Cast', 'from bool', {
    feeds: [flags([3, 4], 2)],
    attributes: { to: FLOAT },
    outputs: result('float32', 2),
  }),
  one('CastLike', '', { constants: [scalar(0)], outputs: result('int64', 4) }),
  one('Dropout', 'inference', { constants: [fromNumbers('float32', [], [0.3])] }),
];

const REDUCED = 'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'.split(' ');

const reductions: OpsetCase[] = [
  ...REDUCED.flatMap((name) => [
    one(`Reduce${name}`, 'axes as input', { feeds: [between(0.2, 1.5)], constants: [ints(2, -1)] }),
    one(`Reduce${name}`, 'channels dropped', {
      feeds: [between(0.2, 1.5)],
      constants: [ints(1)],
      attributes: { keepdims: 0 },
      outputs: result('float32', 3),
    }),
    one(`Reduce${name}`, 'all axes', {
      feeds: [between(0.8, 1.2)],
      attributes: { keepdims: 0 },
      outputs: result('float32', 0),
    }),
    one(`Reduce${name}`, 'no axes', { attributes: { noop_with_empty_axes: 1 } }),
  ]),
  one('ReduceProd', 'integers', { feeds: [whole([3, 4], 4, 1)], constants: [ints(0)] }),
  ...['ReduceMax', 'ReduceMin'].map((name) =>
    one(name, 'bool', { since: 20, feeds: [flags([3, 4], 2)], constants: [ints(1)] }),
  ),
  ...['ArgMax', 'ArgMin'].map((name) =>
    one(name, 'channels', { attributes: { axis: 1, keepdims: 0 }, outputs: result('int64', 3) }),
  ),
  ...['Softmax', 'LogSoftmax'].map((name) => one(name, 'channels', { attributes: { axis: 1 } })),
  one('LayerNormalization', '', { constants: [waves([6]), waves([6], 1, 1)] }),
  one('RMSNormalization', '', {
    since: 23,
    constants: [waves([5, 6])],
    attributes: { axis: -2, epsilon: 0.01 },
  }),
  one('LpNormalization', 'p 1', { attributes: { axis: 1, p: 1 } }),
  one('LpNormalization', 'p 2', { attributes: { axis: -1 } }),
  one('GroupNormalization', 'scales per group', {
    until: 20,
    constants: [waves([2]), waves([2], 1, 1)],
    attributes: { num_groups: 2 },
  }),
  one('GroupNormalization', 'scales per channel', {
    since: 21,
    constants: [waves([4]), waves([4], 1, 1)],
    attributes: { num_groups: 2, epsilon: 0.001 },
  }),
  one('InstanceNormalization', '', { constants: [waves([4]), waves([4], 1, 1)] }),
  one('BatchNormalization', '', {
    constants: [waves([4]), waves([4], 1, 1), waves([4], 1, 2), floats(0.5, 1, 2, 3)],
  }),
  one('LRN', '', { attributes: { size: 3 } }),
  one('CumSum', 'exclusive, reverse', { constants: [scalar(2)], attributes: { exclusive: 1, reverse: 1 } }),
  one('CumProd', '', { since: 26, constants: [scalar(1)] }),
];

const PAIR = { kernel_shape: [3, 2], strides: [2, 1] };

const windows: OpsetCase[] = [
  one('Conv', 'dilated', {
    constants: [waves([6, 2, 2, 3]), waves([6])],
    attributes: { group: 2, dilations: [2, 1], pads: [1, 1, 0, 1] },
  }),
  one('ConvTranspose', '', {
    constants: [waves([4, 3, 3, 2]), waves([3])],
    attributes: { strides: [2, 3], pads: [1, 0, 0, 1], output_padding: [1, 0] },
  }),
  one('MaxPool', 'ceil', { attributes: { ...PAIR, ceil_mode: 1, pads: [1, 0, 1, 1] } }),
  one('AveragePool', 'count_include_pad', {
    attributes: { ...PAIR, count_include_pad: 1, pads: [1, 0, 1, 1] },
  }),
  one('AveragePool', 'dilations', { since: 19, attributes: { ...PAIR, dilations: [1, 2] } }),
  one('GlobalAveragePool', ''),
  one('GlobalMaxPool', ''),
  one('MatMul', '', { feeds: [waves([2, 3, 4]), waves([4, 5])], outputs: result('float32', 3) }),
  one('Gemm', 'transposed', {
    feeds: [waves([4, 3])],
    constants: [waves([5, 4]), waves([5])],
    attributes: { transA: 1, transB: 1, alpha: 0.5, beta: 2 },
  }),
];

/** roi is absent. */
const sized = (...values: number[]) => [null, null, ints(...values)];
const scaled = (...values: number[]) => [null, floats(...values)];
const resize = (
  form: string,
  attributes: OpsetCase['attributes'],
  constants: OpsetCase['constants'],
  since = FIRST,
) => one('Resize', form, { since, attributes, constants });

const resizes: OpsetCase[] = [
  resize('linear', { mode: 'linear' }, scaled(1, 1, 2, 2)),
  resize('nearest, axes', { mode: 'nearest', axes: [2, 3] }, sized(10, 9)),
  resize('cubic', { mode: 'cubic', coordinate_transformation_mode: 'align_corners' }, sized(2, 4, 9, 11)),
  resize('linear, antialias', { mode: 'linear', antialias: 1 }, scaled(1, 1, 0.6, 0.5)),
  resize('linear, antialias, sizes', { mode: 'linear', antialias: 1 }, sized(2, 4, 3, 4)),
  resize('cubic, antialias', { mode: 'cubic', antialias: 1, exclude_outside: 1 }, sized(2, 4, 3, 4)),
  ...['not_larger', 'not_smaller'].map((policy) =>
    resize(policy, { mode: 'linear', axes: [2, 3], keep_aspect_ratio_policy: policy }, sized(8, 9)),
  ),
  resize(
    'half_pixel_symmetric',
    { mode: 'linear', coordinate_transformation_mode: 'half_pixel_symmetric' },
    scaled(1, 1, 1.7, 1.3),
    19,
  ),
];

const moves: OpsetCase[] = [
  one('Pad', 'axes', { constants: [ints(1, 2, 0, 1), fromNumbers('float32', [], [3]), ints(3, 1)] }),
  one('Pad', 'edge, axes', { constants: [ints(1, 2), null, ints(-2)], attributes: { mode: 'edge' } }),
  one('Pad', 'reflect', { constants: [ints(0, 0, 1, 2, 0, 0, 2, 1)], attributes: { mode: 'reflect' } }),
  one('Pad', 'wrap', { since: 19, constants: [ints(0, 0, 1, 2, 0, 0, 2, 1)], attributes: { mode: 'wrap' } }),
  one('Split', 'num_outputs', {
    attributes: { axis: 2, num_outputs: 3 },
    outputs: [0, 1, 2].map(() => ({ dtype: 'float32', rank: 4 })),
  }),
  one('Split', 'sizes', {
    constants: [ints(1, 3)],
    attributes: { axis: 1 },
    outputs: [...result('float32', 4), ...result('float32', 4)],
  }),
  one('Concat', '', { feeds: [waves(), waves([2, 1, 5, 6])], attributes: { axis: 1 } }),
  one('Slice', 'steps', { constants: [ints(3, -1), ints(0, -9), ints(1, 3), ints(-2, -1)] }),
  one('Transpose', '', { attributes: { perm: [0, 2, 3, 1] } }),
  one('Reshape', '', { constants: [ints(0, -1, 3)], outputs: result('float32', 3) }),
  one('Flatten', '', { attributes: { axis: 2 }, outputs: result('float32', 2) }),
  one('Squeeze', 'axes as input', {
    feeds: [waves([2, 4, 1, 6])],
    constants: [ints(-2)],
    outputs: result('float32', 3),
  }),
  one('Unsqueeze', 'axes as input', { constants: [ints(1, -1)], outputs: result('float32', 6) }),
  one('Expand', '', {
    feeds: [waves([2, 4, 1, 6])],
    constants: [ints(3, 1, 1, 5, 1)],
    outputs: result('float32', 5),
  }),
  one('Tile', '', { constants: [ints(1, 2, 1, 2)] }),
  one('DepthToSpace', 'CRD', { attributes: { blocksize: 2, mode: 'CRD' } }),
  one('SpaceToDepth', '', { feeds: [waves([2, 3, 4, 6])], attributes: { blocksize: 2 } }),
  one('Trilu', 'upper, shifted', { constants: [scalar(1)] }),
  one('Shape', 'start', { attributes: { start: 1 }, outputs: result('int64', 1) }),
  one('Size', '', { outputs: result('int64', 0) }),
  one('ConstantOfShape', '', {
    feeds: [ints(2, 3)],
    attributes: { value: floats(1.5) },
    outputs: result('float32', 2),
  }),
  one('Range', 'integers', { feeds: [scalar(3), scalar(-8), scalar(-2)], outputs: result('int64', 1) }),
  one('Range', 'floats', {
    feeds: [0.5, 4, 0.75].map((value) => fromNumbers('float32', [], [value])),
    outputs: result('float32', 1),
  }),
];

const places: OpsetCase[] = [
  one('Gather', 'channels', { constants: [ints(3, 0, -2)], attributes: { axis: 1 } }),
  one('GatherElements', '', { constants: [whole([2, 4, 5, 2], 6)], attributes: { axis: 3 } }),
  one('GatherND', 'batch_dims', {
    constants: [int64Tensor([3, 0, 1, 4], [2, 1, 2])],
    attributes: { batch_dims: 1 },
    outputs: result('float32', 3),
  }),
  one('TopK', 'largest', {
    constants: [ints(3)],
    attributes: { axis: 1 },
    outputs: [...result('float32', 4), ...result('int64', 4)],
  }),
  one('TopK', 'smallest', {
    constants: [ints(2)],
    attributes: { axis: -1, largest: 0 },
    outputs: [...result('float32', 4), ...result('int64', 4)],
  }),
  ...['none', 'add', 'mul', 'max', 'min'].flatMap((reduction) => [
    one('ScatterND', reduction, {
      feeds: [waves(), int64Tensor([1, 3, 0, 2], [2, 2]), waves([2, 5, 6], 1, 1)],
      attributes: { reduction },
    }),
    one('ScatterElements', reduction, {
      feeds: [waves([3, 4]), int64Tensor([0, -1, 1, 3], [2, 2]), waves([2, 2], 1, 1)],
      attributes: { axis: 1, reduction },
    }),
  ]),
];

const einsums: OpsetCase[] = (
  [
    [
      'attention scores',
      'bhid,bhjd->bhij',
      [
        [2, 2, 3, 4],
        [2, 2, 5, 4],
      ],
      4,
    ],
    [
      'batched product',
      'bij,bjk->bik',
      [
        [2, 3, 4],
        [2, 4, 5],
      ],
      3,
    ],
    [
      'projection',
      'bsh,ho->bso',
      [
        [2, 3, 4],
        [4, 5],
      ],
      3,
    ],
    [
      'ellipsis',
      '...ij,...jk->...ik',
      [
        [2, 3, 4],
        [2, 4, 5],
      ],
      3,
    ],
    ['image by channel', 'nchw,ck->nkhw', [IMAGE, [4, 3]], 4],
    ['transposition', 'ij->ji', [[3, 4]], 2],
    ['sum', 'bij->b', [[2, 3, 4]], 1],
    [
      'no arrow',
      'bij,jk',
      [
        [2, 3, 4],
        [4, 5],
      ],
      3,
    ],
  ] as const
).map(([form, equation, shapes, rank]) =>
  one('Einsum', form, {
    feeds: shapes.map((shape, i) => waves(shape, 1, i)),
    attributes: { equation },
    outputs: result('float32', rank),
  }),
);

export const CASES: readonly OpsetCase[] = [
  elementwise,
  reductions,
  windows,
  resizes,
  moves,
  places,
  einsums,
].flat();
