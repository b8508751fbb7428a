import assert from 'node:assert/strict';
import { modelOf } from '../benchmarks/opset-model.ts';
import { compile } from '../lib/engine/index.ts';
import type { Attribute, Dtype, Tensor } from '../lib/graph/graph.ts';
import { importGraph, toChannelsLast } from '../lib/graph/index.ts';
import { fromNumbers, int64Tensor, numbers } from '../lib/graph/tensors.ts';
import { createKernels } from '../lib/kernels/index.ts';

/** What the specification says of operators that came or changed in sets 18 to 26, by hand. */

const kernels = await createKernels({ backend: 'reference' });

interface Call {
  opset: number;
  attributes?: Record<string, Attribute>;
  constants?: readonly (Tensor | null)[];
  outputs?: { dtype: Dtype; rank: number }[];
}

const floats = (shape: readonly number[], ...values: number[]) => fromNumbers('float32', shape, values);
const ints = (...values: number[]) => int64Tensor(values);
const scalar = (value: number) => int64Tensor([value], []);
const bools = (...values: number[]) => fromNumbers('bool', [values.length], values);
/** 0, 1, 2 ... */
const counted = (...shape: number[]) =>
  fromNumbers(
    'float32',
    shape,
    Float64Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i),
  );

function call(operator: string, feeds: readonly Tensor[], options: Call): Tensor[] {
  const [{ dtype, shape }] = feeds;
  const { opset, attributes = {}, constants = [], outputs = [{ dtype, rank: shape.length }] } = options;
  const model = modelOf({ operator, feeds, constants, attributes, outputs }, opset, false);
  const graph = toChannelsLast(importGraph(model).graph);
  const executor = compile(graph, kernels);
  const names = graph.outputs.map(({ name }) => name);
  const results = executor.run(new Map(feeds.map((tensor, i) => [`x${i}`, tensor])), names);
  executor.dispose();
  return names.map((name) => results.get(name)!);
}

/** The first output's shape and elements, floats within 1e-6. */
function gives(actual: Tensor, shape: readonly number[], ...expected: number[]): void {
  assert.deepEqual([...actual.shape], [...shape]);
  const values = Array.from(numbers(actual));
  assert.equal(values.length, expected.length);
  values.forEach((value, i) => {
    assert.ok(
      Math.abs(value - expected[i]) < 1e-6 || value === expected[i],
      `${values} at ${i}: ${expected[i]}`,
    );
  });
}

describe('operator sets 18 to 26', () => {
  it('are accepted up to 26, and no further', () => {
    const x = counted(2);
    gives(call('Relu', [x], { opset: 26 })[0], [2], 0, 1);
    assert.throws(() => call('Relu', [x], { opset: 27 }), {
      code: 'UNSUPPORTED_MODEL',
      message: /operator set 1 to 26 but received 27/,
    });
  });

  it('18: Mish, GroupNormalization by group', () => {
    // x tanh(ln(1 + e^x)); at 0 it is 0, at 1 tanh(ln(1 + e)).
    gives(call('Mish', [floats([2], 0, 1)], { opset: 18 })[0], [2], 0, Math.tanh(Math.log1p(Math.E)));
    // Two groups of two channels: (-1, 1) normalized by its deviation 1, times the group's scale plus its shift.
    const groups = { attributes: { num_groups: 2, epsilon: 0 } };
    const x = floats([1, 4, 1], 2, 4, 10, 30);
    const [scale, shift] = [floats([2], 3, 5), floats([2], 1, 0)];
    const [y] = call('GroupNormalization', [x], { opset: 18, ...groups, constants: [scale, shift] });
    gives(y, [1, 4, 1], -2, 4, -5, 5);
  });

  it('21: GroupNormalization by channel', () => {
    const x = floats([1, 4, 1], 2, 4, 10, 30);
    const constants = [floats([4], 1, 2, 3, 4), floats([4], 0, 1, 0, 1)];
    const attributes = { num_groups: 2, epsilon: 0 };
    gives(call('GroupNormalization', [x], { opset: 21, attributes, constants })[0], [1, 4, 1], -1, 3, -3, 5);
  });

  it('18: reductions take their axes as an input', () => {
    const x = floats([2, 3], 1, 2, 3, 4, 5, 6);
    const reduced = (op: string, rank: number, axes: Tensor | null, attributes = {}) =>
      call(op, [x], { opset: 18, attributes, constants: [axes], outputs: [{ dtype: 'float32', rank }] })[0];
    gives(reduced('ReduceProd', 2, ints(-1)), [2, 1], 6, 120);
    gives(reduced('ReduceMax', 1, ints(0), { keepdims: 0 }), [3], 4, 5, 6);
    gives(reduced('ReduceMean', 0, null, { keepdims: 0 }), [], 3.5);
    gives(reduced('ReduceL1', 2, ints(), { keepdims: 0, noop_with_empty_axes: 1 }), [2, 3], 1, 2, 3, 4, 5, 6);
    // No axes is no reduction, but each element's function still applies.
    gives(reduced('ReduceSumSquare', 2, null, { noop_with_empty_axes: 1 }), [2, 3], 1, 4, 9, 16, 25, 36);
  });

  it('20: ReduceMax and ReduceMin of bool', () => {
    const options = {
      opset: 20,
      attributes: { keepdims: 0 },
      outputs: [{ dtype: 'bool' as const, rank: 0 }],
    };
    gives(call('ReduceMax', [bools(0, 1)], options)[0], [], 1);
    gives(call('ReduceMin', [bools(0, 1)], options)[0], [], 0);
  });

  it('18: Split into num_outputs, the last one smaller', () => {
    const outputs = [1, 1].map((rank) => ({ dtype: 'float32' as const, rank }));
    const parts = call('Split', [counted(5)], { opset: 18, attributes: { num_outputs: 2 }, outputs });
    gives(parts[0], [3], 0, 1, 2);
    gives(parts[1], [2], 3, 4);
  });

  it('18: Pad of some axes; 19: wrap', () => {
    const x = counted(2, 2);
    const value = floats([], 9);
    gives(
      call('Pad', [x], { opset: 18, constants: [ints(1, 0), value, ints(-1)] })[0],
      [2, 3],
      ...[9, 0, 1, 9, 2, 3],
    );
    const wrapped = { opset: 19, attributes: { mode: 'wrap' }, constants: [ints(1, 2)] };
    gives(call('Pad', [counted(3)], wrapped)[0], [6], 2, 0, 1, 2, 0, 1);
  });

  it('18: Resize with axes, one scale for all of them, antialias', () => {
    const resize = (x: Tensor, attributes: Record<string, Attribute>, ...constants: (Tensor | null)[]) =>
      call('Resize', [x], { opset: 18, attributes, constants })[0];
    const line = floats([1, 1, 4], 1, 2, 3, 4);
    const nearest = { mode: 'nearest', axes: [2], coordinate_transformation_mode: 'asymmetric' };
    gives(resize(line, nearest, null, null, ints(2)), [1, 1, 2], 1, 3);
    // Sides 2 and 4 into 6 and 8: scales 3 and 2, of which the policy takes one.
    const image = counted(1, 1, 2, 4);
    for (const [policy, shape] of [
      ['not_larger', [1, 1, 4, 8]],
      ['not_smaller', [1, 1, 6, 12]],
    ] as const) {
      const attributes = { mode: 'nearest', axes: [2, 3], keep_aspect_ratio_policy: policy };
      assert.deepEqual([...resize(image, attributes, null, null, ints(6, 8)).shape], shape);
    }
    // Halved: at 0.5 the stretched triangle weighs distances 1.5 (outside), 0.5, 0.5, 1.5 with 1, 3, 3, 1 eighths.
    const halved = { mode: 'linear', antialias: 1, exclude_outside: 1 };
    const [first, second] = [(3 * 1 + 3 * 2 + 3) / 7, (2 + 3 * 3 + 3 * 4) / 7];
    gives(resize(line, halved, null, floats([3], 1, 1, 0.5)), [1, 1, 2], first, second);
  });

  it('18: ScatterND and ScatterElements keep the largest', () => {
    const attributes = { reduction: 'max' };
    const x = floats([3], 1, 5, 3);
    const [y] = call('ScatterND', [x, int64Tensor([1, 1, -1], [3, 1]), floats([3], 4, 7, 2)], {
      opset: 18,
      attributes,
    });
    gives(y, [3], 1, 7, 3);
    const [z] = call('ScatterElements', [x, ints(0, 0), floats([2], 2, 0)], { opset: 18, attributes });
    gives(z, [3], 2, 5, 3);
    assert.throws(
      () => call('ScatterElements', [x, int64Tensor([0], [1, 1]), floats([1], 1)], { opset: 18 }),
      {
        code: 'MALFORMED_MODEL',
        message: /indices within \[3\] beside axis 0 .* \[1, 1\]/,
      },
    );
    const whole = [counted(2, 2), int64Tensor([1], [1, 1]), floats([1, 2], 8, 9)];
    gives(call('ScatterND', whole, { opset: 18 })[0], [2, 2], 0, 1, 8, 9);
    assert.throws(() => call('ScatterND', [x, int64Tensor([3], [1, 1]), floats([1], 1)], { opset: 18 }), {
      code: 'MALFORMED_MODEL',
      message: /indices within 3 for node node \(ScatterND\) but received 3/,
    });
  });

  it('19: AveragePool with dilations', () => {
    const attributes = { kernel_shape: [2], dilations: [2] };
    gives(
      call('AveragePool', [floats([1, 1, 4], 0, 10, 4, 20)], { opset: 19, attributes })[0],
      [1, 1, 2],
      2,
      15,
    );
  });

  it('20: Gelu, exact and by tanh', () => {
    const x = floats([1], 1);
    // The normal distribution below 1.
    gives(call('Gelu', [x], { opset: 20 })[0], [1], 0.8413447460685429);
    const inner = Math.sqrt(2 / Math.PI) * 1.044715;
    gives(
      call('Gelu', [x], { opset: 20, attributes: { approximate: 'tanh' } })[0],
      [1],
      0.5 * (1 + Math.tanh(inner)),
    );
  });

  it('20: IsInf, by sign', () => {
    const x = floats([3], Infinity, -Infinity, 1);
    const outputs = [{ dtype: 'bool' as const, rank: 1 }];
    gives(call('IsInf', [x], { opset: 20, outputs })[0], [3], 1, 1, 0);
    gives(call('IsInf', [x], { opset: 20, attributes: { detect_positive: 0 }, outputs })[0], [3], 0, 1, 0);
  });

  it('20 and before: ConstantOfShape, Range, comparisons and logic', () => {
    const filled = {
      opset: 20,
      attributes: { value: floats([1], 2) },
      outputs: [{ dtype: 'float32' as const, rank: 2 }],
    };
    gives(call('ConstantOfShape', [ints(1, 3)], filled)[0], [1, 3], 2, 2, 2);
    const [range] = call('Range', [scalar(5), scalar(0), scalar(-2)], {
      opset: 20,
      outputs: [{ dtype: 'int64', rank: 1 }],
    });
    gives(range, [3], 5, 3, 1);
    const outputs = [{ dtype: 'bool' as const, rank: 1 }];
    const [a, b] = [counted(3), floats([1], 1)];
    gives(call('GreaterOrEqual', [a, b], { opset: 20, outputs })[0], [3], 0, 1, 1);
    gives(call('LessOrEqual', [a, b], { opset: 20, outputs })[0], [3], 1, 1, 0);
    gives(call('And', [bools(0, 1, 1), bools(1)], { opset: 20 })[0], [3], 0, 1, 1);
    gives(call('Or', [bools(0, 1, 0), bools(0, 0, 1)], { opset: 20 })[0], [3], 0, 1, 1);
    gives(call('Not', [bools(0, 1)], { opset: 20 })[0], [2], 1, 0);
  });

  it('23: RMSNormalization', () => {
    // The root of the mean of 9 and 16 halves is 5 / sqrt 2.
    const constants = [floats([2], 1, 2)];
    const [y] = call('RMSNormalization', [floats([1, 2], 3, 4)], {
      opset: 23,
      attributes: { epsilon: 0 },
      constants,
    });
    gives(y, [1, 2], (3 * Math.SQRT2) / 5, (8 * Math.SQRT2) / 5);
  });

  it('24: Swish and TopK', () => {
    gives(
      call('Swish', [floats([1], 2)], { opset: 24, attributes: { alpha: 0.5 } })[0],
      [1],
      2 / (1 + Math.exp(-1)),
    );
    const outputs = (['float32', 'int64'] as const).map((dtype) => ({ dtype, rank: 2 }));
    const x = floats([2, 3], 1, 3, 3, 6, 5, 4);
    const [values, places] = call('TopK', [x], { opset: 24, constants: [ints(2)], outputs });
    gives(values, [2, 2], 3, 3, 6, 5);
    gives(places, [2, 2], 1, 2, 0, 1);
    const smallest = { opset: 24, attributes: { axis: 0, largest: 0 }, constants: [ints(1)], outputs };
    gives(call('TopK', [x], smallest)[0], [1, 3], 1, 3, 3);
    assert.throws(
      () => call('TopK', [x], { opset: 24, constants: [ints(4)], outputs }),
      /k within 3 .* received 4/,
    );
  });

  it('26: CumProd; CumSum', () => {
    const constants = [scalar(0)];
    gives(call('CumProd', [floats([3], 2, 3, 4)], { opset: 26, constants })[0], [3], 2, 6, 24);
    const attributes = { exclusive: 1, reverse: 1 };
    gives(call('CumSum', [floats([3], 2, 3, 4)], { opset: 26, attributes, constants })[0], [3], 7, 4, 0);
  });

  it('Einsum: products, diagonals, ellipses, no arrow', () => {
    const einsum = (equation: string, rank: number, ...feeds: Tensor[]) =>
      call('Einsum', feeds, {
        opset: 18,
        attributes: { equation },
        outputs: [{ dtype: 'float32', rank }],
      })[0];
    const [a, b] = [counted(2, 2), floats([2, 2], 1, 10, 100, 1000)];
    gives(einsum('ij,jk->ik', 2, a, b), [2, 2], 100, 1000, 302, 3020);
    gives(einsum('ij,jk', 2, a, b), [2, 2], 100, 1000, 302, 3020);
    gives(einsum('ij -> ji', 2, a), [2, 2], 0, 2, 1, 3);
    gives(einsum('ii->', 0, a), [], 3);
    gives(einsum('...j->...', 1, a), [2], 1, 5);
    // Letters in alphabetical order: a before b.
    gives(einsum('ba', 2, a), [2, 2], 0, 2, 1, 3);
    assert.throws(() => einsum('ij,jk->iq', 2, a, b), /axis q among the inputs/);
    assert.throws(
      () => einsum('ij,jk->ik', 2, a, counted(3, 2)),
      /length 2 for axis j .* \[3, 2\] for input 1/,
    );
    assert.throws(() => einsum('ij->ij', 2, counted(3)), /2 dimensions for input 0/);
    const long = fromNumbers('float32', [2 ** 15], new Float32Array(2 ** 15));
    assert.throws(() => einsum('i,j->', 0, long, long), /sums of at most 268435456 terms/);
  });
});
