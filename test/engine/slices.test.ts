import assert from 'node:assert/strict';
import { compile } from '../../lib/engine/index.ts';
import { isSampleWise, samplesAtOnce } from '../../lib/engine/slices.ts';
import { type Graph, inferTypes, type Tensor } from '../../lib/graph/index.ts';
import { random, same } from '../contract/support.ts';
import { image, Network, sampler } from './network.ts';
import { availableKernels, one } from './support.ts';

const N = 'batch';
const available = await availableKernels();
const BATCH = 9;

/** Pictures whose intermediate values are some 3 MB each. */
function wide(): Graph {
  const net = new Network();
  net.type('image', [N, 128, 128, 8]);
  net.conv('widened', 'image', [32, 1, 1, 8], [N, 128, 128, 32], { pads: [0, 0, 0, 0] });
  net.node('MaxPool', 'pooled', ['widened'], [N, 64, 64, 32], {
    kernel_shape: [2, 2],
    strides: [2, 2],
    dilations: [1, 1],
    pads: [0, 0, 0, 0],
    ceil_mode: 0,
  });
  net.node('GlobalAveragePool', 'features', ['pooled'], [N, 1, 1, 32]);
  return net.graph(['image'], ['features']);
}

function pictures(): Tensor {
  const next = random(5);
  const shape = [BATCH, 128, 128, 8];
  return {
    dtype: 'float32',
    shape,
    data: Float32Array.from({ length: BATCH * 131072 }, () => next() * 2 - 1),
  };
}

describe('batches in slices', () => {
  it('are cut into like parts, none where everything is small', () => {
    assert.equal(samplesAtOnce(16, 1 << 20), 16);
    assert.equal(samplesAtOnce(16, 64 << 20), 4);
    assert.equal(samplesAtOnce(10, 40 << 20), 4); // 4, 4, 2
    assert.equal(samplesAtOnce(3, 1 << 30), 1);
  });

  it('only where samples do not meet', () => {
    const sampleWise = (graph: Graph, feed: Tensor, fetches: string[]) =>
      isSampleWise(
        graph,
        one(graph.inputs[0].name, feed),
        fetches,
        [6, inferTypes(graph, 6)],
        [2, inferTypes(graph, 2)],
      );
    assert.equal(sampleWise(sampler(), image(6), ['logits']), true);
    const net = new Network();
    net.type('x', [N, 4]);
    net.node('Transpose', 'turned', ['x'], [4, N], { perm: [1, 0] });
    net.node('Transpose', 'back', ['turned'], [N, 4], { perm: [1, 0] });
    const x: Tensor = { dtype: 'float32', shape: [6, 4], data: new Float32Array(24) };
    assert.equal(sampleWise(net.graph(['x'], ['back']), x, ['back']), false);
    const other = new Network();
    other.type('x', [N, 4]);
    other.node('Softmax', 'shares', ['x'], [N, 4], { axis: 0 });
    assert.equal(sampleWise(other.graph(['x'], ['shares']), x, ['shares']), false);
  });

  for (const kernels of available)
    it(`give what single samples give, ${kernels.backend} ${kernels.isa}`, () => {
      const executor = compile(wide(), kernels);
      const x = pictures();
      assert.ok(samplesAtOnce(BATCH, executor.memory(BATCH).planned) < BATCH);
      const fetches = ['pooled', 'features'];
      const pooled: Tensor = {
        dtype: 'float32',
        shape: [BATCH, 64, 64, 32],
        data: new Float32Array(BATCH * 131072),
      };
      const together = executor.run(one('image', x), fetches, one('pooled', pooled));
      assert.equal(together.get('pooled')!.data, pooled.data);
      assert.deepEqual(together.get('features')!.shape, [BATCH, 1, 1, 32]);
      for (let i = 0; i < BATCH; i++) {
        const data = (x.data as Float32Array).subarray(i * 131072, (i + 1) * 131072);
        const alone = executor.run(
          one('image', { dtype: 'float32', shape: [1, 128, 128, 8], data }),
          fetches,
        );
        for (const name of fetches) {
          const all = together.get(name)!.data as Float32Array;
          const length = all.length / BATCH;
          same(
            all.subarray(i * length, (i + 1) * length),
            alone.get(name)!.data as Float32Array,
            `${name} ${i}`,
          );
        }
      }
      executor.dispose();
    });
});
