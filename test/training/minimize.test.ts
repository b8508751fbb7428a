import assert from 'node:assert/strict';
import type { SigmaQuantError } from '../../lib/errors.ts';
import { createKernels, type Kernels } from '../../lib/kernels/index.ts';
import {
  type MinimizeOptions,
  minimize,
  NO_AUGMENTATION,
  type TrainingProgress,
  type TrainingState,
} from '../../lib/training/index.ts';
import { BATCH, images, type Subject, subject } from './network.ts';
import { noPause } from './support.ts';

const COUNT = 4 * BATCH + 5;
const data = images(COUNT);
const OPTIONS: MinimizeOptions = {
  epochs: 3,
  batch: BATCH,
  rate: 0.05,
  warmup: 0.1,
  clip: 5,
  average: 0,
  seed: 1,
  augmentation: NO_AUGMENTATION,
  every: 4,
  pace: noPause,
};

const bytesOf = ({ learned }: Subject) =>
  new Map([...learned].map(([name, values]) => [name, Float32Array.from(values)]));

describe('training: minimize', () => {
  let kernels: Kernels;
  before(async () => {
    kernels = await createKernels();
  });
  after(() => kernels?.dispose());

  async function trained(
    options: Partial<MinimizeOptions> = {},
    kind: 'sgd' | 'adam' = 'sgd',
  ): Promise<ReadonlyMap<string, Float32Array>> {
    const one = subject(kernels, kind, data.labels!);
    await minimize(one.training, data, { ...OPTIONS, ...options });
    one.training.tape.dispose();
    return bytesOf(one);
  }

  it('learns what can be learned and reports it', async () => {
    const reports: TrainingProgress[] = [];
    await trained({ epochs: 30, onProgress: (progress) => reports.push(progress) });
    assert.deepEqual(
      reports.map(({ step, epoch, samples }) => [step, epoch, samples]),
      Array.from({ length: 30 }, (_, i) => [4 * i + 4, i, (4 * i + 4) * BATCH]),
    );
    assert.ok(reports.every(({ steps }) => steps === 120));
    const [first, last] = [reports[0], reports.at(-1)!];
    assert.ok(first.accuracy! < 0.6 && last.accuracy! > 0.85, `${first.accuracy} to ${last.accuracy}`);
    assert.ok(last.loss < 0.7 * first.loss, `${first.loss} to ${last.loss}`);
  });

  it('gives the same bytes for the same seed, and others for another', async () => {
    const augmentation = { flip: true, shift: 2 };
    const once = await trained({ augmentation });
    assert.deepEqual(await trained({ augmentation }), once);
    assert.notDeepEqual(await trained({ augmentation, seed: 2 }), once);
    assert.notDeepEqual(await trained(), once);
  });

  for (const kind of ['sgd', 'adam'] as const)
    it(`${kind}: goes on from every checkpoint to the same bytes`, async () => {
      const options = { average: 0.9, every: 3, augmentation: { flip: true, shift: 1 } };
      const states: TrainingState[] = [];
      const whole = await trained({ ...options, save: async (state) => void states.push(state) }, kind);
      assert.deepEqual(
        states.map(({ step }) => step),
        [3, 6, 9, 12],
      );
      for (const from of states.slice(0, -1))
        assert.deepEqual(await trained({ ...options, from }, kind), whole, `from step ${from.step}`);
    });

  it('ends with the exponential average of the parameters', async () => {
    const [last, averaged] = [await trained(), await trained({ average: 0.9 })];
    assert.notDeepEqual(averaged.get('w1'), last.get('w1'));
    const distance = averaged.get('w1')!.map((value, i) => Math.abs(value - last.get('w1')![i]));
    assert.ok(Math.max(...distance) < 0.1, `${Math.max(...distance)}`);
    // Running statistics are no parameters.
    assert.deepEqual(averaged.get('statistics 0'), last.get('statistics 0'));
  });

  it('refuses a batch larger than the data', async () => {
    const one = subject(kernels, 'sgd', data.labels!);
    await assert.rejects(minimize(one.training, images(BATCH - 1), OPTIONS), (error: SigmaQuantError) => {
      assert.equal(error.code, 'DATA_MISMATCH');
      assert.match(error.message, /at least 16 samples for a batch of training but received 15/);
      return true;
    });
    one.training.tape.dispose();
  });

  it('stops where the loss explodes and puts the last good state back', async () => {
    const one = subject(kernels, 'sgd', data.labels!);
    let saved: TrainingState | undefined;
    const explode = 6;
    let step = 0;
    const { lossOf } = one.training;
    // From this step on the loss is none at all, as an overflow makes it.
    one.training.lossOf = async (x, indices) => {
      const loss = await lossOf(x, indices);
      return (...values) => (step++ < explode ? loss(...values) : Number.NaN);
    };
    const save = async (state: TrainingState) => {
      saved = state;
    };
    await assert.rejects(minimize(one.training, data, { ...OPTIONS, save }), (error: SigmaQuantError) => {
      assert.equal(error.code, 'TRAINING_DIVERGED');
      assert.match(error.message, /received NaN at step 7 of 12: the state of step 4 was kept/);
      return true;
    });
    assert.equal(saved!.step, 4);
    const present = [
      ...one.training.trained.map(({ parameter }) => parameter.data),
      ...one.training.optimizer.state,
      ...one.training.carried,
    ];
    assert.deepEqual(present, saved!.arrays);
    one.training.tape.dispose();
  });

  it('stops where a rate is far too high', async () => {
    await assert.rejects(
      trained({ rate: 1e12, epochs: 20, clip: Number.POSITIVE_INFINITY, warmup: 0 }),
      (error: SigmaQuantError) => {
        assert.equal(error.code, 'TRAINING_DIVERGED');
        assert.match(error.message, /train with a lower rate/);
        return true;
      },
    );
  });
});
