import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { packed } from '../benchmarks/packed.ts';
import { Comparison } from './c/comparison.ts';
import { caseOf } from './c/networks.ts';
import { missingTool, TARGETS } from './c/targets.ts';
import { availableKernels } from './engine/support.ts';

const models = new URL('../../shared/testbed/models/', import.meta.url);
const NETWORKS = ['dscnn-kws', 'resnet8-cifar10', 'mobilenetv1-025-vww'];
/** Enough to meet every layer; `npm --prefix benchmarks run c-export` takes 50 real ones. */
const SAMPLES = 2;

const available = await availableKernels();
const kernels = available.find(({ backend }) => backend === 'native') ?? available[0];

describe('C of real networks, every width from 2 to 8 bits, gives the bits of the engine', () => {
  for (const name of NETWORKS) {
    const path = fileURLToPath(new URL(`${name}.onnx`, models));
    const absent = existsSync(path) ? '' : ' (skipped: no test bed)';
    it(`${name}${absent}`, function () {
      const targets = [TARGETS.gcc, TARGETS.cortexM4].filter((target) => !missingTool(target));
      if (absent || targets.length === 0) this.skip();
      const { graph, quantization } = packed(path, 'mixed', kernels);
      const comparison = new Comparison([caseOf(name, graph, quantization, SAMPLES)], kernels, SAMPLES);
      for (const target of targets) comparison.check(target);
      comparison.dispose();
    });
  }
});
