import assert from 'node:assert/strict';
import { compile, type Executor, quantizedValues, quantizerOf } from '../lib/engine/index.ts';
import { type Lifetime, planMemory } from '../lib/engine/memory-plan.ts';
import type { SigmaQuantError } from '../lib/errors.ts';
import type { Graph, Tensor } from '../lib/graph/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { random, same } from './contract/support.ts';
import { moving } from './engine/moving-arena.ts';
import { image, Network, sampler } from './engine/network.ts';
import { interpret } from './engine/oracle.ts';
import { availableKernels, close, integers, one, quantizationOf } from './engine/support.ts';

const available = await availableKernels();

describe('memory plan', () => {
  it('never lets two living buffers overlap, and reuses', () => {
    const next = random(3);
    const lifetimes: Lifetime[] = Array.from({ length: 60 }, (_, i) => ({
      byteLength: Math.floor(next() * 5000),
      first: i,
      last: i + Math.floor(next() * 6),
    }));
    const { offsets, planned, withoutReuse } = planMemory(lifetimes);
    let livingAtOnce = 0;
    for (let i = 0; i < lifetimes.length; i++) {
      assert.equal(offsets[i] % 64, 0);
      assert.ok(offsets[i] + lifetimes[i].byteLength <= planned);
      const living = lifetimes.filter(({ first, last }) => first <= i && last >= i);
      livingAtOnce = Math.max(
        livingAtOnce,
        living.reduce((sum, { byteLength }) => sum + byteLength, 0),
      );
      for (let j = 0; j < i; j++) {
        const together = lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last;
        const [a, b] = offsets[i] < offsets[j] ? [i, j] : [j, i];
        assert.ok(!together || offsets[a] + lifetimes[a].byteLength <= offsets[b]);
      }
    }
    assert.ok(planned < withoutReuse / 4, `${planned} of ${withoutReuse}`);
    assert.ok(planned < livingAtOnce * 1.3, `${planned} for ${livingAtOnce}`);
  });
});

for (const kernels of available) {
  describe(`engine, ${kernels.backend} ${kernels.isa}`, () => {
    const graph = sampler();
    const input = image(3);
    let float: Executor;
    before(() => {
      float = compile(graph, kernels);
    });
    after(() => float.dispose());

    it('float: every value as plain loops compute it', () => {
      const expected = interpret(graph, input);
      const names = graph.nodes.map(({ name }) => name);
      const actual = float.run(one('image', input), names);
      for (const name of names) {
        assert.deepEqual([...actual.get(name)!.shape], [...expected.get(name)!.shape]);
        close(actual.get(name)!, expected.get(name)!.data, name);
      }
      close(
        float.run(one('image', input), ['logits']).get('logits')!,
        expected.get('logits')!.data,
        'logits',
      );
    });

    it('any suffix continues any prefix to the same bits', () => {
      const whole = float.run(one('image', input), ['logits']).get('logits')!;
      for (const cut of [['pixels'], ['stem'], ['stem', 'depthwise'], ['sum'], ['joined'], ['features']]) {
        const prefix = float.run(one('image', input), cut);
        const before = [...prefix].map(([name, { data }]) => [name, data.slice()]);
        assert.deepEqual(float.run(prefix, ['logits']).get('logits'), whole, cut.join());
        assert.deepEqual(
          [...prefix].map(([name, { data }]) => [name, data]),
          before,
          'feeds are not written',
        );
      }
      assert.deepEqual(float.run(one('logits', whole), ['logits']).get('logits'), whole);
    });

    it('batches are independent of each other, and buffers of the caller are filled', () => {
      const logits = float.run(one('image', input), ['logits']).get('logits')!;
      for (let n = 0; n < 3; n++) {
        const data = (input.data as Float32Array).subarray(n * 126, (n + 1) * 126);
        const into = { dtype: 'float32' as const, shape: [1, 4], data: new Float32Array(4) };
        const single = one('image', { dtype: 'float32', shape: [1, 3, 7, 6], data });
        assert.equal(float.run(single, ['logits'], one('logits', into)).get('logits')!.data, into.data);
        assert.deepEqual(into.data, (logits.data as Float32Array).slice(n * 4, n * 4 + 4));
      }
    });

    it('replaces the weights of one layer and restores them', () => {
      const before = float.run(one('image', input), ['logits']).get('logits')!;
      const { constants } = graph;
      const replaced: Graph = { ...graph, constants: new Map(constants) };
      const w = constants.get('project.w')!;
      const other = (w.data as Float32Array).map((x) => x * 0.5);
      (replaced.constants as Map<string, Tensor>).set('project.w', { ...w, data: other });
      float.replaceWeights('project', other);
      const changed = float.run(one('image', input), ['logits']).get('logits')!;
      close(changed, interpret(replaced, input).get('logits')!.data, 'replaced');
      const bias = new Float32Array(8).fill(0.25);
      (replaced.constants as Map<string, Tensor>).set('project.b', {
        dtype: 'float32',
        shape: [8],
        data: bias,
      });
      float.replaceWeights('project', other, bias);
      const biased = float.run(one('image', input), ['logits']).get('logits')!;
      close(biased, interpret(replaced, input).get('logits')!.data, 'with another bias');
      float.replaceWeights('project', null);
      assert.deepEqual(float.run(one('image', input), ['logits']).get('logits'), before);
      assert.throws(() => float.replaceWeights('sum', other), { code: 'INVALID_ARGUMENT' });
    });

    it('integers: every value to the bit as plain loops compute it', () => {
      const quantization = quantizationOf(graph, input);
      const expected = interpret(graph, input, quantization);
      const executor = compile(graph, kernels, { quantization });
      assert.deepEqual(executor.floatNodes, []);
      for (const { name } of graph.nodes) {
        const actual = executor.run(one('image', input), [name]).get(name)!;
        assert.equal(actual.dtype, name === 'logits' ? 'float32' : 'uint8', name);
        same(actual.data as Uint8Array, expected.get(name)!.data, name);
      }
      const cut = executor.run(one('image', input), ['stem', 'project']);
      assert.deepEqual(
        executor.run(cut, ['logits']).get('logits'),
        executor.run(one('image', input), ['logits']).get('logits'),
      );
      executor.dispose();
    });

    it('integers: a layer that is replaced gives what a new executor gives', () => {
      const quantization = quantizationOf(graph, input);
      const weights = graph.constants.get('grouped.w')!;
      const bias = quantization.layers.get('grouped')!.bias;
      for (const bits of [8, 2, 5]) {
        const layers = new Map(quantization.layers).set('grouped', integers(weights, bias, bits));
        const replacement = { ...quantization, layers };
        const [old, fresh] = [quantization, replacement].map((q) =>
          compile(graph, kernels, { quantization: q }),
        );
        old.replaceLayer('grouped', replacement);
        assert.deepEqual(
          old.run(one('image', input), ['logits']),
          fresh.run(one('image', input), ['logits']),
        );
        old.dispose();
        fresh.dispose();
      }
    });

    it('layers without integers run in float among the others, and are named', () => {
      const quantization = quantizationOf(graph, input);
      const layers = new Map(quantization.layers);
      layers.delete('depthwise');
      layers.delete('logits');
      const mixed = { ...quantization, layers };
      const executor = compile(graph, kernels, { quantization: mixed });
      assert.deepEqual(executor.floatNodes, ['depthwise', 'logits']);
      const expected = interpret(graph, input, mixed).get('logits')!.data;
      close(executor.run(one('image', input), ['logits']).get('logits')!, expected, 'logits');
      executor.dispose();
    });

    it('plans less memory than all values need', () => {
      const { planned, withoutReuse } = float.memory(4);
      assert.ok(planned > 0 && planned < withoutReuse * 0.7, `${planned} of ${withoutReuse}`);
      const quantization = quantizationOf(graph, input);
      const executor = compile(graph, kernels, { quantization });
      assert.ok(executor.memory(4).planned < planned / 2);
      executor.dispose();
    });

    it('refuses what does not fit, with a sentence', () => {
      const wrong = (run: () => unknown, code: string, message: RegExp) =>
        assert.throws(run, (error: SigmaQuantError) => {
          assert.match(error.message, message);
          return error.code === code;
        });
      wrong(() => float.run(new Map(), ['logits']), 'INVALID_ARGUMENT', /a feed for image/);
      wrong(() => float.run(one('image', input), ['nothing']), 'INVALID_ARGUMENT', /"nothing"/);
      wrong(() => float.run(one('imago', input), ['logits']), 'INVALID_ARGUMENT', /"imago"/);
      const turned = { ...input, shape: [3, 7, 6, 3] };
      wrong(() => float.run(one('image', turned), ['logits']), 'DATA_MISMATCH', /\[3,3,7,6\] for image/);
      const bytes: Tensor = { dtype: 'uint8', shape: input.shape, data: new Uint8Array(378) };
      wrong(() => float.run(one('image', bytes), ['logits']), 'DATA_MISMATCH', /float32 for image/);
      const short = { ...input, data: new Float32Array(7) };
      wrong(() => float.run(one('image', short), ['logits']), 'DATA_MISMATCH', /378 elements/);
      const onnx = { ...graph, layout: 'onnx' as const };
      wrong(() => compile(onnx, kernels), 'INVALID_ARGUMENT', /channels-last/);
    });
  });
}

describe('an arena that moves', () => {
  it('while weights are packed and while steps run', () => {
    const graph = sampler();
    const input = image(2);
    const kernels = createReference();
    for (const quantization of [undefined, quantizationOf(graph, input)]) {
      const restless = moving(kernels, 1 << 20);
      const [expected, actual] = [kernels, restless].map((each) => {
        const executor = compile(graph, each, { quantization });
        executor.run(one('image', image(1)), ['stem']);
        return executor.run(one('image', input), ['stem', 'joined', 'logits']);
      });
      assert.deepEqual(actual, expected);
      assert.ok(restless.moves() > 10);
    }
  });
});

describe('quantized values', () => {
  it('are inputs and results that integers read; moves inherit, network outputs stay float', () => {
    const graph = sampler();
    assert.deepEqual(
      quantizedValues(graph).map(({ value, nonNegativeByConstruction }) => [
        value,
        nonNegativeByConstruction,
      ]),
      [
        ['image', false],
        ['stem', true],
        ['depthwise', true],
        ['project', false],
        ['sum', true],
        ['grouped', true],
        ['joined', true],
        ['averaged', true],
        ['global', true],
      ],
    );
    assert.equal(quantizerOf(graph, 'pixels'), 'image');
    assert.equal(quantizerOf(graph, 'padded'), 'joined');
    assert.equal(quantizerOf(graph, 'features'), 'global');
    assert.equal(quantizerOf(graph, 'sum'), 'sum');
  });

  it('standing Relu runs by table; Add of a constant and what reads no integers run in float', () => {
    const kernels = available.at(-1)!;
    const net = new Network(5);
    net.type('image', ['batch', 3, 7, 6]);
    net.node('Transpose', 'pixels', ['image'], ['batch', 7, 6, 3], { perm: [0, 2, 3, 1] });
    const open = { clamp: [-Infinity, Infinity] };
    net.conv('first', 'pixels', [4, 3, 3, 3], ['batch', 7, 6, 4], open);
    net.node('Relu', 'relu', ['first'], ['batch', 7, 6, 4]);
    net.node('Add', 'sum', ['first', 'relu'], ['batch', 7, 6, 4]);
    net.conv('last', 'sum', [2, 3, 3, 4], ['batch', 7, 6, 2], open);
    const graph = net.graph(['image'], ['last']);
    const input = image(2);
    const quantization = quantizationOf(graph, input);
    assert.deepEqual([...quantization.activations.keys()], ['image', 'first', 'relu', 'sum']);
    const executor = compile(graph, kernels, { quantization });
    assert.deepEqual(executor.floatNodes, []);
    const expected = interpret(graph, input, quantization);
    for (const name of ['relu', 'sum', 'last']) {
      const { data } = executor.run(one('image', input), [name]).get(name)!;
      same(data as Uint8Array, expected.get(name)!.data, name);
    }
    executor.dispose();
  });

  it('all backends that run here agree on the integers', async () => {
    const graph = sampler();
    const input = image(5);
    const quantization = quantizationOf(graph, input);
    const logits = available.map((kernels) => {
      const executor = compile(graph, kernels, { quantization });
      const result = executor.run(one('image', input), ['logits']).get('logits');
      executor.dispose();
      return result;
    });
    for (const other of logits) assert.deepEqual(other, logits[0]);
    assert.ok(available.some(({ backend }) => backend === 'reference'));
    assert.equal((await createKernels({ backend: 'reference' })).backend, 'reference');
  });
});
