import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { openNetwork } from '../benchmarks/networks/network.ts';
import { loadPairs } from '../benchmarks/pairs.ts';
import { kernelsOf, optimized } from '../benchmarks/profiles/optimized.ts';
import { type FormatSource, formats } from '../lib/export/formats.ts';
import { preflight } from '../lib/export/preflight.ts';
import { type FileModel, writeModel } from '../lib/onnx/index.ts';
import { type FormOptions, form } from './models/quantized-forms.ts';
import { hasOnnxruntime } from './support/onnxruntime.ts';

/** What is foretold for the one layer of a form: the operator that runs it, or the reason of a refusal. */
const FORMS: readonly [what: string, options: FormOptions, kernel: string | RegExp][] = [
  ['integers everywhere', {}, 'QLinearConv'],
  ['opset 13', { opset: 13 }, 'QLinearConv'],
  ['signed activations', { activations: 'int8' }, 'QLinearConv'],
  ['a float bias', { bias: 'float' }, 'QLinearConv'],
  ['no bias', { bias: 'none' }, 'QLinearConv'],
  ['a bias of another scale', { bias: 'other scale' }, 'Conv'],
  ['float weights, rounded by onnxruntime', { floatWeights: true, bias: 'float' }, 'QLinearConv'],
  ['float weights and an integer bias', { floatWeights: true }, 'Conv'],
  ['a float input', { floatInput: true, bias: 'float', quantizesResult: false }, 'Conv'],
  ['a float result', { quantizesResult: false }, 'Conv'],
  ['a result that is read in float too', { reader: true }, 'Conv'],
  ['a Relu that the range implies', { clamp: { op: 'Relu' } }, 'QLinearConv'],
  ['a Relu that it does not', { clamp: { op: 'Relu' }, zeroPoint: 128 }, 'Conv'],
  ['a Clip that the range implies', { clamp: { op: 'Clip', low: 0, high: 26 } }, 'QLinearConv'],
  ['a Clip that it does not', { clamp: { op: 'Clip', low: 0, high: 6 } }, 'Conv'],
  ['int4 weights', { weights: 'int4' }, 'Conv'],
  ['int2 weights', { weights: 'int2', opset: 25 }, /int2 weights, which it then rejects/],
  ['uint2 weights', { weights: 'uint2', opset: 25 }, /uint2 weights, which it then rejects/],
  ['uint4 activations', { activations: 'uint4' }, /uint4 values, which it then rejects/],
  ['uint4 activations, int4 weights', { activations: 'uint4', weights: 'int4' }, 'Conv'],
  ['uint2 activations', { activations: 'uint2', opset: 25 }, /uint2 values, which it then rejects/],
  ['uint2 activations, int4 weights', { activations: 'uint2', weights: 'int4', opset: 25 }, 'Conv'],
  ['uint16 activations', { activations: 'uint16' }, 'Conv'],
  ['Gemm', { op: 'Gemm' }, 'QGemm'],
  ['Gemm with a float result', { op: 'Gemm', quantizesResult: false }, 'QGemm'],
  ['Gemm read in float', { op: 'Gemm', quantizesResult: false, reader: true }, 'QGemm'],
  ['Gemm with a Relu at the end', { op: 'Gemm', quantizesResult: false, clamp: { op: 'Relu' } }, 'QGemm'],
  [
    'Gemm with a Relu that is read in float',
    { op: 'Gemm', quantizesResult: false, clamp: { op: 'Relu' }, reader: true },
    'Gemm',
  ],
  ['Gemm with a float bias', { op: 'Gemm', bias: 'float' }, 'QGemm'],
  [
    'Gemm with a float bias and a float result',
    { op: 'Gemm', bias: 'float', quantizesResult: false },
    'Gemm',
  ],
  ['Gemm without bias', { op: 'Gemm', bias: 'none', quantizesResult: false }, 'QGemm'],
  ['Gemm of int4', { op: 'Gemm', weights: 'int4' }, 'Gemm'],
  ['Gemm of int2', { op: 'Gemm', weights: 'int2', opset: 25 }, /QGemm of int2 weights/],
  ['Gemm of uint4 activations', { op: 'Gemm', activations: 'uint4' }, 'Gemm'],
  ['MatMul', { op: 'MatMul', axis: 1 }, 'QLinearMatMul'],
  ['MatMul with a float result', { op: 'MatMul', axis: 1, quantizesResult: false }, 'MatMulIntegerToFloat'],
  ...(['int8', 'int4', 'int2'] as const).flatMap((weights): [string, FormOptions, string][] => {
    const alone = { weights, opset: 25, floatInput: true, quantizesResult: false, bias: 'none' } as const;
    return [
      [`MatMul of ${weights} weights alone`, { ...alone, op: 'MatMul', axis: 1 }, 'MatMulNBits'],
      [`MatMul of ${weights} weights along rows`, { ...alone, op: 'MatMul' }, 'MatMul'],
      [`Gemm of ${weights} weights alone`, { ...alone, op: 'Gemm', axis: 1 }, 'MatMulNBits'],
      [`Gemm of ${weights} weights, transposed`, { ...alone, op: 'Gemm' }, 'Gemm'],
      [`Conv of ${weights} weights alone`, alone, 'Conv'],
    ];
  }),
];

const relu = (change: Partial<FileModel>): FileModel => {
  const port = (name: string) => ({ name, dtype: 'float32', shape: [2, 3] });
  const node = { op: 'Relu', name: 'only', inputs: ['x'], outputs: ['y'], attributes: {} };
  return {
    opset: 21,
    irVersion: 10,
    name: 'relu',
    inputs: [port('x')],
    outputs: [port('y')],
    initializers: [],
    nodes: [node],
    ...change,
  };
};

const swish = (opset: number) =>
  relu({
    opset,
    irVersion: 13,
    nodes: [{ op: 'Swish', name: 'only', inputs: ['x'], outputs: ['y'], attributes: { alpha: 1.5 } }],
  });

/** Files that do not load for what they are as a whole. */
const REFUSED: readonly [what: string, model: FileModel, reason: RegExp][] = [
  ['opset 27', relu({ opset: 27, irVersion: 13 }), /opset 27 is not read/],
  ['IR version 14', relu({ opset: 26, irVersion: 14 }), /IR version 14 is not read/],
  ['Swish in opset 25', swish(25), /no kernel of Swish in opset 25/],
  [
    'an operator of an unknown domain',
    relu({
      nodes: [{ ...relu({}).nodes[0], domain: 'com.example' }],
      domains: new Map([['com.example', 1]]),
    }),
    /Relu of com\.example is neither/,
  ],
  ['int4 in opset 19', form({ weights: 'int4', opset: 19 }), /no int4 in opset 19/],
  [
    'int2 in opset 21',
    form({ weights: 'int2', opset: 21, floatInput: true, bias: 'float' }),
    /no int2 in opset 21/,
  ],
];

describe('preflight', () => {
  for (const [what, options, expected] of FORMS)
    it(`tells of ${what}: ${expected instanceof RegExp ? 'refused' : expected}`, () => {
      const { loads, layers } = preflight(form(options));
      const [layer, ...others] = layers;
      assert.deepEqual([layer.layer, others.length], ['layer', 0]);
      assert.equal(loads, layer.execution !== 'refused');
      if (expected instanceof RegExp) {
        assert.equal(layer.execution, 'refused');
        assert.equal(layer.kernel, null);
        assert.match(layer.reason, expected);
        assert.match(layer.advice!, /format ort/);
      } else {
        assert.equal(layer.kernel, expected);
        assert.equal(layer.execution, /^Q|Integer/.test(expected) ? 'integer' : 'float');
      }
    });

  for (const [what, model, reason] of REFUSED)
    it(`tells that ${what} does not load`, () => {
      const { loads, refusals } = preflight(model);
      assert.equal(loads, false);
      assert.match(refusals[0].reason, reason);
      assert.ok(refusals[0].advice.length > 0);
    });

  it('is what onnxruntime does with every form', async function () {
    if (!hasOnnxruntime()) this.skip();
    const wrong: string[] = [];
    for (const [what, options] of FORMS) {
      const model = form(options);
      const [{ kernel }] = preflight(model).layers;
      const real = kernelsOf(model, await optimized(writeModel(model)));
      if (real.get('layer') !== kernel) wrong.push(`${what}: ${kernel} but ${real.get('layer')}`);
    }
    for (const [what, model] of REFUSED)
      if (!('refusal' in (await optimized(writeModel(model))))) wrong.push(`${what}: loads`);
    assert.ok(preflight(swish(24)).loads);
    assert.ok('operators' in (await optimized(writeModel(swish(24)))));
    assert.deepEqual(wrong, []);
  });
});

/** Every width of 2 to 8 bits, one after the other. */
const cycled = (layers: readonly { name: string }[]) =>
  new Map(layers.map(({ name }, i) => [name, 2 + (i % 7)]));

describe('preflight of the test bed', function () {
  this.timeout(300_000);
  const pairs = loadPairs(undefined, undefined);

  before(function () {
    if (!hasOnnxruntime()) this.skip();
    if (!existsSync(pairs[0].model)) {
      console.log(`      skipped: no ${pairs[0].model}`);
      this.skip();
    }
  });

  for (const pair of pairs)
    it(`is right on every layer of ${pair.name}, each format, opset and width`, async () => {
      const network = await openNetwork(pair);
      const wrong: string[] = [];
      let compared = 0;
      try {
        for (const activationBits of [8, 4]) {
          const quantization = await network.quantization(cycled(network.layers), activationBits);
          const source: FormatSource = { graph: network.onnx, quantization, metadata: new Map() };
          for (const [name, format] of Object.entries(formats)) {
            if (format.kind !== 'onnx') continue;
            for (const opset of activationBits === 8 ? [13, 21, 26, format.opset(source)] : [13, 21]) {
              const model = format.model(source, opset);
              const { layers, loads } = preflight(model);
              assert.deepEqual(
                layers.map(({ layer }) => layer),
                network.layers.map((layer) => layer.name),
              );
              assert.ok(loads);
              const real = kernelsOf(model, await optimized(writeModel(model)));
              for (const { layer, kernel } of layers) {
                compared++;
                if (real.get(layer) !== kernel)
                  wrong.push(`${name}, opset ${opset}, ${layer}: ${kernel} but ${real.get(layer)}`);
              }
            }
          }
        }
      } finally {
        network.dispose();
      }
      assert.deepEqual(wrong, []);
      assert.equal(compared, 18 * network.layers.length);
    });
});
