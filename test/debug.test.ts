import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { damaged, quantizedLayers } from '../benchmarks/damages.ts';
import type { Dataset } from '../lib/data/index.ts';
import { compile, quantizerOf } from '../lib/engine/index.ts';
import { readQdq } from '../lib/export/qdq.ts';
import { importGraph, type Tensor, toChannelsLast } from '../lib/graph/index.ts';
import { type DebugResult, debug } from '../lib/index.ts';
import { createKernels } from '../lib/kernels/index.ts';
import { debugText } from '../lib/report/debug-text.ts';
import { unpackedModel } from '../lib/runtime/unpack.ts';
import { readSqnt } from '../lib/sqnt/index.ts';
import { evaluateGraph } from './models/build.ts';
import { type ForeignOptions, floatModel, qdqModel } from './models/foreign.ts';
import { COUNT, type Exported, exportedNetwork, SCALE } from './support/exported.ts';
import { imageBytes, SAMPLE, tinyModel } from './support/network.ts';

let paths: Exported;
before(async () => {
  paths = await exportedNetwork();
});
after(() => paths.remove());

const examine = (quantized: string | Uint8Array, options: { samples?: number } = {}) =>
  debug({
    float: paths.float,
    quantized: typeof quantized === 'string' ? quantized : { name: 'q', bytes: quantized },
    data: paths.data,
    ...options,
  });

const row = (result: DebugResult, name: string) => result.layers.find((layer) => layer.name === name)!;

/** Everything but what the run itself is about. */
function measured(result: DebugResult) {
  const { layers, outputs } = result;
  return { layers, outputs };
}

describe('debug', () => {
  it('finds nothing wrong with what was exported, in either form', async () => {
    const [qdq, sqnt] = [await examine(paths.qdq), await examine(paths.sqnt)];
    assert.equal(qdq.form, 'qdq');
    assert.equal(sqnt.form, 'sqnt');
    for (const result of [qdq, sqnt]) {
      assert.equal(result.firstBreak, null);
      assert.deepEqual(result.unmatched, { float: [], quantized: [] });
      assert.deepEqual(result.notes, []);
      assert.equal(result.samples, COUNT);
      assert.deepEqual(
        result.layers.map(({ name, weightBits, outputBits }) => [name, weightBits, outputBits]),
        [
          ['image', null, 8],
          ['conv1', 8, 8],
          ['conv2', 4, 8],
          ['d', null, 8],
          ['conv3', 6, 8],
          ['conv4', 5, 8],
          ['j', null, 8],
          ['fc', 8, null],
        ],
      );
    }
    // The packed file runs in integers, the other as ONNX defines it: roundings that differ in rare ties.
    for (const [i, layer] of qdq.layers.entries()) {
      const other = sqnt.layers[i];
      assert.ok(Math.abs(layer.own.sqnr - other.own.sqnr) < 0.5, `${layer.name}: ${layer.own.sqnr}`);
      assert.ok(Math.abs(layer.endToEnd.sqnr - other.endToEnd.sqnr) < 0.5, layer.name);
    }
  });

  it('measures what it says', async () => {
    const result = await examine(paths.sqnt);
    const kernels = await createKernels({ backend: 'reference' });
    const float = toChannelsLast(importGraph(tinyModel()).graph);
    const { graph, quantization } = unpackedModel(readSqnt(readFileSync(paths.sqnt)));
    const x = Float32Array.from(imageBytes(COUNT, 3), (value) => value * SCALE);
    const image: Tensor = { dtype: 'float32', shape: [COUNT, ...SAMPLE], data: x };
    const run = compile(graph, kernels, { quantization }).run(new Map([['image', image]]), [
      'e',
      'f',
      'logits',
    ]);
    const executor = compile(float, kernels);
    const all = executor.run(new Map([['image', image]]), ['f', 'logits']);
    const real = (name: string): Tensor => {
      const { scale, zeroPoint } = quantization.activations.get(quantizerOf(graph, name))!;
      const { shape, data } = run.get(name)!;
      const floats = Float32Array.from(data as Uint8Array, (q) => (q - zeroPoint) * Math.fround(scale));
      return { dtype: 'float32', shape, data: floats };
    };
    const own = executor.run(new Map([['e', real('e')]]), ['f']);
    const { low, high, scale, zeroPoint } = quantization.activations.get('f')!;
    const outside = (own.get('f')!.data as Float32Array).filter(
      (value) => value > (high - zeroPoint + 0.5) * scale || value < (low - zeroPoint - 0.5) * scale,
    );
    const conv3 = row(result, 'conv3');
    close(conv3.own.sqnr, decibels(own.get('f')!, real('f')));
    close(conv3.endToEnd.sqnr, decibels(all.get('f')!, real('f')));
    assert.deepEqual(conv3.quantizedRange, extremes(real('f')));
    const [least, most] = extremes(all.get('f')!);
    close(conv3.floatRange[0], least);
    close(conv3.floatRange[1], most);
    close(conv3.saturation, outside.length / own.get('f')!.data.length);
    close(result.outputs[0].sqnr, decibels(all.get('logits')!, run.get('logits')!));
    close(row(result, 'fc').endToEnd.sqnr, result.outputs[0].sqnr);
    kernels.dispose();
  });

  it('gives the same numbers for the same samples, whatever the backend', async () => {
    const on = (backend: 'wasm' | 'reference') =>
      debug({ float: paths.float, quantized: paths.sqnt, data: paths.data, backend, samples: 8 });
    const [wasm, reference] = [await on('wasm'), await on('reference')];
    assert.equal(wasm.samples, 8);
    for (const [i, layer] of measured(wasm).layers.entries())
      close(layer.own.sqnr, measured(reference).layers[i].own.sqnr, 0.05);
  });

  it('names the layer that was damaged', async () => {
    const names = quantizedLayers(paths.bytes);
    assert.deepEqual(names, ['conv1', 'conv2', 'conv3', 'conv4', 'fc']);
    const missed: string[] = [];
    let tries = 0;
    for (const layer of names)
      for (const damage of ['weight scale x4', 'bias left out', 'one channel zeroed', 'output scale / 4']) {
        const file = damaged(paths.bytes, layer, damage);
        if (!file) continue;
        tries++;
        const { firstBreak } = await examine(file, { samples: 12 });
        if (firstBreak !== layer) missed.push(`${damage} in ${layer}: ${firstBreak}`);
      }
    assert.equal(tries, 19); // the output of fc is not quantized
    assert.deepEqual(missed, []);
  });

  it('says how a layer breaks', async () => {
    const saturated = await examine(damaged(paths.bytes, 'conv2', 'output scale / 4')!);
    assert.equal(row(saturated, 'conv2').breaks, 'saturation');
    assert.ok(row(saturated, 'conv2').saturation > 0.05);
    const channel = await examine(damaged(paths.bytes, 'conv4', 'one channel zeroed')!);
    const broken = row(channel, 'conv4');
    assert.ok(broken.breaks === 'layer' || broken.channel !== null, JSON.stringify(broken));
    const scaled = row(await examine(damaged(paths.bytes, 'conv1', 'weight scale x4')!), 'conv1');
    assert.equal(scaled.breaks, 'layer');
    // What is wrong is four times too large; nothing that comes later is to blame for it.
    assert.ok(scaled.own.sqnr < 0 && scaled.own.due > 25, `${scaled.own.sqnr}, ${scaled.own.due}`);
  });
});

const decibels = (reference: Tensor, other: Tensor): number => {
  const [a, b] = [reference.data as Float32Array, other.data as Float32Array];
  const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value * value, 0);
  return 10 * Math.log10(sum(a) / sum(a.map((value, i) => b[i] - value)));
};

function extremes({ data }: Tensor): number[] {
  const values = data as Float32Array;
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
}

function close(a: number, b: number, tolerance = 1e-3): void {
  assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a}, ${b}`);
}

describe('debug of files of other tools', () => {
  const images: Tensor = {
    dtype: 'float32',
    shape: [COUNT, 3, 6, 6],
    data: Float32Array.from(imageBytes(COUNT, 5).subarray(0, COUNT * 108), (value) => value * SCALE - 1),
  };
  const foreign = (options: ForeignOptions = {}) =>
    debug({
      float: { name: 'float', bytes: floatModel() },
      quantized: { name: 'qdq', bytes: qdqModel(images, options) },
      data: inMemory(images),
    });
  const NAMES = ['image', 'first', 'second', 'pooled', 'head'];

  for (const activations of ['int8', 'uint8', 'uint16'] as const)
    for (const weights of ['float', 'integers'] as const)
      it(`pairs layers through fused batch-norm and other names: ${activations}, weights as ${weights}`, async () => {
        const result = await foreign({ activations, weights });
        assert.deepEqual(
          result.layers.map(({ name }) => name),
          NAMES,
        );
        assert.deepEqual(result.unmatched, { float: [], quantized: [] });
        assert.equal(result.firstBreak, null);
        for (const { name, own } of result.layers) assert.ok(own.sqnr > 30, `${name}: ${own.sqnr}`);
        assert.ok(result.outputs[0].sqnr > 30);
        assert.equal(row(result, 'first').weightBits, 8);
        assert.equal(row(result, 'first').outputBits, activations === 'uint16' ? null : 8);
      });

  it('runs the file as it is written', async () => {
    const bytes = qdqModel(images);
    const { graph, activations } = readQdq(bytes);
    assert.deepEqual([...activations.keys()], ['image', 'activated', 'second_out', 'pooled', 'logits']);
    assert.ok(!graph.nodes.some(({ op }) => /Quantize/.test(op)));
    const kernels = await createKernels({ backend: 'reference' });
    const executor = compile(graph, kernels, { quantization: { activations, layers: new Map() } });
    const logits = executor.run(new Map([['image', images]]), ['logits']).get('logits')!;
    const plain = evaluateGraph(importGraph(bytes, { acceptQuantized: true }).graph, { image: images });
    assert.ok(decibels(plain.get('logits')!, logits) > 60);
    kernels.dispose();
  });

  it('finds a quantizer whose two halves differ', async () => {
    for (const shifted of ['image', 'activated', 'second_out', 'pooled']) {
      const { firstBreak } = await foreign({ shifted });
      const layer = { image: 'image', activated: 'first', second_out: 'second', pooled: 'pooled' }[shifted];
      assert.equal(firstBreak, layer);
    }
  });

  it('names layers without a partner and goes on with the others', async () => {
    const result = await foreign({ renamed: true });
    assert.deepEqual(result.unmatched, { float: ['second'], quantized: ['conv_b'] });
    assert.deepEqual(
      result.layers.map(({ name }) => name),
      ['image', 'first', 'pooled', 'head'],
    );
    assert.equal(result.firstBreak, null);
    assert.match(
      debugText(result),
      /without a partner in the quantized network: second\n.*float network: conv_b/,
    );
  });
});

function inMemory({ shape, data }: Tensor): Dataset {
  const [count, ...sample] = shape;
  const size = sample.reduce((a, b) => a * b, 1);
  return {
    name: 'memory',
    size: count,
    shape: sample,
    labelled: false,
    fingerprint: async () => '',
    async *batches({ size: most, select = () => true }) {
      const indices = Array.from({ length: count }, (_, i) => i).filter(select);
      for (let first = 0; first < indices.length; first += most) {
        const some = indices.slice(first, first + most);
        const x = new Float32Array(some.length * size);
        for (const [i, index] of some.entries())
          x.set((data as Float32Array).subarray(index * size, (index + 1) * size), i * size);
        yield { x, count: some.length, labels: null, indices: Int32Array.from(some) };
      }
    },
  };
}
