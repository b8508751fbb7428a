import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { int8Model } from '../benchmarks/int8-model.ts';
import { layerByLayer } from '../benchmarks/networks/layer-by-layer.ts';
import { evaluationBatches, type Network, openNetwork } from '../benchmarks/networks/network.ts';
import { type Row, report, verdict } from '../benchmarks/networks/report.ts';
import { sameIntegers } from '../benchmarks/networks/same-integers.ts';
import { loadPairs } from '../benchmarks/pairs.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { readModel } from '../lib/onnx/index.ts';

const benchmarks = fileURLToPath(new URL('../benchmarks/', import.meta.url));

const row = (network: string, rival: string, oursMs: number, rivalMs: number): Row => ({
  network,
  backend: 'native',
  threads: 2,
  isa: 'avx2',
  batch: 1,
  allocation: 'mixed',
  oursMs,
  rival,
  rivalMs,
  ratio: rivalMs / oursMs,
  fastestRatio: rivalMs / oursMs,
  rounds: 3,
  speedup: 1.9,
  version: '1.2.3',
  oursAgree: 1,
  rivalAgrees: 1,
  ourFloatNodes: 0,
  int8FloatNodes: 0,
});

describe('the report on whole networks', () => {
  it('takes the better rival of each network, and the mean against int8', () => {
    const rows = [
      row('a', 'int8', 1, 2),
      row('a', 'float', 1, 1.5),
      row('b', 'int8', 1, 8),
      row('b', 'float', 1, 1),
    ];
    assert.equal(
      verdict(rows),
      '- native, 2 threads, batch 1, mixed: lowest 1.00 (b; wanted 1.1), below it b; geometric mean against int8 4.00 (wanted 1.5)',
    );
    const [line] = report(rows).match(/^\| a .*$/m)!;
    assert.equal(line, '| a | 1.000 | 2.000 | 1.500 | 2.00 | 1.50 | 1.50 | 1.90 | 1.50 |');
  });
});

describe('a network of the test bed', function () {
  this.timeout(120_000);
  let network: Network;
  before(async function () {
    const [pair] = loadPairs(undefined, 'dscnn-kws');
    if (!existsSync(pair.model)) {
      console.log(`      skipped: no ${pair.model}`);
      this.skip();
    }
    network = await openNetwork(pair);
  });

  after(() => network?.dispose());

  it('becomes an int8 model whose every operator stands between integers', async () => {
    const { node: nodes, initializer } = readModel(await int8Model(network)).graph!;
    const makers = new Map(nodes.flatMap((node) => node.output.map((name) => [name, node.opType] as const)));
    const readers = (value: string) => nodes.filter(({ input }) => input.includes(value));
    for (const { opType, input, output } of nodes) {
      if (opType === 'QuantizeLinear' || opType === 'DequantizeLinear') continue;
      for (const name of input)
        assert.ok(
          makers.get(name) === 'DequantizeLinear' || initializer.some((tensor) => tensor.name === name),
          name,
        );
      for (const name of output)
        assert.deepEqual(
          readers(name).map((node) => node.opType),
          ['QuantizeLinear'],
          name,
        );
    }
    assert.equal(nodes.filter(({ opType }) => opType === 'Clip' || opType === 'Relu').length, 0);
    assert.equal(makers.get('logits'), 'DequantizeLinear');
  });

  it('has the same integers on two backends, every one of them counted', async () => {
    const quantization = await network.quantization('mixed', 5);
    const batches = await evaluationBatches(network.pair, 3, 2);
    const [reference] = await sameIntegers(
      network,
      'mixed',
      quantization,
      [
        { options: { backend: 'wasm' }, samples: 3 },
        { options: { backend: 'reference' }, samples: 1 },
      ],
      batches,
    );
    assert.deepEqual([reference.samples, reference.differing, reference.differingOutputs], [1, 0, 0]);
    // The input, nine convolutions of [25][5][64], the pool.
    assert.deepEqual([reference.values, reference.integers], [11, 490 + 9 * 25 * 5 * 64 + 64]);
    assert.equal(reference.outputs, 12);
  });

  it('shows the one operator that differs from onnxruntime', async function () {
    try {
      createRequire(`${benchmarks}/`).resolve('onnxruntime-node');
    } catch {
      console.log('      skipped: no onnxruntime-node in benchmarks');
      this.skip();
    }
    const quantization = await network.quantization('mixed');
    const batches = await evaluationBatches(network.pair, 2, 2);
    const kernels = await createKernels({ backend: 'wasm' });
    const whole = await layerByLayer(network, 'mixed', quantization, kernels, batches);
    const named = (found: typeof whole) => found.comparisons.filter(({ differing }) => differing > 0);
    assert.deepEqual(named(whole), []);
    assert.equal(whole.optimized.operators['QLinearConv'], 9);
    assert.deepEqual(whole.optimized.floatNodes, []);
    const damaged = await layerByLayer(network, 'mixed', quantization, withDamagedGemm(kernels), batches);
    assert.deepEqual(
      named(damaged).map(({ node, integer, results, differing }) => [node, integer, results, differing]),
      [['fc', false, 24, 1]],
    );
    kernels.dispose();
  });
});

/** The first result of every integer product is one more. */
function withDamagedGemm(kernels: Kernels): Kernels {
  return new Proxy(kernels, {
    get(target, name) {
      if (name === 'record') return null;
      const value = Reflect.get(target, name);
      if (name !== 'gemm') return value;
      return (...operands: Parameters<Kernels['gemm']>) => {
        target.gemm(...operands);
        const out = operands.at(-1) as Float32Array;
        out[0] += 1;
      };
    },
  });
}
