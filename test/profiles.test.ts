import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { evaluationBatches, openNetwork } from '../benchmarks/networks/network.ts';
import { loadPairs } from '../benchmarks/pairs.ts';
import { fileOf, type Measured, measure, type Subject } from '../benchmarks/profiles/measure.ts';
import { type FormatSource, formats, type OnnxFormat } from '../lib/export/formats.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { importGraph, toChannelsLast } from '../lib/graph/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { readModel, writeModel } from '../lib/onnx/index.ts';
import { integers } from './engine/support.ts';
import { exportedNetwork } from './support/exported.ts';
import { random, SAMPLE, weights } from './support/network.ts';
import { hasOnnxruntime } from './support/onnxruntime.ts';

const format = (name: string) => formats[name] as OnnxFormat;
/** Of the largest output, for floats that are summed in another order. */
const CLOSE = 1e-5;

/** What each format promises of its answers beside ours. */
function keepsPromise(row: Measured): void {
  const what = `${row.format}: ${row.differing} differ by at most ${row.largest} of ${row.magnitude}`;
  assert.equal(row.foretold, row.layers, what);
  assert.equal(row.integer, row.format === 'ort' ? row.layers : 0, what);
  if (row.format === 'ort') assert.equal(row.differing, 0, what);
  else if (row.format === 'compact') assert.ok(row.largest <= CLOSE * row.magnitude, what);
  // One level more or less at a tie spreads; it stays rare.
  else assert.ok(row.mean <= 0.01 * row.magnitude, what);
}

/** Two linear layers of 2 and 4 bits on [N, 7, 32]. */
function sequences() {
  const next = random(9);
  const node = (op: string, inputs: string[], output: string) => ({
    ...{ op, name: output, inputs, outputs: [output] },
    attributes: {},
  });
  const port = (name: string, width: number) => ({ name, dtype: 'float32', shape: ['batch', 7, width] });
  const bytes = writeModel({
    irVersion: 7,
    opset: 13,
    name: 'sequences',
    inputs: [port('x', 32)],
    outputs: [port('y', 8)],
    initializers: [
      weights('v', [32, 16], next),
      weights('b', [16], next),
      weights('w', [16, 8], next),
      weights('c', [8], next),
    ],
    nodes: [
      node('MatMul', ['x', 'v'], 'p'),
      node('Add', ['p', 'b'], 'h'),
      node('Relu', ['h'], 'r'),
      node('MatMul', ['r', 'w'], 'q'),
      node('Add', ['q', 'c'], 'y'),
    ],
  });
  const { graph } = importGraph(bytes);
  const layers = new Map(
    graph.nodes.map(({ name, inputs }, i) => {
      const bias = graph.constants.get(inputs[2])!.data as Float32Array;
      return [name, integers(graph.constants.get(inputs[1])!, bias, 2 + 2 * i)];
    }),
  );
  assert.equal(layers.size, 2);
  const activations = new Map([
    ['x', { bits: 8, scale: Math.fround(2 / 255), zeroPoint: 128, low: 0, high: 255 }],
    [graph.nodes[0].outputs[0], { bits: 8, scale: Math.fround(0.02), zeroPoint: 0, low: 0, high: 255 }],
  ]);
  return { graph, quantization: { activations, layers } };
}

describe('export formats of a small network', () => {
  let kernels: Kernels;
  let subject: Subject;

  before(async () => {
    const paths = await exportedNetwork();
    const { graph } = importGraph(readFileSync(paths.float));
    const quantization = quantizationOf(paths.bytes);
    paths.remove();
    const source: FormatSource = { graph, quantization, metadata: new Map([['key', 'value']]) };
    kernels = await createKernels();
    const next = random(3);
    const shape = [4, ...SAMPLE];
    const x = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => next());
    subject = {
      source,
      graph: toChannelsLast(graph),
      kernels,
      batches: async function* () {
        yield { x, shape };
      },
    };
  });
  after(() => kernels?.dispose());

  const fileWith = (name: string) => {
    const model = fileOf(format(name), subject.source);
    return { model, read: readModel(writeModel(model)) };
  };

  it('compact stores each width in the narrowest type, in the least opset that has it', () => {
    const { model, read } = fileWith('compact');
    const types = new Map(model.initializers.map(({ name, tensor }) => [name, tensor.dtype]));
    for (const [name, { bits, scales }] of subject.source.quantization.layers) {
      assert.equal(types.get(`${name}_weight`), bits <= 4 ? 'int4' : 'int8', name);
      const tensor = read.graph!.initializer.find((own) => own.name === `${name}_weight`)!;
      assert.equal(tensor.metadataProps[0].value, String(bits));
      const annotation = read.graph!.quantizationAnnotation.find((own) => own.tensorName === tensor.name)!;
      assert.deepEqual(
        annotation.quantParameterTensorNames.map(({ key, value }) => [key, value]),
        [['SCALE_TENSOR', `${name}_weight_scale`]],
      );
      assert.ok(scales.length > 0);
    }
    assert.deepEqual([model.opset, model.irVersion], [21, 10]);
    assert.equal(model.nodes.filter(({ op }) => op === 'QuantizeLinear').length, 0);
    const older = format('compact').model(subject.source, 13);
    assert.ok(older.initializers.every(({ tensor }) => !/int[24]$/.test(tensor.dtype)));
    const { quantization } = subject.source;
    const narrow = new Map([...quantization.layers].map(([name, layer]) => [name, { ...layer, bits: 2 }]));
    const twoBits = { ...subject.source, quantization: { ...quantization, layers: narrow } };
    assert.equal(format('compact').opset(twoBits), 25);
    assert.ok(fileOf(format('compact'), twoBits).initializers.some(({ tensor }) => tensor.dtype === 'int2'));
  });

  it('qonnx keeps to what its converters take, and brings the operator itself', () => {
    const { model, read } = fileWith('qonnx');
    assert.deepEqual([model.opset, model.irVersion], [13, 8]);
    assert.deepEqual(
      read.functions.map(({ domain, name }) => [domain, name]),
      [['qonnx.custom_op.general', 'IntQuant']],
    );
    assert.ok(
      read.opsetImport.some(({ domain, version }) => domain === 'qonnx.custom_op.general' && version === 1n),
    );
    const quants = model.nodes.filter(({ op }) => op === 'IntQuant');
    const { activations, layers } = subject.source.quantization;
    assert.equal(quants.length, activations.size + layers.size);
    const tensors = new Map(model.initializers.map(({ name, tensor }) => [name, tensor]));
    let offCentre = 0;
    for (const { inputs, attributes } of quants) {
      const [scale, zeroPoint, bits] = inputs.slice(1).map((name) => tensors.get(name)!);
      assert.ok(scale.shape.filter((size) => size !== 1).length <= 1);
      assert.deepEqual([zeroPoint.shape, bits.shape], [[], []]);
      const [width] = bits.data as Float32Array;
      assert.ok(Number.isInteger(width) && width >= 2 && width <= 8);
      assert.deepEqual([attributes['narrow'], attributes['rounding_mode']], [0, 'ROUND']);
      if ((zeroPoint.data as Float32Array)[0] !== 0) offCentre++;
    }
    const notes = format('qonnx').notes!(subject.source);
    assert.equal(notes.length, offCentre > 0 ? 1 : 0);
    if (offCentre > 0) assert.match(notes[0], new RegExp(`^${offCentre} of ${activations.size} values`));
    assert.equal(model.nodes.filter(({ op }) => /QuantizeLinear|Dequantize/.test(op)).length, 0);
  });

  it('is read back: another integer than was made is an error', () => {
    for (const name of Object.keys(formats)) {
      const own = formats[name];
      if (own.kind !== 'onnx') continue;
      const bytes = writeModel(fileOf(own, subject.source));
      own.check(bytes, subject.source.quantization);
      const layers = structuredClone(new Map(subject.source.quantization.layers));
      const [first] = layers.values();
      first.q[0] = first.q[0] === 0 ? 1 : 0;
      const changed = { ...subject.source.quantization, layers };
      assert.throws(() => own.check(bytes, changed), { code: 'INTERNAL' }, name);
    }
  });

  it('gives our answers for linear layers on sequences', async function () {
    if (!hasOnnxruntime()) this.skip();
    const { graph, quantization } = sequences();
    const shape = [3, 7, 32];
    const next = random(5);
    const x = Float32Array.from({ length: 3 * 7 * 32 }, () => next());
    const batches = async function* () {
      yield { x, shape };
    };
    const source: FormatSource = { graph, quantization, metadata: new Map() };
    for (const [name, own] of Object.entries(formats))
      if (own.kind === 'onnx')
        keepsPromise(await measure(name, own, { source, graph: toChannelsLast(graph), kernels, batches }));
  });

  for (const flavour of ['node', 'web'] as const)
    it(`gives our answers in onnxruntime-${flavour}`, async function () {
      if (!hasOnnxruntime()) this.skip();
      for (const [name, own] of Object.entries(formats))
        if (own.kind === 'onnx') keepsPromise(await measure(name, own, { ...subject, flavour }));
    });
});

describe('export formats of the test bed', function () {
  this.timeout(300_000);
  const pairs = loadPairs(undefined, 'dscnn|resnet8');

  before(function () {
    if (!hasOnnxruntime()) this.skip();
    if (existsSync(pairs[0].model)) return;
    console.log(`      skipped: no ${pairs[0].model}`);
    this.skip();
  });

  for (const pair of pairs)
    it(`give our answers for ${pair.name}`, async () => {
      const network = await openNetwork(pair);
      const kernels = await createKernels();
      const quantization = await network.quantization('mixed');
      const source: FormatSource = { graph: network.onnx, quantization, metadata: new Map() };
      const batches = await evaluationBatches(pair, 16, 16);
      for (const [name, own] of Object.entries(formats)) {
        if (own.kind !== 'onnx') continue;
        const row = await measure(name, own, { source, graph: network.graph, kernels, batches });
        keepsPromise(row);
        assert.equal(row.samples, 16);
        assert.ok(row.agreeing >= 15, `${name}: ${row.agreeing}`);
      }
      kernels.dispose();
      network.dispose();
    });
});
