import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { SigmaQuantError } from '../lib/errors.ts';
import {
  type Graph,
  type ImportOptions,
  importGraph,
  inferTypes,
  layers,
  type Tensor,
  toChannelsLast,
  unsupportedNodes,
} from '../lib/graph/index.ts';
import type { FileNode } from '../lib/onnx/index.ts';
import { evaluateGraph, floats, int64s, type ModelParts, modelBytes, node, wave } from './models/build.ts';

const testbed = new URL('../../shared/testbed/', import.meta.url);

function count(graph: Graph, op: string): number {
  return graph.nodes.filter((node) => node.op === op).length;
}

/** parameters and MACs as the test bed's README gives them, and layers. */
const NETWORKS: readonly [string, number, number, number][] = [
  ['resnet20-cifar10', 269_034, 40_551_040, 20],
  ['resnet20-cifar10-bn', 269_034, 40_551_040, 20],
  ['resnet8-cifar10', 77_706, 12_501_632, 10],
  ['dscnn-kws', 22_604, 2_656_768, 10],
  ['mobilenetv1-025-vww', 210_850, 7_489_664, 28],
  ['squeezenet11-imagenet', 1_235_496, 349_151_936, 26],
  ['mobilenetv2-imagenet', 3_487_816, 300_774_272, 53],
];

describe('graph: networks of the test bed', () => {
  before(function () {
    if (existsSync(testbed)) return;
    console.log('    skipped: ../shared/testbed is absent');
    this.skip();
  });

  for (const [name, parameters, macs, count_] of NETWORKS)
    it(`imports ${name}`, () => {
      const { graph } = importGraph(readFileSync(new URL(`models/${name}.onnx`, testbed)));
      assert.deepEqual(unsupportedNodes(graph), []);
      const last = toChannelsLast(graph);
      assert.equal(count(last, 'Transpose'), 1);
      assert.deepEqual(last.outputs, graph.outputs);
      for (const form of [graph, last]) {
        const found = layers(form);
        assert.equal(found.length, count_);
        assert.equal(
          found.reduce((sum, layer) => sum + layer.parameters, 0),
          parameters,
        );
        assert.equal(
          found.reduce((sum, layer) => sum + layer.macs, 0),
          macs,
        );
        assert.equal(count(form, 'Relu') + count(form, 'Clip') + count(form, 'BatchNormalization'), 0);
      }
      assert.deepEqual(
        layers(last).map(({ weights }) => weights),
        layers(graph).map(({ weights }) => weights),
      );
      assert.equal(graph.rawSigma.size, name.endsWith('-bn') ? 19 : 0);
      assert.equal(inferTypes(last, 3).get(last.outputs[0].name)!.shape[0], 3);
    });

  it('computes the same in both forms, and with batch-norm folded or not', () => {
    const logits = (file: string, foldBatchNorm: boolean) => {
      const bytes = readFileSync(new URL(`models/${file}.onnx`, testbed));
      const { graph } = importGraph(bytes, { foldBatchNorm });
      const x = wave([1, ...graph.inputs[0].shape.slice(1)] as number[]);
      return [graph, toChannelsLast(graph)].map((form) => {
        const values = evaluateGraph(form, { [form.inputs[0].name]: x });
        return values.get(form.outputs[0].name)!.data as Float32Array;
      });
    };
    const [plain, turned] = logits('resnet20-cifar10', true);
    assert.deepEqual(turned, plain);
    const [unfolded, unfoldedTurned] = logits('resnet20-cifar10-bn', false);
    assert.deepEqual(unfoldedTurned, unfolded);
    plain.forEach((value, i) => {
      assert.ok(Math.abs(value - unfolded[i]) < 1e-3, `logit ${i}: ${value} and ${unfolded[i]}`);
    });
  });
});

function imported(parts: ModelParts, options?: ImportOptions): Graph {
  return importGraph(modelBytes(parts), options).graph;
}

function refusal(parts: ModelParts, options?: ImportOptions): SigmaQuantError {
  try {
    imported(parts, options);
  } catch (error) {
    assert.ok(error instanceof SigmaQuantError, String(error));
    assert.match(error.message, /^Expected .*\.$/);
    return error;
  }
  return assert.fail('nothing was refused');
}

const image = { x: ['batch', 3, 4, 6] } as const;
const weights = { w: wave([5, 3, 3, 3]), b: wave([5], 1) };
const convolved = node('Conv', ['x', 'w', 'b'], ['c'], { pads: [1, 1, 1, 1] });

function ops(graph: Graph): string[] {
  return graph.nodes.map(({ op }) => op);
}

function closeTo(actual: Tensor, expected: Tensor, bound = 1e-5): void {
  assert.deepEqual(actual.shape, expected.shape);
  for (let i = 0; i < expected.data.length; i++) {
    const [a, b] = [Number(actual.data[i]), Number(expected.data[i])];
    assert.ok(Math.abs(a - b) <= bound * (1 + Math.abs(b)), `${a} and ${b} at ${i}`);
  }
}

describe('graph: normal form', () => {
  it('makes attributes explicit and names nameless nodes', () => {
    const graph = imported({
      inputs: image,
      outputs: ['c', 'm'],
      constants: weights,
      nodes: [
        { ...node('Conv', ['x', 'w', 'b'], ['c'], { auto_pad: 'SAME_UPPER', strides: [2, 2] }), name: '' },
        { ...node('MaxPool', ['x'], ['m'], { kernel_shape: [2, 2] }), name: '' },
      ],
    });
    assert.deepEqual(
      graph.nodes.map(({ name, attributes }) => [name, attributes]),
      [
        ['Conv_0', { strides: [2, 2], dilations: [1, 1], pads: [0, 0, 1, 1], group: 1 }],
        [
          'MaxPool_1',
          { kernel_shape: [2, 2], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], ceil_mode: 0 },
        ],
      ],
    );
    assert.deepEqual(graph.types.get('c'), { dtype: 'float32', shape: ['batch', 5, 2, 3] });
  });

  it('fuses activations into what makes their value, unless another reads it', () => {
    const relu = (extra: readonly FileNode[], outputs: readonly string[]) =>
      imported({
        inputs: image,
        outputs,
        constants: { ...weights, six: floats([], 6) },
        nodes: [convolved, node('Relu', ['c'], ['r']), node('Clip', ['r', '', 'six'], ['y']), ...extra],
      });
    const fused = relu([], ['y']);
    assert.deepEqual(ops(fused), ['Conv']);
    assert.deepEqual(fused.nodes[0].attributes['clamp'], [0, 6]);
    assert.deepEqual([fused.nodes[0].name, fused.nodes[0].outputs[0]], ['Conv:c', 'y']);
    assert.deepEqual(ops(relu([], ['y', 'c'])), ['Conv', 'Relu', 'Clip']);
    assert.deepEqual(ops(relu([node('Exp', ['c'], ['e'])], ['y', 'e'])), ['Conv', 'Relu', 'Clip', 'Exp']);
  });

  it('folds biases that follow, through identities, and Gemm and MatMul into Linear', () => {
    const x = wave([2, 4]);
    const parts: ModelParts = {
      inputs: { x: ['batch', 4] },
      outputs: ['y'],
      constants: { a: wave([4, 3], 2), b: wave([5, 3], 3), c: wave([5], 4), d: wave([1, 3], 5) },
      nodes: [
        node('MatMul', ['x', 'a'], ['m']),
        node('Identity', ['m'], ['i']),
        node('Add', ['d', 'i'], ['s']),
        node('Gemm', ['s', 'b', 'c'], ['y'], { transB: 1, alpha: 0.5, beta: 2 }),
      ],
    };
    const graph = imported(parts);
    assert.deepEqual(ops(graph), ['Linear', 'Linear']);
    assert.equal(layers(graph)[0].bias!.length, 3);
    const [a, b, c, d] = Object.values(parts.constants!).map(({ data }) => data as Float32Array);
    const expected = Array.from({ length: 10 }, (_, at) => {
      const [row, column] = [Math.floor(at / 5), at % 5];
      let sum = 2 * c[column];
      for (let j = 0; j < 3; j++) {
        let hidden = d[j];
        for (let k = 0; k < 4; k++) hidden += (x.data[row * 4 + k] as number) * a[k * 3 + j];
        sum += 0.5 * hidden * b[column * 3 + j];
      }
      return sum;
    });
    closeTo(evaluateGraph(graph, { x }).get('y')!, floats([2, 5], ...expected));
  });

  it('folds constants per channel into the layer before them, but not what divides by the value or broadcasts it', () => {
    const behind = (...nodes: FileNode[]) =>
      imported({
        inputs: { x: ['batch', 2, 3, 3] },
        outputs: ['y'],
        constants: {
          w: wave([3, 2, 1, 1], 1),
          s: floats([1], -2),
          c: wave([3, 1, 1], 2),
          full: wave([1, 3, 3, 3]),
        },
        nodes: [node('Conv', ['x', 'w'], ['a']), ...nodes],
      });
    const scaled = behind(
      node('Mul', ['s', 'a'], ['b']),
      node('Add', ['b', 'c'], ['d']),
      node('Sub', ['s', 'd'], ['e']),
      node('Div', ['e', 'c'], ['f']),
      node('Sub', ['f', 's'], ['y']),
    );
    assert.deepEqual(ops(scaled), ['Conv']);
    assert.deepEqual(scaled.nodes[0].outputs, ['y']);
    const x = wave([2, 2, 3, 3], 3);
    const [w, c] = [wave([3, 2, 1, 1], 1).data, wave([3, 1, 1], 2).data] as Float32Array[];
    const expected = Array.from({ length: 54 }, (_, i) => {
      const [batch, channel, pixel] = [Math.floor(i / 27), Math.floor(i / 9) % 3, i % 9];
      const at = (input: number) => (x.data as Float32Array)[batch * 18 + input * 9 + pixel];
      const a = w[channel * 2] * at(0) + w[channel * 2 + 1] * at(1);
      return (-2 - (-2 * a + c[channel])) / c[channel] + 2;
    });
    closeTo(evaluateGraph(scaled, { x }).get('y')!, floats([2, 3, 3, 3], ...expected));
    assert.deepEqual(ops(behind(node('Div', ['c', 'a'], ['y']))), ['Conv', 'Div']);
    assert.deepEqual(ops(behind(node('Mul', ['a', 'full'], ['y']))), ['Conv', 'Mul']);
    assert.deepEqual(ops(behind(node('Mul', ['a', 'a'], ['y']))), ['Conv', 'Mul']);
  });

  it('folds batch-norm into its convolution and remembers sigma', () => {
    const parts: ModelParts = {
      inputs: image,
      outputs: ['y'],
      constants: {
        ...weights,
        scale: floats([5], 1, 2, 0.5, -1, 3),
        shift: wave([5], 2),
        mean: wave([5], 3),
        variance: floats([5], 1, 0.5, 2, 0.1, 4),
      },
      nodes: [
        convolved,
        node('Identity', ['c'], ['i']),
        node('BatchNormalization', ['i', 'scale', 'shift', 'mean', 'variance'], ['n']),
        node('Relu', ['n'], ['y']),
      ],
    };
    const [folded, kept] = [imported(parts), imported(parts, { foldBatchNorm: false })];
    assert.deepEqual(ops(folded), ['Conv']);
    assert.deepEqual(ops(kept), ['Conv', 'BatchNormalization', 'Relu']);
    const data = weights.w.data as Float32Array;
    const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
    const sigma = Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
    assert.ok(Math.abs(folded.rawSigma.get('Conv:c')! - sigma) < 1e-12);
    const x = wave([2, 3, 4, 6], 5);
    const expected = evaluateGraph(kept, { x }).get('y')!;
    closeTo(evaluateGraph(folded, { x }).get('y')!, expected);
    closeTo(evaluateGraph(toChannelsLast(kept), { x }).get('y')!, expected);
  });

  it('folds shape arithmetic and keeps the batch a symbol', () => {
    const graph = imported({
      inputs: image,
      outputs: ['y'],
      constants: { zero: int64s(0), rest: int64s(-1), axes: int64s(0) },
      nodes: [
        node('Shape', ['x'], ['s']),
        node('Gather', ['s', 'zero'], ['n']),
        node('Concat', ['n', 'rest'], ['shape'], { axis: 0 }),
        node('Reshape', ['x', 'shape'], ['f']),
        node('Shape', ['f'], ['t']),
        node('Slice', ['t', 'zero', 'rest', 'axes'], ['u']),
        node('Concat', ['u', 'six', 'twelve'], ['v'], { axis: 0 }),
        node('Constant', [], ['six'], { value: int64s(6) }),
        node('Constant', [], ['twelve'], { value_ints: [12] }),
        node('Reshape', ['f', 'v'], ['y']),
      ],
    });
    assert.deepEqual(
      graph.nodes.map(({ op, attributes }) => [op, attributes]),
      [
        ['Reshape', { shape: [0, -1] }],
        ['Reshape', { shape: [0, 6, 12] }],
      ],
    );
    assert.deepEqual(graph.outputs[0].shape, ['batch', 6, 12]);
    assert.equal(graph.constants.size, 0);
  });

  it('widens float16 weights, and Constant weights count as weights', () => {
    const half = (tensor: Tensor): Tensor => ({
      dtype: 'float16',
      shape: tensor.shape,
      data: new Uint16Array(tensor.data.length).fill(0x3e00),
    });
    const graph = imported({
      inputs: image,
      outputs: ['c'],
      constants: { b: half(weights.b) },
      nodes: [
        node('Constant', [], ['w'], { value: half(weights.w) }),
        node('Conv', ['x', 'w', 'b'], ['c'], { pads: [1, 1, 1, 1] }),
      ],
    });
    const [layer] = layers(graph);
    assert.ok(layer.weights.every((value) => value === 1.5));
    assert.equal(layer.bias![0], 1.5);
  });

  it('gives weights with a reader each their own constants', () => {
    const shared = imported({
      inputs: { x: ['batch', 4] },
      outputs: ['y'],
      constants: { w: wave([4, 4]) },
      nodes: [node('MatMul', ['x', 'w'], ['h']), node('Gemm', ['h', 'w'], ['y'], { transB: 1 })],
    });
    const [first, second] = layers(shared);
    assert.equal(first.weights[1], second.weights[4]);
  });
});

describe('graph: refusals', () => {
  const conv = { inputs: image, outputs: ['c'], constants: weights, nodes: [convolved] };

  it('names what is wrong with a graph', () => {
    const cases: readonly [ModelParts, RegExp][] = [
      [
        { ...conv, nodes: [node('Relu', ['a'], ['d']), node('Relu', ['d'], ['a'])], outputs: ['a'] },
        /cycles.*Relu:/,
      ],
      [{ ...conv, nodes: [node('Relu', ['nowhere'], ['c'])] }, /"nowhere" of node Relu:c/],
      [{ ...conv, outputs: ['absent'] }, /output "absent"/],
      [{ ...conv, nodes: [convolved, node('Relu', ['x'], ['c'])] }, /"c" to be made once.*Relu:c/],
      [{ ...conv, constants: { ...weights, w: wave([5, 4, 3, 3]) } }, /Conv:c.*\[5, 4, 3, 3\]/],
      [{ ...conv, constants: { ...weights, b: wave([4]) } }, /Conv:c/],
      [
        {
          ...conv,
          constants: { ...weights, w: { ...int64s(...new Array<number>(135).fill(1)), shape: [5, 3, 3, 3] } },
        },
        /Conv:c.*int64/,
      ],
      [{ ...conv, constants: { ...weights, w: wave([5, 3, 9, 9]) } }, /Conv:c/],
    ];
    for (const [parts, message] of cases) {
      const error = refusal(parts);
      assert.equal(error.code, 'MALFORMED_MODEL', error.message);
      assert.match(error.message, message);
    }
  });

  it('refuses weights that are not finite, naming the tensor', () => {
    for (const value of [Number.NaN, Infinity, -Infinity]) {
      const w = wave([5, 3, 3, 3]);
      w.data[7] = value;
      const error = refusal({ ...conv, constants: { ...weights, w } });
      assert.equal(error.code, 'MALFORMED_MODEL');
      assert.match(error.message, new RegExp(`tensor "w" but received ${value} at element 7`));
    }
  });

  it('refuses quantized models, unless asked to accept them', () => {
    const parts: ModelParts = {
      inputs: image,
      outputs: ['y'],
      constants: { s: floats([], 0.1), z: { dtype: 'uint8', shape: [], data: Uint8Array.of(128) } },
      nodes: [
        node('QuantizeLinear', ['x', 's', 'z'], ['q']),
        node('DequantizeLinear', ['q', 's', 'z'], ['y']),
      ],
    };
    const error = refusal(parts);
    assert.equal(error.code, 'UNSUPPORTED_MODEL');
    assert.match(error.message, /already quantized.*QuantizeLinear:q/);
    assert.deepEqual(ops(imported(parts, { acceptQuantized: true })), ['QuantizeLinear', 'DequantizeLinear']);
  });

  it('asks for shapes that the model leaves open', () => {
    const open = { ...conv, inputs: { x: ['batch', 3, 'height', 'width'] } };
    const error = refusal(open);
    assert.equal(error.code, 'UNSUPPORTED_MODEL');
    assert.match(error.message, /input "x".*--input-shape x=1x3x224x224/);
    assert.deepEqual(imported(open, { inputShapes: { x: [1, 3, 8, 9] } }).outputs[0].shape, [
      'batch',
      5,
      8,
      9,
    ]);
    assert.equal(refusal(open, { inputShapes: { x: [1, 4, 8, 8] } }).code, 'INVALID_ARGUMENT');
    assert.equal(refusal(open, { inputShapes: { x: [1, 3, 8] } }).code, 'INVALID_ARGUMENT');
    assert.match(refusal(open, { inputShapes: { z: [1, 3, 8, 8] } }).message, /"z"/);
  });

  it('imports unknown operators and names them', () => {
    const graph = imported({
      ...conv,
      outputs: ['y', 'z'],
      nodes: [
        convolved,
        node('Foo', ['c'], ['f']),
        node('Relu', ['f'], ['y']),
        { ...node('Bar', ['x'], ['z']), domain: 'acme' },
      ],
    });
    assert.deepEqual(
      unsupportedNodes(graph).map(({ op, name }) => [op, name]),
      [
        ['Foo', 'Foo:f'],
        ['acme.Bar', 'Bar:z'],
      ],
    );
    assert.equal(layers(graph).length, 1);
  });

  it('refuses operator sets that it does not know', () => {
    assert.match(refusal({ ...conv, opset: 99 }).message, /but received 99/);
    assert.match(
      refusal({ ...conv, opset: 6, nodes: [convolved, node('Add', ['c', 'c'], ['y'])] }).message,
      /Add/,
    );
  });
});

/** Graphs behind a convolution c [batch, 5, 4, 6]; how many Transposes the channels-last form may have. */
const LAYOUTS: readonly [string, number, readonly FileNode[], Readonly<Record<string, Tensor>>?, number?][] =
  [
    ['an output', 2, [node('Identity', ['c'], ['y'])]],
    ['elementwise constants', 2, [node('Mul', ['c', 'k'], ['y'])], { k: wave([5, 1, 1]) }],
    ['elementwise, full rank', 2, [node('Sub', ['k', 'c'], ['y'])], { k: wave([1, 5, 4, 6]) }],
    ['elementwise scalars', 2, [node('Div', ['c', 'k'], ['y'])], { k: floats([], 3) }],
    ['PRelu', 2, [node('PRelu', ['c', 'k'], ['y'])], { k: wave([5, 1, 1]) }],
    [
      'a residual of the input',
      2,
      [node('Conv', ['c', 'v'], ['d']), node('Add', ['d', 'x'], ['y'])],
      { v: wave([3, 5, 1, 1]) },
    ],
    ['Concat', 2, [node('Concat', ['c', 'x', 'c'], ['y'], { axis: -3 })]],
    ['Softmax on channels', 2, [node('Softmax', ['c'], ['y'], { axis: 1 })]],
    ['Softmax of old', 2, [node('Softmax', ['c'], ['y'], { axis: 1 })], {}, 11],
    [
      'Split',
      2,
      [node('Split', ['c', 'k'], ['a', 'b2'], { axis: 1 }), node('Concat', ['b2', 'a'], ['y'], { axis: 1 })],
      { k: int64s(2, 3) },
    ],
    [
      'Slice',
      2,
      [node('Slice', ['c', 's', 'e', 'a', 't'], ['y'])],
      { s: int64s(3, -1), e: int64s(0, -9), a: int64s(1, 3), t: int64s(-1, -2) },
    ],
    ['Slice without axes', 2, [node('Slice', ['c', 's', 'e'], ['y'])], { s: int64s(0, 1), e: int64s(9, 4) }],
    ['Slice of old', 2, [node('Slice', ['c'], ['y'], { starts: [1], ends: [3], axes: [2] })], {}, 9],
    [
      'Pad',
      2,
      [node('Pad', ['c', 'p', 'v'], ['y'])],
      { p: int64s(0, 1, 2, 3, 0, 1, 0, 2), v: floats([], 7) },
    ],
    [
      'Pad by edges',
      2,
      [node('Pad', ['c', 'p'], ['y'], { mode: 'edge' })],
      { p: int64s(0, 0, 2, 3, 0, 0, 1, 2) },
    ],
    ['Transpose', 2, [node('Transpose', ['c'], ['y'], { perm: [0, 3, 1, 2] })]],
    ['Transpose to channels-last', 2, [node('Transpose', ['c'], ['y'], { perm: [0, 2, 3, 1] })]],
    ['means over space', 1, [node('ReduceMean', ['c'], ['y'], { axes: [2, 3], keepdims: 0 })]],
    ['means over channels', 2, [node('ReduceMean', ['c'], ['y'], { axes: [1] })]],
    ['sums over height', 2, [node('ReduceSum', ['c', 'a'], ['y'], { keepdims: 0 })], { a: int64s(-2) }],
    [
      'sums over channels and width',
      1,
      [node('ReduceSum', ['c', 'a'], ['y'], { keepdims: 0 })],
      { a: int64s(1, 3) },
    ],
    ['maxima of all', 1, [node('ReduceMax', ['c'], ['y'], { keepdims: 0 })]],
    ['ArgMax', 1, [node('ArgMax', ['c'], ['y'], { axis: 1, keepdims: 0 })]],
    [
      'one channel',
      1,
      [node('Gather', ['c', 'i'], ['y'], { axis: 1 })],
      { i: { dtype: 'int64', shape: [], data: BigInt64Array.of(2n) } },
    ],
    ['some channels', 2, [node('Gather', ['c', 'i'], ['y'], { axis: 1 })], { i: int64s(3, 0) }],
    ['Flatten of an image', 2, [node('Flatten', ['c'], ['y'])]],
    ['Reshape of an image', 2, [node('Reshape', ['c', 's'], ['y'])], { s: int64s(0, 0, -1) }],
    ['Flatten of one pixel', 1, [node('GlobalAveragePool', ['c'], ['g']), node('Flatten', ['g'], ['y'])]],
    [
      'Reshape of one pixel',
      1,
      [node('GlobalMaxPool', ['c'], ['g']), node('Reshape', ['g', 's'], ['y'])],
      { s: int64s(0, 0) },
    ],
    [
      'Squeeze',
      1,
      [node('GlobalAveragePool', ['c'], ['g']), node('Squeeze', ['g', 'a'], ['y'])],
      { a: int64s(2, 3) },
    ],
    [
      'MatMul of images',
      3,
      [node('Transpose', ['c'], ['t'], { perm: [0, 1, 3, 2] }), node('MatMul', ['c', 't'], ['y'])],
    ],
    [
      'squeeze and excite',
      2,
      [
        node('GlobalAveragePool', ['c'], ['g']),
        node('Conv', ['g', 'v'], ['h']),
        node('HardSigmoid', ['h'], ['s']),
        node('Mul', ['s', 'c'], ['y']),
      ],
      { v: wave([5, 5, 1, 1]) },
    ],
    [
      'DepthToSpace',
      2,
      [node('Conv', ['c', 'v'], ['d']), node('DepthToSpace', ['d'], ['y'], { blocksize: 2 })],
      { v: wave([8, 5, 1, 1]) },
    ],
    [
      'ConvTranspose',
      2,
      [node('ConvTranspose', ['c', 'v'], ['d'], { strides: [2, 2] }), node('Relu', ['d'], ['y'])],
      { v: wave([5, 2, 3, 3]) },
    ],
    [
      'Resize',
      2,
      [node('Resize', ['c', '', 's'], ['y'], { mode: 'linear' })],
      { s: floats([4], 1, 1, 2, 1.5) },
    ],
    ['InstanceNormalization', 2, [node('InstanceNormalization', ['c', 'k', 'k'], ['y'])], { k: wave([5]) }],
    [
      'pools',
      2,
      [
        node('AveragePool', ['c'], ['a'], { kernel_shape: [2, 3], pads: [1, 1, 0, 1], count_include_pad: 1 }),
        node('MaxPool', ['a'], ['y'], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }),
      ],
    ],
    [
      'a broadcast vector',
      2,
      [node('ReduceMean', ['c'], ['m'], { axes: [0, 1, 2], keepdims: 0 }), node('Add', ['c', 'm'], ['y'])],
    ],
  ];

describe('graph: channels-last', () => {
  for (const [name, transposes, nodes, constants = {}, opset] of LAYOUTS)
    it(`computes the same: ${name}`, () => {
      const graph = imported({
        inputs: image,
        outputs: ['y'],
        constants: { ...weights, ...constants },
        nodes: [convolved, ...nodes],
        ...(opset ? { opset } : {}),
      });
      const last = toChannelsLast(graph);
      const x = wave([2, 3, 4, 6], 1);
      closeTo(evaluateGraph(last, { x }).get('y')!, evaluateGraph(graph, { x }).get('y')!);
      assert.equal(count(last, 'Transpose'), transposes, ops(last).join());
      assert.deepEqual(last.outputs, graph.outputs);
      const { shape } = evaluateGraph(graph, { x }).get('y')!;
      assert.deepEqual(inferTypes(last, 2).get('y')?.shape, shape);
    });

  it('takes back the transpositions of a model that was channels-last', () => {
    const graph = imported({
      inputs: { x: ['batch', 4, 6, 3] },
      outputs: ['y'],
      constants: weights,
      nodes: [
        node('Transpose', ['x'], ['t'], { perm: [0, 3, 1, 2] }),
        node('Conv', ['t', 'w', 'b'], ['c']),
        node('GlobalAveragePool', ['c'], ['g']),
        node('Flatten', ['g'], ['y']),
      ],
    });
    assert.deepEqual(ops(toChannelsLast(graph)), ['Conv', 'GlobalAveragePool', 'Flatten']);
  });

  it('serves one and three spatial axes', () => {
    for (const spatial of [[7], [4, 3, 5]]) {
      const graph = imported({
        inputs: { x: ['batch', 4, ...spatial] },
        outputs: ['y'],
        constants: { w: wave([6, 2, ...spatial.map(() => 2)]) },
        nodes: [
          node('Conv', ['x', 'w'], ['c'], { group: 2 }),
          node('MaxPool', ['c'], ['y'], { kernel_shape: spatial.map(() => 2) }),
        ],
      });
      const x = wave([2, 4, ...spatial]);
      closeTo(evaluateGraph(toChannelsLast(graph), { x }).get('y')!, evaluateGraph(graph, { x }).get('y')!);
      assert.equal(layers(graph)[0].taps, 2 ** spatial.length);
    }
  });
});
