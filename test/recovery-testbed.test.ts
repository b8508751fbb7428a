import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Calibration, LayerProfile } from '../lib/analysis/analysis.ts';
import { calibrate, profile } from '../lib/analysis/index.ts';
import { openDataset } from '../lib/data/index.ts';
import { compile, type Executor, quantizerOf } from '../lib/engine/index.ts';
import {
  type Graph,
  importGraph,
  type Layer,
  layers as layersOf,
  toChannelsLast,
} from '../lib/graph/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import type { Quantizer } from '../lib/quant/quantizer.ts';
import { chooseQuantizer } from '../lib/quant/ranges.ts';
import { createRecovery, type Recovery } from '../lib/recovery/index.ts';

const TESTBED = new URL('../../shared/testbed/', import.meta.url);
const PREPROCESSING = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const SAMPLES = 300;
const BATCH = 20;

/** ResNet-20 on CIFAR-10, first and last layer at 8 bits, activations at 8 bits. */
describe('recovery of a real network', () => {
  let kernels: Kernels;
  let graph: Graph;
  let layers: Layer[];
  let calibration: Calibration;
  let activations: Map<string, Quantizer>;
  let float: number;

  before(async function () {
    if (!existsSync(TESTBED)) {
      console.log('      skipped: no test bed beside the repository (../shared/testbed)');
      return this.skip();
    }
    kernels = await createKernels();
    if (kernels.backend === 'reference') {
      console.log('      skipped: the reference kernels would take minutes');
      return this.skip();
    }
    graph = toChannelsLast(importGraph(readFileSync(new URL('models/resnet20-cifar10.onnx', TESTBED))).graph);
    layers = layersOf(graph);
    calibration = await calibrate(graph, layers, kernels, await open('calibration'), {
      samples: 128,
      batch: 16,
      gram: true,
      patches: 64,
    });
    activations = new Map(
      [...calibration.values].map(([name, known]) => [name, chooseQuantizer(known, 8, 'mse')]),
    );
    float = await accuracy(compile(graph, kernels));
  });

  after(() => kernels?.dispose());

  const open = (set: string) =>
    openDataset(fileURLToPath(new URL(`data/cifar10-${set}.npz`, TESTBED)), { preprocessing: PREPROCESSING });

  async function accuracy(executor: Executor): Promise<number> {
    const [input, output] = [executor.graph.inputs[0].name, executor.graph.outputs[0].name];
    let right = 0;
    const data = await open('test');
    for await (const { x, count, labels } of data.batches({
      size: BATCH,
      select: (index) => index < SAMPLES,
    })) {
      const feeds = new Map([[input, { dtype: 'float32' as const, shape: [count, ...data.shape], data: x }]]);
      const logits = executor.run(feeds, [output]).get(output)!.data as Float32Array;
      for (let i = 0; i < count; i++) {
        const own = logits.subarray((i * logits.length) / count, ((i + 1) * logits.length) / count);
        if (own.indexOf(Math.max(...own)) === labels![i]) right++;
      }
    }
    executor.dispose();
    return (100 * right) / SAMPLES;
  }

  function recovery(name: Recovery['name']): Recovery {
    const scale = ({ input }: Layer) => activations.get(quantizerOf(graph, input))!.scale;
    const inputScales = new Map(layers.map((layer) => [layer.name, scale(layer)]));
    return createRecovery(name, { layers, calibration, inputScales, kernels });
  }

  async function accuracyAt(made: Recovery, bits: number): Promise<number> {
    const widths = layers.map((_, i) => (i === 0 || i === layers.length - 1 ? 8 : bits));
    const integers = await Promise.all(layers.map(({ name }, i) => made.quantize(name, widths[i])));
    const quantized = new Map(layers.map(({ name }, i) => [name, integers[i]]));
    return accuracy(compile(graph, kernels, { quantization: { activations, layers: quantized } }));
  }

  it('second-order rounding keeps 4 and 3 bits within two points of float, and 2 bits usable', async () => {
    const second = recovery('gptq');
    assert.ok(float > 88, `float ${float}`);
    for (const bits of [4, 3]) {
      const kept = await accuracyAt(second, bits);
      assert.ok(kept >= float - 2, `${bits} bits: ${kept} of ${float}`);
    }
    const two = await accuracyAt(second, 2);
    assert.ok(two >= float - 8, `2 bits: ${two} of ${float}`);
  });

  it('rounding to the nearest keeps 8 bits and falls off the cliff at 3 and 2', async () => {
    const nearest = recovery('none');
    assert.ok((await accuracyAt(nearest, 8)) >= float - 1);
    assert.ok((await accuracyAt(nearest, 3)) < float - 5);
    assert.ok((await accuracyAt(nearest, 2)) < 30);
  });

  it('sensitivities fall with the width, and second-order rounding lowers those of narrow widths', async () => {
    const options = { widths: [2, 4, 8], samples: 8, batch: 8 };
    const measure = async (name: Recovery['name']) =>
      profile(graph, layers, kernels, await open('calibration'), recovery(name).quantize, options);
    const [second, nearest] = [await measure('gptq'), await measure('none')];
    const total = (profiles: LayerProfile[], bits: number) =>
      profiles.reduce((sum, { outputDivergence }) => sum + outputDivergence![bits], 0);
    assert.ok(total(second, 8) < total(second, 4) && total(second, 4) < total(second, 2));
    assert.ok(total(second, 2) < total(nearest, 2) / 4, `${total(second, 2)} ${total(nearest, 2)}`);
    assert.deepEqual(
      second.map(({ name }) => name),
      layers.map(({ name }) => name),
    );
  });
});
