import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { SuffixRuns } from '../lib/analysis/index.ts';
import { compile, type Executor } from '../lib/engine/index.ts';
import { layers as layersOf, type Tensor } from '../lib/graph/index.ts';
import type { Kernels } from '../lib/kernels/index.ts';
import { random } from './contract/support.ts';
import { image, sampler } from './engine/network.ts';
import { availableKernels, integers, one, quantizationOf } from './engine/support.ts';
import { floats, quantized, tower, twins } from './runtime/models.ts';

const available = await availableKernels();
const busy = { name: 'SigmaQuantError', code: 'BUSY', message: /await it first/ };

describe('tapes', () => {
  let kernels: Kernels & { record: NonNullable<Kernels['record']> };
  before(function () {
    const native = available.find(({ record }) => record !== null);
    if (!native) this.skip();
    kernels = native as typeof kernels;
  });

  /** Three calls, each of which reads what the one before it wrote. */
  function chain() {
    const x = floats(1000, 3);
    const [q, table, levels, back] = [
      new Uint8Array(1000),
      Uint8Array.from({ length: 256 }, (_, i) => 255 - i),
      new Uint8Array(1000),
      new Float32Array(1000),
    ];
    const calls = () => {
      kernels.quantize(x, 0.01, 128, 0, 255, q);
      kernels.lookup(q, table, levels);
      kernels.dequantize(levels, 0.01, 128, back);
    };
    return { x, table, back, calls };
  }

  it('record instead of calling, and play to the same bytes', async () => {
    const { x, table, back, calls } = chain();
    calls();
    const expected = back.slice();
    back.fill(0);
    const tape = kernels.record(calls);
    assert.ok(
      back.every((value) => value === 0),
      'nothing was written while it was recorded',
    );
    tape.play();
    assert.deepEqual(back, expected);
    back.fill(0);
    await tape.later();
    assert.deepEqual(back, expected);

    // Contents may change, the arrays stay.
    x.set(floats(1000, 4));
    table.fill(128, 0, 100);
    calls();
    const changed = back.slice();
    assert.notDeepEqual(changed, expected);
    back.fill(0);
    tape.play();
    assert.deepEqual(back, changed);
  });

  it('keep the memory that they name alive', async () => {
    const tapes = Array.from({ length: 20 }, () => {
      const { back, calls } = chain();
      return { tape: kernels.record(calls), back: new WeakRef(back) };
    });
    for (let i = 0; i < 20; i++) new Float32Array(1 << 20);
    globalThis.gc?.();
    await delay(1);
    for (const { tape, back } of tapes) {
      tape.play();
      assert.ok(back.deref()!.some((value) => value !== 0));
    }
  });

  it('make calls that return numbers at once, and none after an error', () => {
    const { back, calls } = chain();
    let error = 0;
    kernels.record(() => {
      error = kernels.squaredError(Float32Array.of(1, 2), Float32Array.of(1, 4));
    });
    assert.equal(error, 4);
    const reason = new Error('while it was recorded');
    assert.throws(
      () =>
        kernels.record(() => {
          calls();
          throw reason;
        }),
      reason,
    );
    assert.ok(back.every((value) => value === 0));
    calls();
    assert.ok(
      back.some((value) => value !== 0),
      'calls are made again',
    );
    assert.throws(
      () => kernels.record(() => kernels.lookup(new Uint8Array(3), new Uint8Array(256), new Uint8Array(4))),
      {
        code: 'INVALID_ARGUMENT',
      },
    );
  });

  it('play in turn with other asynchronous calls, and not after an abort', async () => {
    const { back, calls } = chain();
    const tape = kernels.record(calls);
    const events: string[] = [];
    const target = new Float32Array(1000);
    const first = kernels.later
      .clamp(new Float32Array(1000).fill(5), 0, 1, back)
      .then(() => events.push('clamp'));
    const second = tape.later().then(() => events.push('tape'));
    const third = kernels.later.copy(back, target, false).then(() => events.push('copy'));
    await Promise.all([first, second, third]);
    assert.deepEqual(events, ['clamp', 'tape', 'copy']);
    assert.deepEqual(target, back);
    back.fill(0);
    const reason = new Error('enough');
    await assert.rejects(tape.later({ signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const waiting = [tape.later(), tape.later({ signal: controller.signal })];
    controller.abort(reason);
    await assert.rejects(waiting[1], reason);
    await waiting[0];
    tape.play();
  });

  it('are for backends that gain by them', () => {
    for (const { backend, record } of available) assert.equal(record !== null, backend === 'native', backend);
  });
});

for (const kernels of available)
  describe(`asynchronous runs of the engine, ${kernels.backend}`, () => {
    const graph = sampler();
    const quantization = quantizationOf(graph, image(1));
    const values = ['logits', 'sum', 'padded'];
    let executor: Executor;
    before(() => {
      executor = compile(graph, kernels, { quantization });
    });
    after(() => executor.dispose());

    it('give the bits of run, whatever part of the graph and whatever batch', async () => {
      for (const batch of [1, 2, 5, 1])
        for (const feed of ['image', 'sum']) {
          const feeds =
            feed === 'image'
              ? one('image', image(batch, batch))
              : executor.run(one('image', image(batch)), ['sum']);
          const fetches = feed === 'image' ? values : ['logits', 'padded'];
          for (let round = 0; round < 3; round++) {
            const expected = executor.run(feeds, fetches);
            assert.deepEqual(await executor.runLater(feeds, fetches), expected);
          }
        }
    });

    it('copy what they are fed, fill what they are given, and leave the executor idle', async () => {
      const expected = executor.run(one('image', image(1, 3)), ['logits']);
      const input = image(1, 3);
      const logits: Tensor = { dtype: 'float32', shape: [], data: new Float32Array(4) };
      const runs = [1, 2].map(() =>
        executor.runLater(one('image', input), ['logits'], { into: one('logits', logits) }),
      );
      (input.data as Float32Array).fill(0);
      for (const run of runs) {
        const result = (await run).get('logits')!;
        assert.equal(result.data, logits.data);
        assert.deepEqual(result, expected.get('logits'));
      }
      assert.deepEqual(executor.run(one('image', image(1, 3)), ['logits']), expected);
      await executor
        .runLater(one('image', input), ['logits'])
        .then(() => executor.run(one('image', input), ['logits']));
    });

    it('keep everything else out, and let others wait for their turn', async () => {
      const run = executor.runLater(one('image', image(2)), ['logits']);
      assert.throws(() => executor.run(one('image', image(1)), ['logits']), busy);
      assert.throws(() => executor.profile(one('image', image(1)), ['logits'], () => 0), busy);
      assert.throws(() => executor.replaceLayer('stem', quantization), busy);
      const other = executor.runLater(one('image', image(3)), ['logits']);
      await run;
      assert.throws(() => executor.run(one('image', image(1)), ['logits']), busy);
      await other;
      executor.replaceLayer('stem', quantization);
      executor.run(one('image', image(1)), ['logits']);
    });

    it('see the layers that were replaced between them', async () => {
      const { bias } = quantization.layers.get('stem')!;
      const layer = integers(graph.constants.get('stem.w')!, bias, 3);
      const other = { ...quantization, layers: new Map(quantization.layers).set('stem', layer) };
      const fresh = compile(graph, kernels, { quantization: other });
      const feeds = one('image', image(2, 9));
      const before = await executor.runLater(feeds, ['logits']);
      executor.replaceLayer('stem', other);
      const expected = fresh.run(feeds, ['logits']);
      assert.notDeepEqual(expected, before);
      assert.deepEqual(await executor.runLater(feeds, ['logits']), expected);
      assert.deepEqual(executor.run(feeds, ['logits']), expected);
      assert.deepEqual(executor.run(feeds, ['logits']), expected);
      executor.replaceLayer('stem', quantization);
      for (let i = 0; i < 2; i++) assert.deepEqual(executor.run(feeds, ['logits']), before);
      fresh.dispose();
    });

    it('abort before they begin and between their pieces, and refuse what does not fit', async () => {
      const reason = new Error('enough');
      const feeds = one('image', image(2));
      await assert.rejects(
        executor.runLater(feeds, ['logits'], { signal: AbortSignal.abort(reason) }),
        reason,
      );
      const controller = new AbortController();
      const signal = controller.signal;
      const runs = [1, 2, 3].map(() => executor.runLater(feeds, ['logits'], { signal }));
      controller.abort(reason);
      // What has begun on another thread ends there, and may still give its result.
      const ends = await Promise.allSettled(runs);
      for (const end of ends.slice(1)) assert.equal((end as PromiseRejectedResult).reason, reason);
      await assert.rejects(executor.runLater(one('image', image(2)), ['nothing']), {
        code: 'INVALID_ARGUMENT',
      });
      await assert.rejects(
        executor.runLater(one('image', { ...image(2), shape: [2, 7, 6, 3] }), ['logits']),
        { code: 'DATA_MISMATCH' },
      );
      const short = one('logits', { dtype: 'float32', shape: [], data: new Float32Array(3) } as Tensor);
      await assert.rejects(executor.runLater(feeds, ['logits'], { into: short }), { code: 'DATA_MISMATCH' });
      assert.deepEqual(await executor.runLater(feeds, ['logits']), executor.run(feeds, ['logits']));
    });

    it('let the event loop turn', async function () {
      if (kernels.backend === 'reference') this.skip();
      const deep = compile(tower(32, 12), kernels, { quantization: quantized(tower(8, 12)) });
      const data = floats(32 * 32 * 16, 1);
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      await deep.runLater(one('image', { dtype: 'float32', shape: [1, 32, 32, 16], data }), ['last']);
      clearInterval(timer);
      assert.ok(turns >= 1, `${turns} turns`);
      deep.dispose();
    });
  });

describe('runs that begin at kept activations', () => {
  const kernels = available[0];
  const graph = sampler();
  const layers = layersOf(graph);
  const first = quantizationOf(graph, image(1));
  const batches = [image(3, 1), image(2, 2)];
  const samples = 5;

  /** The executor, with the number of nodes that its runs began behind noted. */
  function noted() {
    const executor = compile(graph, kernels, { quantization: first });
    const fed: string[][] = [];
    const run: Executor['run'] = (feeds, ...rest) => {
      fed.push([...feeds.keys()]);
      return executor.run(feeds, ...rest);
    };
    return { executor: { ...executor, graph, run } as Executor, replace: executor, fed };
  }

  const withBits = (name: string, bits: number) => {
    const node = graph.nodes.find((each) => each.name === name)!;
    return integers(graph.constants.get(node.inputs[1])!, first.layers.get(name)!.bias, bits);
  };
  const whole = (quantization: typeof first, batch: number) => {
    const executor = compile(graph, kernels, { quantization });
    const outputs = executor.run(one('image', batches[batch]), ['logits']);
    executor.dispose();
    return outputs;
  };

  it('equal whole runs, whichever layers change, in whatever order', () => {
    const { executor, replace, fed } = noted();
    const runs = new SuffixRuns(executor, layers, { samples, ceiling: 1e9 });
    const next = random(11);
    let quantization = first;
    for (const { name, bits } of layers.map(({ name }) => ({ name, bits: first.layers.get(name)!.bits })))
      runs.changed(name, bits);
    const made = new Map<string, ReturnType<typeof withBits>>();
    for (let round = 0; round < 40; round++) {
      const { name } = layers[Math.floor(next() * layers.length)];
      const bits = 2 + Math.floor(next() * 7);
      const key = `${name} ${bits}`;
      const layer = made.get(key) ?? withBits(name, bits);
      made.set(key, layer);
      quantization = { ...quantization, layers: new Map(quantization.layers).set(name, layer) };
      replace.replaceLayer(name, quantization);
      runs.changed(name, bits);
      for (const batch of [0, 1]) {
        const known = runs.knows(batch);
        const result = runs.run(batch, known ? null : one('image', batches[batch]));
        assert.deepEqual(result, whole(quantization, batch), `round ${round}, ${key}`);
      }
    }
    const whole40 = fed.filter((names) => names.includes('image')).length;
    assert.ok(whole40 < fed.length / 2, `${whole40} of ${fed.length} runs began at the front`);
    assert.ok(runs.bytes > 0);
    replace.dispose();
  });

  it('begin at the changed layer and not before', () => {
    const { executor, replace, fed } = noted();
    const runs = new SuffixRuns(executor, layers, { samples, ceiling: 1e9 });
    runs.run(0, one('image', batches[0]));
    for (const [name, value] of [
      ['logits', 'features'],
      ['grouped', 'sum'],
      ['project', 'depthwise'],
    ]) {
      replace.replaceLayer(name, { ...first, layers: new Map(first.layers).set(name, withBits(name, 3)) });
      runs.changed(name, 3);
      runs.run(0, null);
      assert.ok(fed.at(-1)!.includes(value), `${name} began at ${fed.at(-1)}`);
      replace.replaceLayer(name, first);
      runs.changed(name, '');
    }
    replace.dispose();
  });

  it('keep no more than the ceiling, and still equal whole runs', () => {
    for (const ceiling of [0, 1, 100, 400, 1000, 3000]) {
      const { executor, replace } = noted();
      const runs = new SuffixRuns(executor, layers, { samples, ceiling });
      let quantization = first;
      for (let round = 0; round < 12; round++) {
        const { name } = layers[round % layers.length];
        const bits = 2 + (round % 3);
        quantization = {
          ...quantization,
          layers: new Map(quantization.layers).set(name, withBits(name, bits)),
        };
        replace.replaceLayer(name, quantization);
        runs.changed(name, `${round}`);
        for (const batch of [0, 1]) {
          const samplesOf = runs.knows(batch) ? null : one('image', batches[batch]);
          assert.deepEqual(runs.run(batch, samplesOf), whole(quantization, batch));
          assert.ok(runs.bytes <= ceiling, `${runs.bytes} bytes kept of ${ceiling}`);
        }
      }
      if (ceiling === 0) assert.equal(runs.bytes, 0);
      replace.dispose();
    }
  });

  it('know no layer that is not theirs', () => {
    const { executor, replace } = noted();
    const runs = new SuffixRuns(executor, layers, { samples, ceiling: 1e9 });
    assert.throws(() => runs.changed('nobody', 1), /nobody is not among the layers/);
    assert.equal(runs.knows(0), false);
    replace.dispose();
  });
});

describe('a network of several inputs', () => {
  it('runs later as at once, its float island between two tapes', async () => {
    const graph = twins();
    for (const kernels of available) {
      const executor = compile(graph, kernels, { quantization: quantized(graph) });
      const feeds = new Map(
        ['left', 'right'].map((name, i): [string, Tensor] => [
          name,
          { dtype: 'float32', shape: [2, 4, 3, 5], data: floats(120, i) },
        ]),
      );
      const expected = executor.run(feeds, ['scores', 'mask']);
      for (let i = 0; i < 3; i++)
        assert.deepEqual(await executor.runLater(feeds, ['scores', 'mask']), expected);
      executor.dispose();
    }
  });
});
