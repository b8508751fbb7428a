import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Evaluator } from '../lib/engine/index.ts';
import { compile } from '../lib/engine/index.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { type Graph, importGraph, layers, type Tensor, unsupportedNodes } from '../lib/graph/index.ts';
import { evaluate, fromIterable, openDataset, type QuantizeOptions, quantize } from '../lib/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { Kernels } from '../lib/kernels/kernels.ts';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  readModel,
} from '../lib/onnx/index.ts';
import {
  findInstallation,
  type Installation,
  Onnxruntime,
  onnxruntimeNetwork,
  valueTypes,
} from '../lib/onnxruntime/index.ts';
import { node as made, modelBytes, wave } from './models/build.ts';
import { convolutionalModel, transformerModel, withPools } from './models/unknown-operators.ts';
import { imageBytes, SAMPLE, tinyModel, writeImages } from './support/network.ts';
import { refusal } from './support/refusal.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const testbed = join(root, '../shared/testbed');
/** Where developers of this package have it: beside the other peers. */
const INSTALLED = join(root, 'benchmarks');

function installation(): Installation | null {
  try {
    return findInstallation([join(INSTALLED, 'package.json')]);
  } catch {
    return null;
  }
}
const found = installation();

describe('executor onnxruntime: networks', () => {
  let runtime: Onnxruntime;
  let kernels: Kernels;
  let folder: string;
  let base: Omit<QuantizeOptions, 'model'>;
  const home = process.cwd();
  const networks: [name: string, bytes: Uint8Array][] = [
    ['convolutional', convolutionalModel()],
    ['transformer', transformerModel()],
  ];

  before(async function () {
    if (!found) {
      console.log('    skipped: onnxruntime-node is not installed (npm --prefix benchmarks ci)');
      this.skip();
    }
    process.chdir(INSTALLED);
    runtime = await Onnxruntime.start(found);
    kernels = await createKernels({});
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-ort-'));
    writeImages(join(folder, 'calibration.npz'), imageBytes(24, 5), null);
    writeImages(join(folder, 'validation.npz'), imageBytes(60, 3), null);
    base = {
      calibration: join(folder, 'calibration.npz'),
      validation: join(folder, 'validation.npz'),
      preprocessing: { scale: 1 / 255, mean: 0.5, std: 0.25 },
      targets: ['bits=5'],
      evaluations: 6,
    };
  });
  after(() => {
    process.chdir(home);
    if (!found) return;
    runtime.dispose();
    kernels.dispose();
    rmSync(folder, { recursive: true });
  });

  /** Imported with the types that onnxruntime tells. */
  function typed(bytes: Uint8Array): Graph {
    const types = valueTypes(runtime, bytes, importGraph(bytes).graph);
    return importGraph(bytes, { types }).graph;
  }

  function samples(count: number): Map<string, Tensor> {
    return new Map([['image', wave([count, ...SAMPLE])]]);
  }

  function outputs(executor: Evaluator, count = 5): Float32Array {
    return executor.run(samples(count), ['logits']).get('logits')!.data as Float32Array;
  }

  function largestDifference(a: Tensor, b: Tensor): number {
    assert.deepEqual([a.dtype, a.shape], [b.dtype, b.shape]);
    const [x, y] = [a.data as Float32Array, b.data as Float32Array];
    return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i])), 0);
  }

  for (const [name, bytes] of networks) {
    it(`${name}: is turned away without the option, which the message names`, async () => {
      await assert.rejects(quantize({ ...base, model: { name, bytes } }), {
        code: 'UNSUPPORTED_OPERATOR',
        message: /LpPool \(node normal\), com\.microsoft\.QuickGelu .*--executor onnxruntime/,
      });
    });

    it(`${name}: is quantized, exported, loaded by onnxruntime and agreed with`, async () => {
      const out = join(folder, name);
      const options: QuantizeOptions = { ...base, model: { name, bytes }, executor: 'onnxruntime', out };
      const result = await quantize(options);
      assert.equal(result.verdict, 'met');
      assert.deepEqual(result.executor, { name: 'onnxruntime', version: found!.version });
      assert.deepEqual(result.artefacts.allocation.executor, result.executor);
      assert.match(result.artefacts.report, new RegExp(`were run by onnxruntime ${found!.version}`));
      assert.match(result.artefacts.report, /--executor onnxruntime/);
      assert.match(result.artefacts.report, /there is no packed file/);
      assert.deepEqual(readdirSync(out).sort(), [
        'allocation.csv',
        'allocation.json',
        'model.onnx',
        'report.html',
        'report.md',
      ]);
      assert.deepEqual([result.files!.sqnt, result.sqntBytes, result.artefacts.sqnt], [null, null, null]);

      // Every layer is searched and has its integers in the file.
      const graph = typed(bytes);
      const file = readFileSync(join(out, 'model.onnx'));
      const quantization = quantizationOf(file);
      assert.deepEqual(
        result.layers.map((layer) => layer.name),
        layers(graph).map((layer) => layer.name),
      );
      assert.ok(new Set(result.layers.map(({ weights }) => weights)).size > 1, 'mixed widths');
      for (const layer of result.layers)
        assert.equal(quantization.layers.get(layer.name)?.bits, layer.weights);

      // The file as a user loads it gives what the search saw.
      const network = onnxruntimeNetwork(runtime, graph);
      const executor = network.compile(network.graph, kernels, { quantization });
      const session = runtime.session(file, 1);
      const loaded = session.run(samples(5), ['logits']).get('logits')!;
      assert.deepEqual(loaded.data, outputs(executor));
      const float = network.compile(network.graph, kernels);
      assert.notDeepEqual(outputs(float), loaded.data);
      assert.ok(executor.floatNodes.length >= 2, executor.floatNodes.join());
      for (const { name: unknown } of unsupportedNodes(graph))
        assert.ok(executor.floatNodes.includes(unknown));

      // And it is scored as it was in the search.
      const again = await evaluate({
        model: { name, bytes },
        executor: 'onnxruntime',
        evaluate: join(folder, 'validation.npz'),
        allocation: out,
        metric: ({ outputs: [a], reference: [b], count }) => {
          const top = (x: Float32Array, row: number) => {
            const scores = x.subarray((row * x.length) / count, ((row + 1) * x.length) / count);
            return scores.indexOf(Math.max(...scores));
          };
          return Array.from({ length: count }, (_, row) => Number(top(a.data, row) === top(b.data, row)));
        },
      });
      assert.equal(again.quantized!.quantized, result.validation.quantized);
      assert.deepEqual(again.executor, result.executor);
      session.release();
    });

    it(`${name}: any part gives what the whole gives, in float and in integers`, async () => {
      const graph = typed(bytes);
      const network = onnxruntimeNetwork(runtime, graph);
      const { artefacts } = await quantize({ ...base, model: { name, bytes }, executor: 'onnxruntime' });
      for (const quantization of [undefined, quantizationOf(artefacts.model)]) {
        const executor = network.compile(network.graph, kernels, { quantization });
        const feeds = samples(3);
        const names = network.graph.nodes.flatMap(({ outputs: list }) => list);
        const whole = executor.run(feeds, names);
        for (const [cut, node] of network.graph.nodes.entries()) {
          const before = names.slice(0, names.indexOf(node.outputs[0]));
          const suffix = new Map([...feeds, ...before.map((value) => [value, whole.get(value)!] as const)]);
          const logits = executor.run(suffix, ['logits']).get('logits')!;
          assert.ok(largestDifference(logits, whole.get('logits')!) < 1e-6, `from node ${cut}, ${node.name}`);
        }
        executor.dispose();
      }
    });
  }

  it('types what it alone can run, with the batch by its name', () => {
    const bytes = transformerModel();
    const types = valueTypes(runtime, bytes, importGraph(bytes).graph);
    assert.deepEqual(types.get('normal'), { dtype: 'float32', shape: ['batch', 16, 16] });
    assert.deepEqual(types.get('active'), { dtype: 'float32', shape: ['batch', 16, 32] });
    assert.equal(valueTypes(runtime, tinyModel(), importGraph(tinyModel()).graph).size, 0);
    const folded = modelBytes({
      nodes: [
        { ...made('LpPool', ['x'], ['y']), attributes: { kernel_shape: [1] } },
        made('Reshape', ['y', 'shape'], ['z']),
      ],
      inputs: { x: ['n', 2, 4] },
      outputs: ['z'],
      constants: { shape: { dtype: 'int64', shape: [2], data: BigInt64Array.of(-1n, 2n) } },
    });
    assert.deepEqual(valueTypes(runtime, folded, importGraph(folded).graph).get('z')?.shape, ['4*n', 2]);
    assert.deepEqual(typed(folded).types.get('z')?.shape, ['4*n', 2]);
  });

  it('gives what our engine gives: every value in float, every integer, and weights that were replaced', async () => {
    const bytes = tinyModel();
    const { artefacts } = await quantize({ ...base, model: { name: 'tiny', bytes } });
    const network = onnxruntimeNetwork(runtime, importGraph(bytes).graph);
    const names = network.graph.nodes.flatMap(({ outputs: list }) => list);
    for (const quantization of [undefined, quantizationOf(artefacts.model)]) {
      const theirs = network.compile(network.graph, kernels, { quantization });
      const ours = compile(network.graph, kernels, { quantization });
      const [a, b] = [theirs.run(samples(4), names), ours.run(samples(4), names)];
      for (const name of names)
        assert.ok(largestDifference(a.get(name)!, b.get(name)!) <= 1e-5, `${name} of ${a.get(name)!.dtype}`);
      assert.deepEqual(theirs.floatNodes, ours.floatNodes);
      if (quantization) continue;
      for (const layer of layers(network.graph)) {
        const weights = layer.weights.map((value, i) => value * (1 + (i % 3)));
        const bias = new Float32Array(layer.outChannels).fill(0.25);
        const before = outputs(theirs);
        for (const executor of [theirs, ours]) executor.replaceWeights(layer.name, weights, bias);
        const [x, y] = [outputs(theirs), outputs(ours)];
        assert.notDeepEqual(x, before, layer.name);
        for (const [i, value] of x.entries())
          assert.ok(Math.abs(value - y[i]) < 1e-4, `${layer.name}: ${value} and ${y[i]}`);
        for (const executor of [theirs, ours]) executor.replaceWeights(layer.name, null);
        assert.deepEqual(outputs(theirs), before);
      }
      theirs.dispose();
      ours.dispose();
    }
  });

  it('gives the same allocation as our engine where both can run', async () => {
    const options: QuantizeOptions = { ...base, model: { name: 'tiny', bytes: tinyModel() } };
    const ours = await quantize(options);
    const theirs = await quantize({ ...options, executor: 'onnxruntime' });
    assert.deepEqual(theirs.layers, ours.layers);
    assert.deepEqual(theirs.validation, ours.validation);
    assert.notEqual(theirs.sqntBytes, null);
    assert.deepEqual(ours.executor.name, 'engine');
    assert.doesNotMatch(ours.artefacts.report, /onnxruntime \d/);
  });

  it('gives resnet20-cifar10 the allocation that our engine gives it', async function () {
    const model = join(testbed, 'models/resnet20-cifar10.onnx');
    if (!existsSync(model)) {
      console.log('    skipped: ../shared/testbed is absent');
      this.skip();
    }
    const preprocessing = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    const file = join(testbed, 'data/cifar10-calibration.npz');
    const whole = await openDataset(file, { preprocessing });
    const images: { x: Float32Array }[] = [];
    for await (const { x } of whole.batches({ size: 96, select: (index) => index < 96 }))
      for (let i = 0; i < x.length; i += 3072) images.push({ x: x.slice(i, i + 3072) });
    const options: QuantizeOptions = {
      model,
      calibration: await fromIterable('96 images', [3, 32, 32], () => images, { size: 96 }),
      bits: [3, 4, 6, 8],
      targets: ['bits=4'],
      samples: 32,
      evaluations: 2,
    };
    this.timeout(600_000);
    const ours = await quantize(options);
    const theirs = await quantize({ ...options, executor: 'onnxruntime' });
    assert.deepEqual(theirs.layers, ours.layers);
    assert.deepEqual(theirs.validation, ours.validation);
  });

  it('gives dscnn-kws with operators that we lack, but that change nothing, what it gives it without', async function () {
    const path = join(testbed, 'models/dscnn-kws.onnx');
    if (!existsSync(path)) {
      console.log('    skipped: ../shared/testbed is absent');
      this.skip();
    }
    const options = {
      calibration: join(testbed, 'data/kws-calibration.npz'),
      evaluate: join(testbed, 'data/kws-test.npz'),
      preprocessing: { scale: 0.58470288, mean: 48.53033904 },
      targets: ['bits=4'],
      evaluations: 4,
    };
    const plain = await quantize({ ...options, model: path });
    const model = { name: 'pooled', bytes: withPools(new Uint8Array(readFileSync(path))) };
    await assert.rejects(quantize({ ...options, model }), {
      code: 'UNSUPPORTED_OPERATOR',
      message: /LpPool \(node \S+ and 2 more\); --executor onnxruntime/,
    });
    const pooled = await quantize({ ...options, model, executor: 'onnxruntime' });
    assert.deepEqual(pooled.layers, plain.layers);
    assert.deepEqual([pooled.validation, pooled.accuracy], [plain.validation, plain.accuracy]);
    const float = pooled.artefacts.allocation.floatNodes.filter(({ op }) => op === 'LpPool');
    assert.equal(float.length, 3);
  });

  it("gives our engine's results for outputs that are layers' results too, and takes names used twice", async () => {
    const shapes = { b: ['batch', 8, 8, 8], g: ['batch', 8, 4, 4] };
    const bytes = tinyModel(({ outputs: own, nodes }) => ({
      outputs: [
        ...own,
        ...Object.entries(shapes).map(([name, shape]) => ({ name, dtype: 'float32', shape })),
      ],
      nodes: nodes.map((each) => ({ ...each, name: each.op === 'Conv' ? each.name : 'b_quantized' })),
    }));
    const { artefacts } = await quantize({ ...base, model: { name: 'outputs', bytes } });
    const network = onnxruntimeNetwork(runtime, importGraph(bytes).graph);
    const quantization = quantizationOf(artefacts.model);
    const names = ['logits', ...Object.keys(shapes)];
    const ours = compile(network.graph, kernels, { quantization }).run(samples(3), names);
    const executor = network.compile(network.graph, kernels, { quantization });
    const session = runtime.session(artefacts.model, 1);
    for (const theirs of [session.run(samples(3), names), executor.run(samples(3), names)])
      for (const name of names) assert.ok(largestDifference(theirs.get(name)!, ours.get(name)!) < 1e-5, name);
    session.release();
  });

  it('tells of an operator that onnxruntime lacks too', async () => {
    const nodes = [{ ...made('Foo', ['x'], ['y']), domain: 'com.example' }, made('Gemm', ['y', 'w'], ['z'])];
    const bytes = modelBytes({
      nodes,
      inputs: { x: ['n', 4] },
      outputs: ['z'],
      constants: { w: wave([4, 4]) },
    });
    const error = refusal(() => typed(bytes));
    assert.equal(error.code, 'UNSUPPORTED_OPERATOR');
    assert.match(error.message, /onnxruntime 1\.\S+ can load but it refused: .*Foo/);
  });

  it('refuses operators that hold graphs, naming node and attribute', () => {
    const model = readModel(
      modelBytes({ nodes: [made('Relu', ['x'], ['y'])], inputs: { x: ['n'] }, outputs: ['y'] }),
    );
    const attribute = create(AttributeProtoSchema, {
      name: 'body',
      type: AttributeProto_AttributeType.GRAPH,
      g: create(GraphProtoSchema, {}),
    });
    Object.assign(model.graph!.node[0], { opType: 'Loop', attribute: [attribute] });
    const error = refusal(() => typed(toBinary(ModelProtoSchema, model)));
    assert.equal(error.code, 'UNSUPPORTED_MODEL');
    assert.match(error.message, /attribute body of node "Relu:y" \(Loop\)/);
  });

  it('tells of feeds that are not what the model takes, and goes on', () => {
    const session = runtime.session(tinyModel(), 1);
    const error = refusal(() => session.run(new Map([['image', wave([1, 3, 8, 9])]]), ['logits']));
    assert.equal(error.code, 'INTERNAL');
    assert.match(error.message, /image/);
    assert.equal(session.run(samples(2), ['logits']).get('logits')!.data.length, 8);
    session.release();
  });

  it('refuses calls after dispose', async () => {
    const other = await Onnxruntime.start(found!);
    other.dispose();
    assert.equal(refusal(() => other.session(tinyModel(), 1)).code, 'BACKEND_UNAVAILABLE');
  });
});
