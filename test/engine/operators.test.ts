import assert from 'node:assert/strict';
import { compile, quantizedValues } from '../../lib/engine/index.ts';
import { interleave } from '../../lib/engine/strided-copy.ts';
import { type Attribute, evaluateNode, type Tensor } from '../../lib/graph/index.ts';
import { copyPlane } from '../../lib/kernels/copy-plane.ts';
import { same } from '../contract/support.ts';
import { image, Network } from './network.ts';
import { interpret } from './oracle.ts';
import { availableKernels, close, one, quantizationOf } from './support.ts';

const available = await availableKernels();

describe('engine: without a kernel', () => {
  const open = { clamp: [-Infinity, Infinity] };
  const kernels = available.at(-1)!;

  it('float: as the table of operators evaluates them', () => {
    const net = new Network(9);
    net.type('image', ['batch', 3, 7, 6]);
    net.node('Transpose', 'pixels', ['image'], ['batch', 7, 6, 3], { perm: [0, 2, 3, 1] });
    net.conv('conv', 'pixels', [4, 3, 3, 3], ['batch', 7, 6, 4]);
    net.node('GlobalAveragePool', 'squeezed', ['conv'], ['batch', 1, 1, 4]);
    net.node('Sigmoid', 'gate', ['squeezed'], ['batch', 1, 1, 4]);
    net.node('Mul', 'excited', ['conv', 'gate'], ['batch', 7, 6, 4]);
    net.node('Add', 'shifted', ['excited', 'squeezed'], ['batch', 7, 6, 4], { clamp: [0, 0.5] });
    net.node('AveragePool', 'pooled', ['shifted'], ['batch', 4, 3, 4], {
      kernel_shape: [3, 3],
      strides: [2, 2],
      dilations: [1, 1],
      pads: [1, 1, 0, 0],
      ceil_mode: 1,
      count_include_pad: 1,
    });
    net.node('Softmax', 'shares', ['pooled'], ['batch', 4, 3, 4], { axis: 3 });
    const graph = net.graph(['image'], ['shares']);
    const input = image(2);
    const executor = compile(graph, kernels);
    const actual = executor.run(one('image', input), [...net.types.keys()]);
    const values = new Map<string, Tensor>([...graph.constants, ['image', input]]);
    for (const node of graph.nodes) {
      const inputs = node.inputs.map((name) => values.get(name) ?? null);
      const [result] = evaluateNode(graph, node, inputs);
      values.set(node.name, result);
      close(actual.get(node.name)!, result.data as Float32Array, node.name);
    }
    executor.dispose();
  });

  it('integers: float islands between quantizers, and they are named', () => {
    const net = new Network(11);
    net.type('image', ['batch', 3, 7, 6]);
    net.node('Transpose', 'pixels', ['image'], ['batch', 7, 6, 3], { perm: [0, 2, 3, 1] });
    net.conv('first', 'pixels', [4, 3, 3, 3], ['batch', 7, 6, 4], open);
    net.node('Sigmoid', 'gate', ['first'], ['batch', 7, 6, 4]);
    net.node('Mul', 'swish', ['first', 'gate'], ['batch', 7, 6, 4]);
    net.conv('last', 'swish', [2, 3, 3, 4], ['batch', 7, 6, 2], open);
    const graph = net.graph(['image'], ['last']);
    const input = image(2);
    const quantization = quantizationOf(graph, input);
    assert.deepEqual([...quantization.activations.keys()], ['image', 'first', 'swish']);
    const executor = compile(graph, kernels, { quantization });
    assert.deepEqual(executor.floatNodes, ['gate', 'swish']);
    const expected = interpret(graph, input, quantization);
    const actual = executor.run(one('image', input), ['first', 'gate', 'swish', 'last']);
    for (const [name, { data }] of actual) same(data as Uint8Array, expected.get(name)!.data, name);
    assert.equal(actual.get('gate')!.dtype, 'float32');
    executor.dispose();
  });

  it('integers move through Split as bytes', () => {
    const net = new Network(13);
    net.type('image', ['batch', 3, 7, 6]);
    net.node('Transpose', 'pixels', ['image'], ['batch', 7, 6, 3], { perm: [0, 2, 3, 1] });
    net.conv('first', 'pixels', [4, 3, 3, 3], ['batch', 7, 6, 4], open);
    net.ints('parts', [1, 3]);
    net.nodes.push({
      name: 'split',
      op: 'Split',
      inputs: ['first', 'parts'],
      outputs: ['left', 'right'],
      attributes: { axis: 3 },
    });
    net.type('left', ['batch', 7, 6, 1]);
    net.type('right', ['batch', 7, 6, 3]);
    net.conv('last', 'right', [2, 3, 3, 3], ['batch', 7, 6, 2], open);
    const graph = net.graph(['image'], ['last']);
    const scale = Math.fround(0.02);
    const quantizer = { bits: 8, scale, zeroPoint: 100, low: 0, high: 255 };
    const values = quantizedValues(graph).map(({ value }) => value);
    assert.deepEqual(values, ['image', 'first']);
    const activations = new Map(values.map((value) => [value, quantizer]));
    const executor = compile(graph, kernels, { quantization: { activations, layers: new Map() } });
    const { first, right } = Object.fromEntries(executor.run(one('image', image(1)), ['first', 'right']));
    const expected = (first.data as Uint8Array).filter((_, i) => i % 4 > 0);
    assert.deepEqual(right, { dtype: 'uint8', shape: [1, 7, 6, 3], data: expected });
    assert.deepEqual(executor.floatNodes, ['first', 'last']);
    executor.dispose();
  });

  it('refuses an operator that nobody knows, when compiling', () => {
    const net = new Network();
    net.type('x', ['batch', 4]);
    net.node('Frobnicate', 'y', ['x'], ['batch', 4]);
    assert.throws(() => compile(net.graph(['x'], ['y']), kernels), {
      code: 'UNSUPPORTED_OPERATOR',
      message: /Frobnicate.*node y/,
    });
  });
});

describe('engine: moves', () => {
  const kernels = available.at(-1)!;
  /** x [batch,2,3,2] of 0, 1, 2 ... through one node. */
  function through(
    op: string,
    shape: readonly number[],
    attributes: Record<string, Attribute>,
    ints: number[][] = [],
  ) {
    const net = new Network();
    net.type('x', ['batch', 2, 3, 2]);
    const inputs = ['x', ...ints.map((values, i) => net.ints(`i${i}`, values))];
    net.node(op, 'y', inputs, ['batch', ...shape], attributes);
    const executor = compile(net.graph(['x'], ['y']), kernels);
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    const { y } = Object.fromEntries(
      executor.run(one('x', { dtype: 'float32', shape: [2, 2, 3, 2], data }), ['y']),
    );
    executor.dispose();
    assert.deepEqual([...y.shape], [2, ...shape]);
    return [...(y.data as Float32Array)];
  }

  it('Transpose', () => {
    assert.deepEqual(
      through('Transpose', [2, 3, 2], { perm: [0, 3, 2, 1] }),
      [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11, 12, 18, 14, 20, 16, 22, 13, 19, 15, 21, 17, 23],
    );
    assert.deepEqual(
      through('Transpose', [3, 2, 2], { perm: [0, 2, 3, 1] }),
      [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 12, 18, 13, 19, 14, 20, 15, 21, 16, 22, 17, 23],
    );
  });

  it('images of three channels, floats and bytes, whole words or not', () => {
    for (const elements of [Float32Array, Uint8Array])
      for (const pixels of [1, 8, 10]) {
        const from = new elements(2 * 3 * pixels).map((_, i) => (i * 37) & 255);
        const to = new elements(from.length);
        interleave({ copyPlane }, from, to, 2, 3, pixels);
        const expected = from.map((_, i) => {
          const [n, pixel, channel] = [Math.trunc(i / 3 / pixels), Math.trunc(i / 3) % pixels, i % 3];
          return from[(n * 3 + channel) * pixels + pixel];
        });
        assert.deepEqual(to, expected);
      }
  });

  it('Slice: from the end, with steps, backwards', () => {
    assert.deepEqual(
      through('Slice', [2, 2, 1], {}, [
        [0, 1],
        [3, 2],
        [2, 3],
        [2, 1],
      ]),
      [1, 5, 7, 11, 13, 17, 19, 23],
    );
    assert.deepEqual(
      through('Slice', [1, 3, 2], {}, [
        [-1, 5],
        [1000, -1000],
        [1, 2],
        [1, -1],
      ]),
      [10, 11, 8, 9, 6, 7, 22, 23, 20, 21, 18, 19],
    );
  });

  it('Pad: with a value, and cropping', () => {
    assert.deepEqual(
      through('Pad', [1, 2, 3], { pads: [0, -1, 0, 1, 0, 0, -1, 0], mode: 'constant', value: 9 }),
      [9, 6, 7, 9, 8, 9, 9, 18, 19, 9, 20, 21],
    );
  });

  it('Reshape and Flatten are views: no memory at all', () => {
    const net = new Network();
    net.type('x', ['batch', 4, 4]);
    net.node('Reshape', 'flat', ['x'], ['batch', 16], { shape: [0, -1] });
    net.node('Relu', 'relu', ['flat'], ['batch', 16]);
    net.node('Reshape', 'back', ['relu'], ['batch', 4, 4], { shape: [0, 4, 4] });
    net.node('Clip', 'clipped', ['back'], ['batch', 4, 4], { clamp: [0, 6] });
    const executor = compile(net.graph(['x'], ['clipped']), kernels);
    assert.deepEqual(executor.memory(2), { planned: 128, withoutReuse: 128 }); // one buffer, in place
    const data = Float32Array.from({ length: 16 }, (_, i) => i - 4);
    const results = executor.run(one('x', { dtype: 'float32', shape: [1, 4, 4], data }), ['clipped']);
    assert.deepEqual([...results.get('clipped')!.data], [...data.map((x) => Math.min(Math.max(x, 0), 6))]);
    assert.equal(data[0], -4);
    executor.dispose();
  });

  it('one-dimensional convolution, and weights that are computed', () => {
    const net = new Network();
    net.type('x', ['batch', 5, 1]);
    const w = net.constant('w', [1, 3, 1], [1, 10, 100]);
    const attributes = { strides: [2], dilations: [1], pads: [1, 1], group: 1 };
    net.node('Conv', 'y', ['x', w], ['batch', 3, 1], attributes);
    net.node('Relu', 'v', ['w'], [1, 3, 1]);
    net.node('Conv', 'z', ['x', 'v'], ['batch', 3, 1], attributes);
    const executor = compile(net.graph(['x'], ['y', 'z']), kernels);
    const x: Tensor = { dtype: 'float32', shape: [1, 5, 1], data: Float32Array.of(1, 2, 3, 4, 5) };
    const results = executor.run(one('x', x), ['y', 'z']);
    for (const name of ['y', 'z']) assert.deepEqual([...results.get(name)!.data], [210, 432, 54]);
    executor.dispose();
  });
});
