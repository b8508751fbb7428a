import assert from 'node:assert/strict';
import { ortModel } from '../lib/export/ort.ts';
import { checkReadBack, quantizationOf } from '../lib/export/read-back.ts';
import type { Graph, Node, Port, Tensor, ValueType } from '../lib/graph/graph.ts';
import { type FileModel, type FileNode, writeModel } from '../lib/onnx/index.ts';
import type { Quantization, Quantizer } from '../lib/quant/quantizer.ts';

const INF = Number.POSITIVE_INFINITY;
const u8 = (scale: number, zeroPoint = 0, bits = 8): Quantizer => ({
  bits,
  scale: Math.fround(scale),
  zeroPoint,
  low: 0,
  high: 2 ** bits - 1,
});
const float = (shape: number[], fill = 0.5): Tensor => ({
  dtype: 'float32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill),
});

/** A graph in onnx form, with the types of all values given by shape. */
function graphOf(
  opset: number,
  nodes: Node[],
  constants: Record<string, Tensor>,
  shapes: Record<string, (number | string)[]>,
  inputs: string[],
  outputs: string[],
): Graph {
  const type = (name: string): ValueType => ({ dtype: 'float32', shape: shapes[name] });
  const port = (name: string): Port => ({ name, ...type(name) });
  return {
    name: 'net',
    opset,
    inputs: inputs.map(port),
    outputs: outputs.map(port),
    nodes,
    constants: new Map(Object.entries(constants)),
    types: new Map(Object.keys(shapes).map((name) => [name, type(name)])),
    rawSigma: new Map(),
    layout: 'onnx',
  };
}

const conv = (name: string, input: string, output: string, clamp: [number, number]): Node => ({
  name,
  op: 'Conv',
  inputs: [input, `${name}.w`],
  outputs: [output],
  attributes: { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: 1, clamp },
});

/** x -> conv -> y -> conv -> z, z is the output; 2 channels, kernels of 1 x 2. */
function chain(clamp: [number, number], last: [number, number] = [-INF, INF]): Graph {
  return graphOf(
    13,
    [conv('first', 'x', 'y', clamp), conv('second', 'y', 'z', last)],
    { 'first.w': float([2, 2, 1, 2]), 'second.w': float([2, 2, 1, 2]) },
    { x: ['N', 2, 4, 4], y: ['N', 2, 4, 3], z: ['N', 2, 4, 2] },
    ['x'],
    ['z'],
  );
}

function chainQuantization(y: Quantizer): Quantization {
  return {
    activations: new Map([
      ['x', u8(0.1, 128)],
      ['y', y],
    ]),
    layers: new Map([
      [
        'first',
        {
          bits: 3,
          q: Int8Array.of(-4, 3, 1, 2, 0, -1, -2, -3),
          scales: Float32Array.of(0.25, 0.5),
          bias: Float32Array.of(1, -0.3),
        },
      ],
      [
        'second',
        {
          bits: 8,
          q: Int8Array.of(-128, 127, 5, 6, 7, 8, 9, 10),
          scales: Float32Array.of(0.01, 0.02),
          bias: new Float32Array(2),
        },
      ],
    ]),
  };
}

const emit = (graph: Graph, quantization: Quantization, opset: 13 | 21 = 21): FileModel =>
  ortModel(graph, quantization, { opset, metadata: new Map() });
const ops = (file: FileModel) => file.nodes.map(({ op }) => op);
const tensor = (file: FileModel, name: string) => file.initializers.find((t) => t.name === name)!;
const numbers = (file: FileModel, name: string) =>
  Array.from(tensor(file, name).tensor.data as Float32Array, Number);
const maker = (file: FileModel, value: string): FileNode =>
  file.nodes.find((n) => n.outputs.includes(value))!;

describe('export profile ort', () => {
  const file = emit(chain([0, INF]), chainQuantization(u8(0.2)));

  it('quantizes between layers and leaves the output in float', () => {
    assert.deepEqual(ops(file), [
      ...['QuantizeLinear', 'DequantizeLinear'],
      ...['DequantizeLinear', 'DequantizeLinear', 'Conv', 'QuantizeLinear', 'DequantizeLinear'],
      ...['DequantizeLinear', 'DequantizeLinear', 'Conv'],
    ]);
    assert.equal(maker(file, 'z').op, 'Conv');
    assert.deepEqual(file.outputs, [{ name: 'z', dtype: 'float32', shape: ['N', 2, 4, 2] }]);
  });

  it('stores integers channels first, with the bias at exactly fl(sa * sw)', () => {
    // [out][taps][channels] -> [out][channels][taps]
    assert.deepEqual(numbers(file, 'first_weight'), [-4, 1, 3, 2, 0, -2, -1, -3]);
    assert.deepEqual(tensor(file, 'first_weight').tensor.shape, [2, 2, 1, 2]);
    assert.equal(tensor(file, 'first_weight').tensor.dtype, 'int8');
    const scale = Math.fround(0.1);
    assert.deepEqual(numbers(file, 'first_bias_scale'), [
      Math.fround(scale * 0.25),
      Math.fround(scale * 0.5),
    ]);
    assert.deepEqual(numbers(file, 'first_bias'), [40, -6]);
    assert.equal(tensor(file, 'first_bias').tensor.dtype, 'int32');
  });

  it('says the width at each tensor in opset 21, and for the whole model in both', () => {
    assert.equal(file.opset, 21);
    assert.equal(file.irVersion, 10);
    assert.equal(tensor(file, 'first_weight').metadata!.get('sigmaquant.bits'), '3');
    assert.deepEqual(JSON.parse(file.metadata!.get('sigmaquant.widths')!), {
      first: { weights: 3, activations: 8 },
      second: { weights: 8, activations: 8 },
    });
    const older = emit(chain([0, INF]), chainQuantization(u8(0.2)), 13);
    assert.equal(older.opset, 13);
    assert.equal(older.irVersion, 7);
    assert.ok(older.initializers.every(({ metadata }) => metadata === undefined));
    assert.equal(older.metadata!.get('sigmaquant.widths'), file.metadata!.get('sigmaquant.widths'));
  });

  it('lets the range stand for a Relu, and an integer Clip for what the range does not imply', () => {
    const clip = (clamp: [number, number], y: Quantizer) => {
      const made = emit(chain(clamp), chainQuantization(y));
      const node = made.nodes.find(({ op }) => op === 'Clip');
      assert.ok(!made.nodes.some(({ op }) => op === 'Relu'));
      return node?.inputs.slice(1).map((name) => numbers(made, name)[0]);
    };
    assert.equal(clip([0, INF], u8(0.2)), undefined);
    assert.deepEqual(clip([0, INF], u8(0.2, 100)), [100, 255]);
    assert.deepEqual(clip([0, 6], u8(0.1)), [0, 60]);
    assert.equal(clip([0, 6], u8(6 / 255)), undefined);
    assert.deepEqual(clip([-INF, INF], u8(0.2, 3, 4)), [0, 15]);
  });

  it('keeps the clamp of a float output', () => {
    const made = emit(chain([0, INF], [0, 6]), chainQuantization(u8(0.2)));
    assert.deepEqual(ops(made).slice(-2), ['Conv', 'Clip']);
    assert.equal(maker(made, 'z').op, 'Clip');
    assert.deepEqual(ops(emit(chain([0, INF], [0, INF]), chainQuantization(u8(0.2)))).slice(-2), [
      'Conv',
      'Relu',
    ]);
  });

  for (const opset of [13, 21] as const)
    it(`comes back from a file of opset ${opset} with the same integers`, () => {
      const quantization = chainQuantization(u8(0.2, 0, 5));
      const bytes = writeModel(emit(chain([0, INF]), quantization, opset));
      assert.deepEqual(bytes, writeModel(emit(chain([0, INF]), quantization, opset)));
      checkReadBack(bytes, quantization);
      const read = quantizationOf(bytes);
      assert.deepEqual(read.activations.get('y'), {
        bits: 5,
        scale: Math.fround(0.2),
        zeroPoint: 0,
        low: 0,
        high: 31,
      });
      assert.deepEqual(read.layers.get('first')!.q, quantization.layers.get('first')!.q);
      const changed = structuredClone(quantization.layers.get('first')!);
      changed.q[0] = 1;
      assert.throws(
        () =>
          checkReadBack(bytes, {
            ...quantization,
            layers: new Map([...quantization.layers, ['first', changed]]),
          }),
        { code: 'INTERNAL', message: /integers of layer first/ },
      );
    });

  it('writes a Linear of three dimensions as a matrix product that fuses', () => {
    const graph = graphOf(
      13,
      [
        {
          name: 'fc',
          op: 'Linear',
          inputs: ['x', 'w', 'b'],
          outputs: ['y'],
          attributes: { clamp: [-INF, INF] },
        },
        { name: 'out', op: 'Linear', inputs: ['y', 'v'], outputs: ['z'], attributes: { clamp: [-INF, INF] } },
      ],
      { w: float([5, 3]), b: float([5]), v: float([2, 5]) },
      { x: ['N', 7, 3], y: ['N', 7, 5], z: ['N', 7, 2] },
      ['x'],
      ['z'],
    );
    const layer = {
      bits: 4,
      q: new Int8Array(15),
      scales: new Float32Array(5).fill(0.1),
      bias: new Float32Array(5),
    };
    const made = emit(graph, {
      activations: new Map([
        ['x', u8(0.1)],
        ['y', u8(0.1)],
      ]),
      layers: new Map([['fc', layer]]),
    });
    const gemm = made.nodes.find(({ name }) => name === 'fc')!;
    assert.equal(gemm.op, 'Gemm');
    assert.deepEqual(gemm.attributes, { transB: 1 });
    const shapes = made.nodes
      .filter(({ op }) => op === 'Reshape')
      .map(({ inputs }) => numbers(made, inputs[1]));
    assert.deepEqual(shapes, [
      [-1, 3],
      [-1, 7, 5],
    ]);
    // The other one has no integers: a float product with its weights transposed.
    const product = made.nodes.find(({ name }) => name === 'out')!;
    assert.equal(product.op, 'MatMul');
    assert.deepEqual(tensor(made, product.inputs[1]).tensor.shape, [5, 2]);
  });

  describe('nodes that stay in float', () => {
    const one = (node: Partial<Node> & { op: string }, opset: number, to: 13 | 21 = 21, constants = {}) => {
      const graph = graphOf(
        opset,
        [{ name: 'n', inputs: ['x'], outputs: ['y'], attributes: {}, ...node }],
        constants,
        { x: ['N', 3, 4, 4], y: ['N', 3, 4, 4] },
        ['x'],
        ['y'],
      );
      const made = emit(graph, { activations: new Map(), layers: new Map() }, to);
      const [only] = made.nodes;
      const stored = only.inputs.slice(1).map((name) => (name === '' ? null : numbers(made, name)));
      return { op: only.op, attributes: only.attributes, stored };
    };

    it('take the form of the opset of the file', () => {
      assert.deepEqual(one({ op: 'ReduceMean', attributes: { axes: [2, 3], keepdims: 0 } }, 13), {
        op: 'ReduceMean',
        attributes: { keepdims: 0 },
        stored: [[2, 3]],
      });
      assert.deepEqual(one({ op: 'ReduceMean', attributes: { axes: [2, 3] } }, 13, 13).attributes, {
        axes: [2, 3],
      });
      assert.deepEqual(one({ op: 'Slice', attributes: { starts: [1], ends: [3] } }, 9).stored, [
        [1],
        [3],
        [0],
      ]);
      assert.deepEqual(one({ op: 'Split', attributes: { axis: 1 } }, 13).attributes, {
        axis: 1,
        num_outputs: 1,
      });
      assert.deepEqual(one({ op: 'Upsample', attributes: { mode: 'nearest', scales: [1, 1, 2, 2] } }, 7), {
        op: 'Resize',
        attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
        stored: [null, [1, 1, 2, 2]],
      });
      assert.deepEqual(one({ op: 'Softmax', attributes: { axis: 3 } }, 11).attributes, { axis: 3 });
      const axes = { a: { dtype: 'int64', shape: [1], data: BigInt64Array.of(2n) } as Tensor };
      assert.deepEqual(one({ op: 'ReduceMax', inputs: ['x', 'a'] }, 20, 13, axes), {
        op: 'ReduceMax',
        attributes: { axes: [2] },
        stored: [],
      });
    });

    it('repeat scales of groups for their channels, and forget what older casts and scatters do not have', () => {
      const list = (...data: number[]): Tensor => ({
        ...float([data.length]),
        data: Float32Array.from(data),
      });
      const scales = { s: list(1, 2, 3), b: list(4, 5, 6) };
      const norm = { op: 'GroupNormalization', inputs: ['x', 's', 'b'], attributes: { num_groups: 3 } };
      assert.deepEqual(one(norm, 18, 21, scales).stored, [
        [1, 2, 3],
        [4, 5, 6],
      ]);
      const single = { s: list(7), b: list(8) };
      assert.deepEqual(one({ ...norm, attributes: { num_groups: 1 } }, 18, 21, single).stored, [
        [7, 7, 7],
        [8, 8, 8],
      ]);
      const cast = { op: 'Cast', attributes: { to: 1, saturate: 1, round_mode: 'up' } };
      assert.deepEqual(one(cast, 24, 21).attributes, { to: 1, saturate: 1 });
      assert.deepEqual(one(cast, 24, 13).attributes, { to: 1 });
      assert.deepEqual(one({ op: 'ScatterND', attributes: { reduction: 'none' } }, 18, 13).attributes, {});
    });

    it('are refused where that opset cannot say them', () => {
      const refusal = { code: 'UNSUPPORTED_MODEL', message: /node n/ };
      assert.throws(() => one({ op: 'Softmax', attributes: { axis: 1 } }, 11), refusal);
      assert.throws(() => one({ op: 'LayerNormalization' }, 17, 13), refusal);
      assert.throws(() => one({ op: 'Swish' }, 24), refusal);
      assert.throws(() => one({ op: 'ScatterND', attributes: { reduction: 'max' } }, 18, 13), refusal);
      assert.throws(() => one({ op: 'GroupNormalization', inputs: ['x', 'x', 'x'] }, 18, 21), refusal);
    });

    it('give pools, pads, reshapes and clips their ONNX form back', () => {
      assert.deepEqual(
        one({ op: 'Pad', attributes: { pads: [0, 0, 1, 1, 0, 0, 1, 1], value: 0.5, mode: 'constant' } }, 13),
        {
          op: 'Pad',
          attributes: { mode: 'constant' },
          stored: [[0, 0, 1, 1, 0, 0, 1, 1], [0.5]],
        },
      );
      assert.deepEqual(one({ op: 'Reshape', attributes: { shape: [0, -1] } }, 13).stored, [[0, -1]]);
      assert.deepEqual(one({ op: 'Clip', attributes: { clamp: [0, 6] } }, 13).stored, [[0], [6]]);
      assert.deepEqual(one({ op: 'Clip', attributes: { clamp: [-INF, 6] } }, 13).stored, [null, [6]]);
      const pool = {
        kernel_shape: [2, 2],
        strides: [2, 2],
        pads: [0, 0, 0, 0],
        ceil_mode: 0,
        count_include_pad: 1,
      };
      assert.deepEqual(
        one({ op: 'AveragePool', attributes: { ...pool, dilations: [1, 1] } }, 13).attributes,
        pool,
      );
    });
  });

  it('dequantizes a network output that other layers read as integers', () => {
    const graph = {
      ...chain([0, INF]),
      outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 2, 4, 3] } as Port],
    };
    const made = emit(graph, chainQuantization(u8(0.2)));
    assert.equal(maker(made, 'y').op, 'DequantizeLinear');
    assert.ok(made.nodes.find(({ name }) => name === 'second')!.inputs.includes('y'));
  });
});
