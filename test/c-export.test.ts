import { Comparison } from './c/comparison.ts';
import { missingTool, TARGETS } from './c/targets.ts';
import { random } from './contract/support.ts';
import { sampler } from './engine/network.ts';
import { availableKernels } from './engine/support.ts';
import { sampleNetwork } from './sqnt/models.ts';

const available = await availableKernels();
const kernels = available.find(({ backend }) => backend === 'native') ?? available[0];

describe('C of a quantized network', () => {
  const { graph, quantization } = sampleNetwork();
  const next = random(5);
  const SAMPLES = 8;
  const comparison = new Comparison(
    [
      {
        name: 'sampler',
        graph,
        quantization,
        inputs: [Float32Array.from({ length: 126 * SAMPLES }, () => next() * 4 - 2)],
      },
    ],
    kernels,
    SAMPLES,
  );
  for (const target of Object.values(TARGETS))
    it(target.name, function () {
      const missing = missingTool(target);
      if (missing) {
        this.skip();
      }
      comparison.check(target);
    });
});
