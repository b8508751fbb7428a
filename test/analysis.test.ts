import assert from 'node:assert/strict';
import type { CalibrateOptions, Calibration } from '../lib/analysis/analysis.ts';
import { layersWithGram } from '../lib/analysis/calibrate.ts';
import { liveBefore } from '../lib/analysis/experiments.ts';
import {
  calibrate,
  createPace,
  OutputDivergence,
  outputKinds,
  type ProfileOptions,
  pause,
  profile,
  weightProfile,
} from '../lib/analysis/index.ts';
import { fromIterable } from '../lib/data/index.ts';
import { compile, quantizedValues } from '../lib/engine/index.ts';
import { SigmaQuantError } from '../lib/errors.ts';
import type { Graph, Layer, Node, Tensor } from '../lib/graph/graph.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { dequantizeWeights } from '../lib/quant/weights.ts';
import { createRecovery } from '../lib/recovery/index.ts';
import { normal, random } from './contract/support.ts';

const kernels = createReference();
const SIDE = 6;
const CHANNELS = 3;
const HIDDEN = 4;
const CLASSES = 5;
const NO_CLAMP = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
const RELU = [0, Number.POSITIVE_INFINITY];

const tensor = (shape: number[], data: Float32Array): Tensor => ({ dtype: 'float32', shape, data });

/** Input -> stem (3x3, Relu) -> depthwise (3x3, stride 2 on neither side) -> Add with stem -> pool -> fc. */
function network(): { graph: Graph; layers: Layer[] } {
  const next = normal(random(3));
  const values = (n: number) => Float32Array.from({ length: n }, () => next() * 0.4);
  const constants = new Map<string, Tensor>([
    ['stem.w', tensor([HIDDEN, 3, 3, CHANNELS], values(HIDDEN * 9 * CHANNELS))],
    ['stem.b', tensor([HIDDEN], values(HIDDEN))],
    ['deep.w', tensor([HIDDEN, 3, 3, 1], values(HIDDEN * 9))],
    ['deep.b', tensor([HIDDEN], values(HIDDEN))],
    ['fc.w', tensor([CLASSES, HIDDEN], values(CLASSES * HIDDEN))],
    ['fc.b', tensor([CLASSES], values(CLASSES))],
  ]);
  const conv = (name: string, input: string, group: number, clamp: number[]): Node => ({
    name,
    op: 'Conv',
    inputs: [input, `${name}.w`, `${name}.b`],
    outputs: [`${name}.y`],
    attributes: { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group, clamp },
  });
  const node = (name: string, op: string, inputs: string[], attributes: Node['attributes']): Node => ({
    name,
    op,
    inputs,
    outputs: [`${name}.y`],
    attributes,
  });
  const nodes = [
    node('layout', 'Transpose', ['image'], { perm: [0, 2, 3, 1] }),
    conv('stem', 'layout.y', 1, RELU),
    conv('deep', 'stem.y', HIDDEN, NO_CLAMP),
    node('sum', 'Add', ['deep.y', 'stem.y'], { clamp: RELU }),
    node('pool', 'GlobalAveragePool', ['sum.y'], {}),
    node('flat', 'Flatten', ['pool.y'], { axis: 1 }),
    node('fc', 'Linear', ['flat.y', 'fc.w', 'fc.b'], { clamp: NO_CLAMP }),
  ];
  const spatial = (channels: number) => ({ dtype: 'float32' as const, shape: ['N', SIDE, SIDE, channels] });
  const graph: Graph = {
    name: 'net',
    opset: 13,
    inputs: [{ name: 'image', dtype: 'float32', shape: ['N', CHANNELS, SIDE, SIDE] }],
    outputs: [{ name: 'fc.y', dtype: 'float32', shape: ['N', CLASSES] }],
    nodes,
    constants,
    types: new Map([
      ['image', { dtype: 'float32', shape: ['N', CHANNELS, SIDE, SIDE] }],
      ['layout.y', spatial(CHANNELS)],
      ['stem.y', spatial(HIDDEN)],
      ['deep.y', spatial(HIDDEN)],
      ['sum.y', spatial(HIDDEN)],
      ['pool.y', { dtype: 'float32', shape: ['N', 1, 1, HIDDEN] }],
      ['flat.y', { dtype: 'float32', shape: ['N', HIDDEN] }],
      ['fc.y', { dtype: 'float32', shape: ['N', CLASSES] }],
    ]),
    rawSigma: new Map([['stem', 0.25]]),
    layout: 'channels-last',
  };
  const layer = (name: string, taps: number, channels: number, groups: number): Layer => {
    const own = nodes.find((candidate) => candidate.name === name)!;
    const weights = constants.get(`${name}.w`)!;
    return {
      name,
      op: own.op as Layer['op'],
      node: own,
      input: own.inputs[0],
      output: own.outputs[0],
      weights: weights.data as Float32Array,
      bias: constants.get(`${name}.b`)!.data as Float32Array,
      outChannels: weights.shape[0],
      taps,
      channels,
      groups,
      parameters: weights.data.length,
      macs: weights.data.length * (op(own) ? SIDE * SIDE : 1),
    };
  };
  return {
    graph,
    layers: [layer('stem', 9, CHANNELS, 1), layer('deep', 9, 1, HIDDEN), layer('fc', 1, HIDDEN, 1)],
  };
}

const op = ({ op: name }: Node) => name === 'Conv';

function samples(count: number) {
  const next = normal(random(11));
  const all = Array.from({ length: count }, () => ({
    x: Float32Array.from({ length: CHANNELS * SIDE * SIDE }, next),
  }));
  return fromIterable('samples', [CHANNELS, SIDE, SIDE], () => all, { size: count });
}

const { graph, layers } = network();
const VALUES = quantizedValues(graph).map(({ value }) => value);
const ALL: CalibrateOptions = { samples: 20, batch: 4, gram: true, patches: SIDE * SIDE };

async function everything(count: number): Promise<Map<string, Tensor>> {
  const x = new Float32Array(count * CHANNELS * SIDE * SIDE);
  for await (const batch of (await samples(count)).batches({ size: count })) x.set(batch.x);
  const feeds = new Map([['image', tensor([count, CHANNELS, SIDE, SIDE], x)]]);
  const executor = compile(graph, kernels);
  const fetched = executor.run(feeds, [...VALUES, 'layout.y', 'flat.y', 'fc.y']);
  executor.dispose();
  return fetched;
}

describe('calibration', () => {
  let known: Calibration;
  before(async () => {
    known = await calibrate(graph, layers, kernels, await samples(20), ALL);
  });

  it('knows range, mean, spread and histogram of every quantized value', async () => {
    const fetched = await everything(20);
    assert.deepEqual([...known.values.keys()].sort(), [...VALUES].sort());
    assert.equal(known.samples, 20);
    for (const [name, { min, max, mean, std, low, high, counts }] of known.values) {
      const x = fetched.get(name)!.data as Float32Array;
      assert.deepEqual(
        [min, max, low, high],
        [Math.min(...x), Math.max(...x), Math.min(...x), Math.max(...x)],
      );
      const average = x.reduce((sum, value) => sum + value, 0) / x.length;
      const variance = x.reduce((sum, value) => sum + (value - average) ** 2, 0) / x.length;
      assert.ok(Math.abs(mean - average) < 1e-9 && Math.abs(std - Math.sqrt(variance)) < 1e-9);
      const expected = new Float64Array(counts.length);
      kernels.histogram(x, low, high, expected);
      assert.deepEqual(counts, expected);
    }
  });

  it('sums Grams, means and powers of input patches', async () => {
    const x = (await everything(20)).get('stem.y')!.data as Float32Array;
    const { rows, gram, mean, power } = known.inputs.get('deep')!;
    assert.equal(rows, 20 * SIDE * SIDE);
    assert.equal(gram!.length, HIDDEN * 81);
    // The middle tap of a padded 3x3 convolution meets every pixel once.
    for (let channel = 0; channel < HIDDEN; channel++) {
      let [sum, squares] = [0, 0];
      for (let i = channel; i < x.length; i += HIDDEN) {
        sum += x[i];
        squares += x[i] * x[i];
      }
      assert.ok(Math.abs(mean[channel * 9 + 4] - sum / rows) < 1e-9);
      assert.ok(Math.abs(power[channel * 9 + 4] - squares / rows) < 1e-9);
      assert.ok(Math.abs(gram![channel * 81 + 4 * 9 + 4] - squares) < 1e-6);
    }
    for (const { name, taps, channels, groups } of layers) {
      const input = known.inputs.get(name)!;
      const k = taps * channels;
      for (let i = 0; i < groups * k; i++) {
        const diagonal = input.gram![Math.floor(i / k) * k * k + (i % k) * (k + 1)] / input.rows;
        assert.ok(Math.abs(diagonal - input.power[i]) <= 1e-9 * diagonal, name);
      }
    }
  });

  it('does not depend on where batches end, exactly for sums over patches', async () => {
    for (const patches of [SIDE * SIDE, 7, 1]) {
      const [one, other] = await Promise.all(
        [1, 7].map(async (batch) =>
          calibrate(graph, layers, kernels, await samples(20), { ...ALL, batch, patches }),
        ),
      );
      assert.deepEqual(one.inputs, other.inputs);
      assert.ok(one.inputs.get('stem')!.rows <= 20 * patches);
      assert.ok(one.inputs.get('stem')!.rows >= 5 * patches);
      for (const [name, { counts }] of one.values) assert.deepEqual(counts, other.values.get(name)!.counts);
    }
  });

  it('takes evenly spaced samples and no more than asked for', async () => {
    const some = await calibrate(graph, layers, kernels, await samples(20), { ...ALL, samples: 6 });
    assert.equal(some.samples, 6);
    assert.notDeepEqual(some.inputs.get('fc')!.mean, known.inputs.get('fc')!.mean);
  });

  it('gives Grams to the layers that fit under the ceiling, smallest first', async () => {
    assert.deepEqual([...layersWithGram(layers)].sort(), ['deep', 'fc', 'stem']);
    assert.deepEqual([...layersWithGram(layers, 8 * (HIDDEN * 81 + HIDDEN ** 2))].sort(), ['deep', 'fc']);
    assert.deepEqual([...layersWithGram(layers, 0)], []);
    const deep = { ...layers[2], name: 'vast', channels: 6145 };
    assert.deepEqual([...layersWithGram([deep, layers[2]])], ['fc']);
    const without = await calibrate(graph, layers, kernels, await samples(4), { ...ALL, gram: false });
    assert.equal(without.inputs.get('stem')!.gram, null);
    assert.ok(without.inputs.get('stem')!.power.some((value) => value > 0));
  });

  it('reports progress to the end and aborts with the reason of the signal', async () => {
    const seen: number[] = [];
    await calibrate(graph, layers, kernels, await samples(8), {
      ...ALL,
      onProgress: (_, done, total) => seen.push(done / total),
    });
    assert.equal(seen.at(-1), 1);
    assert.ok(seen.every((share, i) => i === 0 || share > seen[i - 1]));
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => controller.abort(reason);
    const running = calibrate(graph, layers, kernels, await samples(8), {
      ...ALL,
      signal: controller.signal,
      onProgress,
    });
    await assert.rejects(running, reason);
  });

  it('refuses samples of another shape and activations that are not finite', async () => {
    const wide = await fromIterable('wide', [CHANNELS, 2, 2], () => [{ x: new Float32Array(12) }]);
    await assert.rejects(
      calibrate(graph, layers, kernels, wide, ALL),
      (error) =>
        error instanceof SigmaQuantError &&
        error.code === 'DATA_MISMATCH' &&
        error.message === 'Expected samples of shape [3,6,6] for input "image" but wide holds [3,2,2].',
    );
    const huge = await fromIterable('huge', [CHANNELS, SIDE, SIDE], () => [
      { x: new Float32Array(CHANNELS * SIDE * SIDE).fill(3e38) },
    ]);
    await assert.rejects(calibrate(graph, layers, kernels, huge, ALL), /Expected finite activations for /);
  });
});

describe('calibration on the addon', () => {
  it('is the same on every tier with fused multiply-add and every number of threads', async function () {
    const seen: Calibration[] = [];
    for (const isa of ['avx2', 'avx512vnni'] as const)
      for (const threads of [1, 2]) {
        const tier = await createKernels({ isa, threads }).catch((error: SigmaQuantError) => {
          assert.equal(error.code, 'BACKEND_UNAVAILABLE');
          return null;
        });
        if (tier === null) continue;
        seen.push(await calibrate(graph, layers, tier, await samples(20), ALL));
        tier.dispose();
      }
    if (seen.length < 2) return this.skip();
    for (const other of seen.slice(1)) assert.deepEqual(other, seen[0]);
  });
});

describe('profile of weights', () => {
  it('states sigma, moments and divergence by hand', async () => {
    const [stem] = layers;
    const layer = { ...stem, weights: Float32Array.of(-1, 1, 3, 1), outChannels: 1, parameters: 4 };
    const [facts] = await weightProfile(graph, [layer], kernels, [2, 8]);
    assert.equal(facts.sigma, Math.sqrt(2));
    assert.equal(facts.rawSigma, 0.25);
    assert.deepEqual(facts.moments, { min: -1, max: 3, mean: 1, skewness: 0, kurtosis: 2 });
    assert.ok(facts.weightDivergence[8] < facts.weightDivergence[2]);
    assert.equal(facts.outputDivergence, null);
  });

  it('falls with the width, is zero for weights on the grid, and finite always', async () => {
    const next = normal(random(2));
    const weights = Float32Array.from({ length: 4000 }, next);
    const layer = { ...layers[2], weights, outChannels: 1, parameters: 4000 };
    const [{ weightDivergence }] = await weightProfile(graph, [layer], kernels, [2, 3, 4, 6, 8]);
    const values = Object.values(weightDivergence);
    for (let i = 1; i < values.length; i++) assert.ok(values[i] < values[i - 1], `${values}`);
    const onGrid = { ...layer, weights: weights.map((value) => (value > 0 ? 0.5 : -1)) };
    const [flat] = await weightProfile(graph, [onGrid], kernels, [2]);
    assert.deepEqual(flat.weightDivergence, { 2: 0 });
    const dead = { ...layer, weights: new Float32Array(4000) };
    const [{ sigma, moments, ...rest }] = await weightProfile(graph, [dead], kernels, [2, 8]);
    assert.deepEqual([sigma, moments.kurtosis, rest.weightDivergence], [0, 0, { 2: 0, 8: 0 }]);
  });

  it('names depthwise layers', async () => {
    assert.deepEqual(
      (await weightProfile(graph, layers, kernels, [8])).map(({ depthwise }) => depthwise),
      [false, true, false],
    );
  });
});

describe('divergence of outputs', () => {
  const outputs = (values: number[], shape: number[]) =>
    new Map([['y', tensor(shape, Float32Array.from(values))]]);

  it('is the mean KL of softmaxes, by hand', () => {
    const sum = new OutputDivergence(new Map([['y', 'logits']]));
    sum.add(outputs([0, Math.log(3)], [1, 2]), outputs([5, 5], [1, 2]));
    const expected = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);
    assert.ok(Math.abs(sum.mean - expected) < 1e-7);
    sum.add(outputs([1, 2], [1, 2]), outputs([1, 2], [1, 2]));
    assert.ok(Math.abs(sum.mean - expected / 2) < 1e-7);
  });

  it('takes probabilities as they are, zeros included', () => {
    const sum = new OutputDivergence(new Map([['y', 'probabilities']]));
    sum.add(outputs([0.25, 0.75], [1, 2]), outputs([0.5, 0.5], [1, 2]));
    assert.ok(Math.abs(sum.mean - (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5))) < 1e-7);
    sum.add(outputs([0.5, 0.5], [1, 2]), outputs([1, 0], [1, 2]));
    assert.ok(Number.isFinite(sum.mean));
  });

  it('is the squared error over the power where outputs are not classes', () => {
    const sum = new OutputDivergence(new Map([['y', 'numbers']]));
    sum.add(outputs([3, 4], [1, 1, 2]), outputs([3, 3], [1, 1, 2]));
    assert.equal(sum.mean, 1 / 25);
  });

  it('knows kinds from shapes and from a final Softmax', () => {
    assert.deepEqual([...outputKinds(graph)], [['fc.y', 'logits']]);
    const softmax: Node = {
      name: 's',
      op: 'Softmax',
      inputs: ['fc.y'],
      outputs: ['p'],
      attributes: { axis: 1 },
    };
    const ported = (shape: (number | string)[]): Graph => ({
      ...graph,
      nodes: [...graph.nodes, softmax],
      outputs: [{ name: 'p', dtype: 'float32', shape }],
    });
    assert.deepEqual([...outputKinds(ported(['N', 5]))], [['p', 'probabilities']]);
    assert.deepEqual([...outputKinds(ported(['N', 5, 2]))], [['p', 'numbers']]);
  });
});

describe('profile of outputs', () => {
  const options: ProfileOptions = { widths: [2, 4, 8], samples: 12, batch: 5 };
  const recovery = createRecovery('none', { layers, calibration: null, inputScales: null, kernels });

  it('feeds everything that is alive before a layer', () => {
    assert.deepEqual(
      layers.map((layer) => liveBefore(graph, layer)),
      [['layout.y'], ['stem.y'], ['flat.y']],
    );
    const sum = graph.nodes.find(({ name }) => name === 'sum')!;
    assert.deepEqual(liveBefore(graph, { ...layers[0], name: sum.name }).sort(), ['deep.y', 'stem.y']);
  });

  it('equals running the whole network with one layer replaced', async () => {
    const measured = await profile(graph, layers, kernels, await samples(12), recovery.quantize, options);
    const executor = compile(graph, kernels);
    const feeds = new Map<string, Tensor>();
    for await (const { x } of (await samples(12)).batches({ size: 12 }))
      feeds.set('image', tensor([12, CHANNELS, SIDE, SIDE], x));
    const reference = executor.run(feeds, ['fc.y']);
    for (const [i, layer] of layers.entries())
      for (const bits of options.widths) {
        const made = await recovery.quantize(layer.name, bits);
        executor.replaceWeights(layer.name, dequantizeWeights(made.q, made.scales), made.bias);
        const sum = new OutputDivergence(outputKinds(graph));
        sum.add(reference, executor.run(feeds, ['fc.y']));
        executor.replaceWeights(layer.name, null);
        const divergence = measured[i].outputDivergence![bits];
        assert.ok(
          divergence > 0 && Math.abs(divergence - sum.mean) <= 1e-9 * sum.mean,
          `${layer.name} ${bits}`,
        );
      }
    executor.dispose();
    for (const { outputDivergence } of measured) assert.ok(outputDivergence![8] < outputDivergence![2]);
  });

  it('splits batches to stay below the ceiling, with the same result', async () => {
    const data = await samples(12);
    const wide = await profile(graph, layers, kernels, data, recovery.quantize, options);
    const narrow = await profile(graph, layers, kernels, data, recovery.quantize, {
      ...options,
      cacheBytes: 1,
    });
    for (const [i, { outputDivergence }] of wide.entries())
      for (const bits of options.widths) {
        const difference = outputDivergence![bits] - narrow[i].outputDivergence![bits];
        assert.ok(Math.abs(difference) <= 1e-9 * outputDivergence![bits]);
      }
  });

  it('aborts between runs', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const options_ = { ...options, signal: controller.signal, onProgress: () => controller.abort(reason) };
    await assert.rejects(
      profile(graph, layers, kernels, await samples(12), recovery.quantize, options_),
      reason,
    );
  });
});

describe('pace', () => {
  it('lets timers run and then throws the reason', async () => {
    const signal = AbortSignal.timeout(1);
    const pace = createPace(signal);
    await assert.rejects(async () => {
      for (;;) await pace(2 ** 24);
    }, signal.reason);
    await assert.rejects(pause(AbortSignal.abort(new Error('before'))), /before/);
    await pause();
  });
});
