import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllocation } from '../lib/export/allocation.ts';
import { quantizationOf } from '../lib/export/read-back.ts';
import { evaluate, fromIterable, plan, type QuantizeOptions, quantize } from '../lib/index.ts';
import { CLASSES, imageBytes, SAMPLE, tinyModel, writeImages } from './support/network.ts';

const SAMPLES = 60;
const preprocessing = { scale: 1 / 255, mean: [0.4, 0.5, 0.6], std: 0.25 };
/** Weights and channels of the five layers of tinyModel. */
const SIZES: Record<string, [weights: number, channels: number]> = {
  conv1: [8 * 27, 8],
  conv2: [8 * 72, 8],
  conv3: [8 * 9, 8],
  conv4: [16 * 72, 16],
  fc: [CLASSES * 16, CLASSES],
};
const FLOAT_BYTES =
  4 * Object.values(SIZES).reduce((sum, [weights, channels]) => sum + weights + channels, 0);

describe('pipeline', () => {
  let folder: string;
  let base: QuantizeOptions;
  /** Classes that the float network itself gives, so that it is right on every sample. */
  let labels: number[];
  const images = imageBytes(SAMPLES, 3);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    const model = join(folder, 'tiny.onnx');
    writeFileSync(model, tinyModel());
    writeImages(join(folder, 'calibration.npz'), imageBytes(24, 5), null);
    writeImages(join(folder, 'unlabelled.npz'), images, null);
    labels = [];
    const data = join(folder, 'unlabelled.npz');
    await evaluate({
      model,
      evaluate: data,
      preprocessing,
      metric: ({ outputs, count }) => {
        const scores = Array.from({ length: count }, (_, row) =>
          outputs[0].data.subarray(row * CLASSES, (row + 1) * CLASSES),
        );
        for (const row of scores) labels.push(row.indexOf(Math.max(...row)));
        return scores.map(() => 1);
      },
    });
    writeImages(join(folder, 'test.npz'), images, labels);
    base = {
      model,
      calibration: join(folder, 'calibration.npz'),
      evaluate: join(folder, 'test.npz'),
      preprocessing,
      targets: ['bits=5'],
      evaluations: 6,
    };
  });
  after(() => rmSync(folder, { recursive: true }));

  it("quantizes a network where a layer's result is an output too", async () => {
    const types = { b: ['batch', 8, 8, 8], g: ['batch', 8, 4, 4] };
    const bytes = tinyModel(({ outputs }) => ({
      outputs: [
        ...outputs,
        ...Object.entries(types).map(([name, shape]) => ({ name, dtype: 'float32', shape })),
      ],
    }));
    const result = await quantize({ ...base, model: { name: 'outputs', bytes } });
    assert.equal(result.validation.metric, 'sqnr');
    const { layers: integers } = quantizationOf(result.artefacts.model);
    assert.deepEqual(
      [...integers.keys()],
      result.layers.map(({ name }) => name),
    );
  });

  it('quantizes, writes four files, and reports what they hold', async () => {
    const out = join(folder, 'whole');
    const result = await quantize({ ...base, out });
    assert.equal(result.verdict, 'met');
    assert.deepEqual(
      result.layers.map(({ name, op }) => [name, op]),
      [
        ['conv1', 'Conv'],
        ['conv2', 'Conv'],
        ['conv3', 'Conv'],
        ['conv4', 'Conv'],
        ['fc', 'Linear'],
      ],
    );
    let bytes = 0;
    let bits = 0;
    let total = 0;
    for (const { name, weights, activations } of result.layers) {
      const [count, channels] = SIZES[name];
      assert.equal(activations, 8);
      bytes += Math.ceil((count * weights) / 8) + 8 * channels;
      bits += count * weights;
      total += count;
    }
    assert.equal(result.weightBytes, bytes);
    assert.ok(Math.abs(result.averageBits - bits / total) < 1e-12);
    assert.ok(result.averageBits <= 5);
    assert.equal(result.floatBytes, FLOAT_BYTES);
    assert.deepEqual([result.layers[0].weights, result.layers[4].weights], [8, 8]);
    assert.equal(result.validation.float, 100);
    assert.equal(result.validation.samples, SAMPLES / 2);
    assert.equal(result.accuracy!.samples, SAMPLES / 2);
    assert.ok(Math.abs(result.accuracy!.drop! - (100 - result.accuracy!.quantized)) < 1e-9);
    assert.ok(result.seconds.total > 0);

    assert.deepEqual(readdirSync(out).sort(), [
      'allocation.csv',
      'allocation.json',
      'model.onnx',
      'model.sqnt',
      'report.html',
      'report.md',
    ]);
    const model = new Uint8Array(readFileSync(result.files!.model));
    assert.deepEqual(model, result.artefacts.model);
    const packed = new Uint8Array(readFileSync(result.files!.sqnt!));
    assert.deepEqual(packed, result.artefacts.sqnt);
    assert.equal(packed.length, result.sqntBytes);
    assert.ok(packed.length > bytes && packed.length < bytes + 4000, `${packed.length} bytes for ${bytes}`);
    const allocation = parseAllocation(readFileSync(result.files!.allocation, 'utf8'));
    assert.deepEqual(
      allocation.layers.map(({ weights }) => weights),
      result.layers.map(({ weights }) => weights),
    );
    assert.equal(allocation.cost['weightBytes'], bytes);
    for (const [name, { q, bits: width }] of quantizationOf(model).layers) {
      assert.equal(width, result.layers.find((layer) => layer.name === name)!.weights);
      assert.equal(q.length, SIZES[name][0]);
      assert.ok(q.every((value) => value >= -(2 ** (width - 1)) && value < 2 ** (width - 1)));
    }
    assert.match(
      readFileSync(result.files!.report, 'utf8'),
      /^# tiny: quantized to .*\n\n\*\*Verdict: met\*\*/,
    );
  });

  it('makes the same artefacts again, with any number of threads', async () => {
    const [one, two] = [await quantize({ ...base, threads: 1 }), await quantize({ ...base, threads: 2 })];
    assert.deepEqual(one.artefacts.model, two.artefacts.model);
    assert.deepEqual(one.artefacts.sqnt, two.artefacts.sqnt);
    assert.equal(JSON.stringify(one.artefacts.allocation), JSON.stringify(two.artefacts.allocation));
    assert.equal(one.artefacts.report, two.artefacts.report);
    assert.equal(one.files, null);
  });

  it('never looks at what it is judged on', async () => {
    const first = await quantize(base);
    // Every label wrong on samples that are judged: only the judged score may change.
    const seen = new Set<number>();
    const spy = await fromIterable(
      'spy',
      [...SAMPLE],
      async function* () {
        for (let i = 0; i < SAMPLES; i++) yield { x: floats(images, i), label: labels[i] };
      },
      { size: SAMPLES },
    );
    const data: QuantizeOptions['evaluate'] = {
      ...spy,
      name: spy.name,
      shape: spy.shape,
      labelled: true,
      size: SAMPLES,
      fingerprint: () => spy.fingerprint(),
      batches: (options) => {
        if (seen.size === 0) for (let i = 0; i < SAMPLES; i++) if (options.select!(i)) seen.add(i);
        return spy.batches(options);
      },
    };
    await quantize({ ...base, evaluate: data });
    assert.equal(seen.size, SAMPLES / 2);
    const wrong = labels.map((label, i) => (seen.has(i) ? label : (label + 1) % CLASSES));
    writeImages(join(folder, 'wrong.npz'), images, wrong);
    const second = await quantize({ ...base, evaluate: join(folder, 'wrong.npz') });
    assert.deepEqual(second.layers, first.layers);
    assert.deepEqual(second.validation, first.validation);
    assert.deepEqual(second.artefacts.model, first.artefacts.model);
    assert.equal(second.accuracy!.float, 0);
  });

  it('measures agreement where there are no labels', async () => {
    const { accuracy, validation } = await quantize({ ...base, evaluate: undefined });
    assert.equal(accuracy, null);
    assert.equal(validation.metric, 'agreement');
    assert.equal(validation.float, 100);
    assert.equal(validation.samples, 24);
  });

  it('judges all of --evaluate where --validation is given', async () => {
    const result = await quantize({ ...base, validation: base.evaluate });
    assert.equal(result.validation.samples, SAMPLES);
    assert.equal(result.accuracy!.samples, SAMPLES);
    const { accuracy } = await quantize({ ...base, validation: base.evaluate, evaluate: undefined });
    assert.equal(accuracy, null);
  });

  it('tells what cannot be reached, how near it came and who binds', async () => {
    const result = await quantize({ ...base, targets: ['bits=1.5'], maxDrop: 100 });
    assert.equal(result.verdict, 'accuracy-only');
    assert.ok(result.binding.length > 0);
    assert.ok(result.reachable!.cost['averageBits'] > 1.5);
    const none = await quantize({ ...base, targets: ['size=1%'] });
    assert.equal(none.verdict, 'impossible');
  });

  it('takes the knee without targets, and the smallest above a floor', async () => {
    const knee = await quantize({ ...base, targets: [] });
    assert.equal(knee.verdict, 'met');
    const floor = await quantize({ ...base, targets: [], minSqnr: 10 });
    assert.equal(floor.verdict, 'met');
    assert.equal(floor.validation.metric, 'sqnr');
    assert.ok(floor.validation.quantized >= 10);
    assert.equal(floor.validation.drop, null);
    const high = await quantize({ ...base, targets: ['bits=3'], minSqnr: 150 });
    assert.equal(high.verdict, 'resource-only');
    assert.ok(high.averageBits <= 3);
    assert.ok(high.binding.length > 0);
  });

  it('keeps pins and frees the ends', async () => {
    const pinned = await quantize({ ...base, pins: { conv2: 7 }, targets: [], bits: [4], maxDrop: 100 });
    assert.deepEqual(
      pinned.layers.map(({ weights }) => weights),
      [8, 7, 4, 4, 8],
    );
    const free = await quantize({ ...base, freeEnds: true, targets: [], bits: [4], maxDrop: 100 });
    assert.deepEqual(
      free.layers.map(({ weights }) => weights),
      [4, 4, 4, 4, 4],
    );
    await assert.rejects(quantize({ ...base, pins: { conv9: 7 } }), {
      code: 'INVALID_ARGUMENT',
      message: /"conv9"/,
    });
  });

  it('stores narrow activations within their range', async () => {
    const { artefacts, layers } = await quantize({ ...base, activationBits: 4 });
    assert.deepEqual(
      layers.map(({ activations }) => activations),
      [8, 4, 4, 4, 8],
    );
    const { activations } = quantizationOf(artefacts.model);
    const widths = [...activations.values()].map(({ bits, high }) => [bits, high]);
    assert.ok(widths.some(([bits, high]) => bits === 4 && high === 15));
    assert.equal(activations.get('image')!.bits, 8);
  });

  it('takes a metric of the caller', async () => {
    const { validation, accuracy } = await quantize({
      ...base,
      metric: ({ outputs, reference, count }) =>
        Array.from({ length: count }, (_, row) => {
          let error = 0;
          for (let i = row * CLASSES; i < (row + 1) * CLASSES; i++)
            error += Math.abs(outputs[0].data[i] - reference[0].data[i]);
          return 1 / (1 + error);
        }),
    });
    assert.equal(validation.metric, 'custom');
    assert.equal(validation.float, 100);
    assert.ok(validation.quantized < 100 && accuracy!.quantized > 0);
  });

  it('scores a written result as it was judged', async () => {
    const out = join(folder, 'again');
    const result = await quantize({ ...base, validation: base.evaluate, out });
    const { quantized, float } = await evaluate({
      model: base.model,
      evaluate: base.evaluate!,
      allocation: out,
    });
    assert.equal(float, 100);
    assert.deepEqual(quantized, result.accuracy);
  });

  it('plans without data', async () => {
    const result = await plan({ model: base.model, targets: ['bits=4'] });
    assert.equal(result.verdict, 'met');
    assert.ok(result.averageBits <= 4);
    assert.equal(result.layers.length, 5);
  });

  it('refuses an existing output before the long work, and replaces it by force', async () => {
    const out = join(folder, 'twice');
    await quantize({ ...base, out });
    const started = performance.now();
    await assert.rejects(quantize({ ...base, calibration: 'missing.npz', out }), { code: 'OUTPUT_EXISTS' });
    assert.ok(performance.now() - started < 100);
    const { files } = await quantize({ ...base, out, force: true });
    assert.ok(existsSync(files!.model));
  });

  for (const stage of ['calibrate', 'profile', 'evaluate'])
    it(`stops within 200 ms of an abort while it ${stage}s, with nothing written`, async () => {
      const controller = new AbortController();
      const reason = new Error('enough');
      let aborted = 0;
      const before = readdirSync(folder).sort();
      const work = quantize({
        ...base,
        out: join(folder, `aborted-${stage}`),
        signal: controller.signal,
        onProgress: (name) => {
          if (name !== stage || aborted > 0) return;
          aborted = performance.now();
          controller.abort(reason);
        },
      });
      await assert.rejects(work, (error) => error === reason);
      assert.ok(aborted > 0, `the stage ${stage} never reported`);
      assert.ok(performance.now() - aborted < 200);
      assert.deepEqual(readdirSync(folder).sort(), before);
    });
});

/** Sample i as the floats that preprocessing would make of it. */
function floats(images: Uint8Array, i: number): Float32Array {
  const [channels, height, width] = SAMPLE;
  const pixels = height * width;
  return Float32Array.from({ length: channels * pixels }, (_, j) => {
    const channel = Math.floor(j / pixels);
    return (
      (images[i * channels * pixels + j] * preprocessing.scale - preprocessing.mean[channel]) /
      preprocessing.std
    );
  });
}
