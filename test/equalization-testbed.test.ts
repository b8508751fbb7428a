import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { channelStatistics } from '../lib/analysis/index.ts';
import { openDataset } from '../lib/data/index.ts';
import { compile } from '../lib/engine/index.ts';
import { equalize, equalizedValues, importGraph, toChannelsLast, withOrigins } from '../lib/graph/index.ts';
import { createKernels } from '../lib/kernels/index.ts';

const TESTBED = new URL('../../shared/testbed/', import.meta.url);
const CIFAR = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const NETWORKS = [
  { model: 'resnet20-cifar10', calibration: 'cifar10-calibration.npz', test: 'cifar10-test.npz', ...CIFAR },
  {
    model: 'resnet20-cifar10-bn',
    calibration: 'cifar10-calibration.npz',
    test: 'cifar10-test.npz',
    ...CIFAR,
  },
  { model: 'resnet8-cifar10', calibration: 'cifar10-calibration.npz', test: 'cifar10-test.npz' },
  {
    model: 'dscnn-kws',
    calibration: 'kws-calibration.npz',
    test: 'kws-test.npz',
    scale: 0.58470288,
    mean: 48.53,
  },
  { model: 'mobilenetv1-025-vww', calibration: 'vww-calibration.npz', test: 'vww-test.npz', scale: 1 / 255 },
  {
    model: 'squeezenet11-imagenet',
    calibration: 'imagenet-calibration',
    test: 'imagenet-test',
    crop: [224, 224],
    ...CIFAR,
  },
  {
    model: 'mobilenetv2-imagenet',
    calibration: 'imagenet-calibration',
    test: 'imagenet-test',
    crop: [224, 224],
    ...CIFAR,
  },
] as const;

describe('equalization: networks of the test bed', () => {
  before(function () {
    if (existsSync(TESTBED)) return;
    console.log('    skipped: ../shared/testbed is absent');
    this.skip();
  });

  for (const { model, calibration, test, ...preprocessing } of NETWORKS)
    it(`${model} computes what it did, on samples that calibration did not see`, async function () {
      const kernels = await createKernels();
      if (kernels.backend === 'reference') return this.skip();
      const open = (file: string) =>
        openDataset(fileURLToPath(new URL(`data/${file}`, TESTBED)), { preprocessing });
      const { graph } = importGraph(readFileSync(new URL(`models/${model}.onnx`, TESTBED)));
      const last = withOrigins(graph);
      const values = equalizedValues(graph);
      const options = { samples: 12, batch: 4 };
      const known = await channelStatistics(last, values, kernels, await open(calibration), options);
      const made = await equalize(graph, known, { centre: true });
      const data = await open(test);
      const outputs: Float32Array[] = [];
      for (const own of [last.graph, toChannelsLast(made.graph)]) {
        const executor = compile(own, kernels);
        for await (const { x, count } of data.batches({ size: 8, select: (index) => index < 8 })) {
          const [{ name: input }] = own.inputs;
          const [{ name: output }] = own.outputs;
          const feeds = new Map([
            [input, { dtype: 'float32' as const, shape: [count, ...data.shape], data: x }],
          ]);
          outputs.push(executor.run(feeds, [output]).get(output)!.data as Float32Array);
        }
        executor.dispose();
      }
      kernels.dispose();
      const [before, after] = outputs;
      const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const worst =
        before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i])), 0) / largest;
      assert.ok(worst < 1e-4, `${worst}`);
      const changed = made.factors.size + made.shifts.size;
      assert.equal(changed > 0, /mobilenet|kws/.test(model), `${changed} values changed`);
    });
});
