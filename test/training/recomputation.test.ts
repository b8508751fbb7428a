import assert from 'node:assert/strict';
import { createKernels } from '../../lib/kernels/index.ts';
import { minimize, NO_AUGMENTATION } from '../../lib/training/index.ts';
import { BATCH, images, subject } from './network.ts';
import { noPause } from './support.ts';

const EPOCHS = 3;
const data = images(4 * BATCH);

async function trained(backend: 'native' | 'wasm' | 'reference', memory?: number) {
  const kernels = await createKernels({ backend });
  const { training, learned } = subject(kernels, 'adam', data.labels!, memory);
  await minimize(training, data, {
    epochs: EPOCHS,
    batch: BATCH,
    rate: 0.005,
    warmup: 0.1,
    clip: 5,
    average: 0.9,
    seed: 1,
    augmentation: NO_AUGMENTATION,
    every: 5,
    pace: noPause,
  });
  const { planned, steps } = training.tape;
  const result = new Map([...learned].map(([name, values]) => [name, Float32Array.from(values)]));
  training.tape.dispose();
  kernels.dispose();
  return { result, planned, again: steps.filter(({ phase }) => phase === 'forward').length };
}

describe('training: values made again for the backward half', () => {
  for (const backend of ['native', 'wasm', 'reference'] as const)
    it(`${backend}: the same bytes, running statistics too, in less memory`, async () => {
      const whole = await trained(backend);
      const short = await trained(backend, 0);
      assert.deepEqual(short.result, whole.result);
      assert.ok(short.planned < whole.planned, `${short.planned} of ${whole.planned} bytes`);
      assert.ok(short.again > whole.again, 'forward steps run again');
    });

  it('keeps everything where the memory suffices', async () => {
    const whole = await trained('native');
    const room = await trained('native', whole.planned);
    assert.deepEqual(room, whole);
  });
});
