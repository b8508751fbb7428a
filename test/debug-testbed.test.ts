import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { damaged, quantizedLayers } from '../benchmarks/damages.ts';
import { debug, quantize } from '../lib/index.ts';

/** One network of the test bed, its calibration and test data. */
const NETWORKS = [
  { model: 'dscnn-kws', data: 'kws', preprocessing: { scale: 0.58470288, mean: 83 * 0.58470288 } },
  { model: 'mobilenetv1-025-vww', data: 'vww', preprocessing: { scale: 1 / 255 } },
  { model: 'resnet8-cifar10', data: 'cifar10', preprocessing: {} },
] as const;
const TESTBED = fileURLToPath(new URL('../../shared/testbed/', import.meta.url));

for (const { model, data, preprocessing } of NETWORKS)
  describe(`debug of a damaged ${model}`, () => {
    const paths = {
      float: join(TESTBED, 'models', `${model}.onnx`),
      calibration: join(TESTBED, 'data', `${data}-calibration.npz`),
      data: join(TESTBED, 'data', `${data}-test.npz`),
    };
    let bytes: Uint8Array;
    const examine = (quantized: Uint8Array) =>
      debug({ ...paths, quantized: { name: model, bytes: quantized }, preprocessing, samples: 16 });

    before(async function () {
      if (!existsSync(paths.float)) {
        console.log('    skipped: ../shared/testbed is absent');
        return this.skip();
      }
      const options = { model: paths.float, calibration: paths.calibration, preprocessing };
      const { artefacts } = await quantize({ ...options, targets: ['bits=5'], samples: 64, evaluations: 1 });
      bytes = artefacts.model;
    });

    it('accuses no layer of the undamaged file', async () => {
      assert.equal((await examine(bytes)).firstBreak, null);
    });

    it('names the damaged layer', async () => {
      const names = quantizedLayers(bytes);
      for (const [i, damage] of ['weight scale x4', 'bias left out', 'output scale / 4'].entries()) {
        const layer = names[Math.floor(((i + 1) * names.length) / 4)];
        const { firstBreak } = await examine(damaged(bytes, layer, damage)!);
        assert.equal(firstBreak, layer, damage);
      }
    });
  });
