import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { strategies } from '../lib/allocate/index.ts';
import { describeWeights, weightProfile } from '../lib/analysis/weight-profile.ts';
import { openDataset } from '../lib/data/index.ts';
import { compile } from '../lib/engine/index.ts';
import { importGraph, layers, toChannelsLast } from '../lib/graph/index.ts';
import { memoryCost } from '../lib/hardware/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';

const TESTBED = new URL('../../shared/testbed/', import.meta.url);
const PREPROCESSING = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const SAMPLES = 32;
/** The same network, prepared (batch-norms folded) and as PyTorch exports it. */
const PREPARED = 'resnet20-cifar10';
const PLAIN = 'resnet20-cifar10-bn';

/** The test bed's ResNet-20 as PyTorch exports it: Constant, Shape, Gather and ConstantOfShape around Pads and Slices. */
describe('a plain PyTorch export', () => {
  let kernels: Kernels;

  before(async function () {
    if (!existsSync(TESTBED)) {
      console.log('      skipped: no test bed beside the repository (../shared/testbed)');
      return this.skip();
    }
    kernels = await createKernels();
  });

  after(() => kernels?.dispose());

  const path = (name: string) => fileURLToPath(new URL(`models/${name}.onnx`, TESTBED));
  const data = (set: string) => fileURLToPath(new URL(`data/cifar10-${set}.npz`, TESTBED));
  const graphOf = (name: string, foldBatchNorm = true) =>
    importGraph(readFileSync(path(name)), { foldBatchNorm }).graph;

  it('gives the logits of the prepared network within 1e-4', async () => {
    const set = await openDataset(data('test'), { preprocessing: PREPROCESSING });
    const batch = set.batches({ size: SAMPLES, select: (index) => index < SAMPLES });
    const { x, count } = (await batch[Symbol.asyncIterator]().next()).value!;
    assert.equal(count, SAMPLES);
    const [prepared, plain] = [PREPARED, PLAIN].map((name) => {
      const executor = compile(toChannelsLast(graphOf(name)), kernels);
      const input = { dtype: 'float32', shape: [count, ...set.shape], data: x } as const;
      const results = executor.run(new Map([[executor.graph.inputs[0].name, input]]), ['logits']);
      executor.dispose();
      return results.get('logits')!.data as Float32Array;
    });
    assert.equal(plain.length, SAMPLES * 10);
    const worst = plain.reduce((most, value, i) => Math.max(most, Math.abs(value - prepared[i])), 0);
    assert.ok(worst < 1e-4, `differs by ${worst}`);
  });

  it('keeps sigma of the weights before folding, for every layer', async () => {
    const unfolded = new Map(layers(graphOf(PLAIN, false)).map(({ name, weights }) => [name, weights]));
    const graph = graphOf(PLAIN);
    const profiles = await weightProfile(graph, layers(graph), kernels, [8]);
    assert.equal(profiles.length, 20);
    for (const { name, op, sigma, rawSigma } of profiles) {
      const before = describeWeights(unfolded.get(name)!, kernels).sigma;
      assert.ok(Math.abs(rawSigma! - before) < 1e-6 * before, name);
      // Only the classifier has no batch-norm.
      if (op === 'Linear') assert.equal(rawSigma, sigma);
      else assert.ok(Math.abs(rawSigma! - sigma) > 0.01 * sigma, name);
    }
    const prepared = graphOf(PREPARED);
    for (const { rawSigma } of await weightProfile(prepared, layers(prepared), kernels, [8]))
      assert.equal(rawSigma, null);
  });

  it('is allocated by that sigma', async () => {
    const reasons = async (name: string) => {
      const graph = graphOf(name);
      const found = layers(graph);
      const bits = [2, 3, 4, 5, 6, 8];
      const profiles = await weightProfile(graph, found, kernels, bits);
      const limit = found.reduce((sum, { weights }) => sum + (weights.length * 5) / 8, 0);
      const { trace } = await strategies['sigma']({
        layers: profiles.map((profile) => ({ ...profile, bits, activations: [8] })),
        ties: [],
        goal: 'weightBytes',
        seed: 0,
        cost: memoryCost(found),
        ceilings: [{ resource: 'weightBytes', limit, text: 'size' }],
        maxDrop: null,
        evaluate: null,
        budget: 0,
        buffer: { cost: 0.2, drop: 2 },
      });
      return trace.map(({ reason }) => reason).join('\n');
    };
    assert.match(await reasons(PLAIN), /by raw sigma/);
    assert.match(await reasons(PREPARED), /by sigma/);
  });
});
