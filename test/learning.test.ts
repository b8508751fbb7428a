import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Allocation } from '../lib/allocate/allocate.ts';
import { openDataset } from '../lib/data/index.ts';
import { quantizedValues } from '../lib/engine/index.ts';
import type { Graph } from '../lib/graph/graph.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import { type QuantizeOptions, quantize } from '../lib/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { reallocate } from '../lib/pipeline/reallocation.ts';
import type { Finished } from '../lib/pipeline/search.ts';
import type { Quantization } from '../lib/quant/quantizer.ts';
import { roundWeights, searchScales } from '../lib/quant/weights.ts';
import { blocksOf } from '../lib/recovery/blocks.ts';
import { type FinetuneOptions, finetune, reconstruct } from '../lib/recovery/index.ts';
import { NO_AUGMENTATION, type TrainingSet, type TrainingState } from '../lib/training/index.ts';
import { CLASSES, imageBytes, tinyModel, writeImages } from './support/network.ts';

const preprocessing = { scale: 1 / 255, mean: [0.4, 0.5, 0.6], std: 0.25 };
const SAMPLES = 48;
const WIDTH = 3;
const keepGoing = async () => {};

/** The tiny network rounded to the nearest at one width, ranges wide enough for everything. */
function rounded(graph: Graph): Quantization {
  const activations = new Map(
    quantizedValues(graph).map(({ value, nonNegativeByConstruction }) => [
      value,
      { bits: 8, scale: 0.05, zeroPoint: nonNegativeByConstruction ? 0 : 128, low: 0, high: 255 },
    ]),
  );
  const layers = layersOf(graph).map(({ name, weights, outChannels, groups, bias }) => {
    const floors = new Float32Array(outChannels).fill(1e-6);
    const scales = searchScales(weights, outChannels, groups, WIDTH, null, floors);
    return [
      name,
      {
        bits: WIDTH,
        q: roundWeights(weights, scales, WIDTH),
        scales,
        bias: bias ?? new Float32Array(outChannels),
      },
    ] as const;
  });
  return { activations, layers: new Map(layers) };
}

const finetuning: FinetuneOptions = {
  epochs: 2,
  batch: 16,
  rate: 0.01,
  augmentation: NO_AUGMENTATION,
  labels: 0,
  seed: 1,
  pace: keepGoing,
};

const bytesOf = ({ layers, activations }: Quantization) =>
  JSON.stringify([
    [...layers].map(([name, { q, scales, bias }]) => [name, [...q], [...scales], [...bias]]),
    [...activations],
  ]);

describe('recovery by learning', () => {
  let folder: string;
  let graph: Graph;
  let kernels: Kernels;
  let data: TrainingSet;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
    writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
    writeImages(join(folder, 'x.npz'), imageBytes(SAMPLES, 3), null);
    writeImages(
      join(folder, 'y.npz'),
      imageBytes(SAMPLES, 7),
      Array.from({ length: SAMPLES }, (_, i) => i % CLASSES),
    );
    graph = toChannelsLast(importGraph(tinyModel()).graph);
    kernels = await createKernels({ threads: 1 });
    const dataset = await openDataset(join(folder, 'x.npz'), { preprocessing });
    for await (const { x, count } of dataset.batches({ size: SAMPLES }))
      data = { x, shape: dataset.shape, count, labels: null };
    assert.equal(data.count, SAMPLES);
  });
  after(() => {
    kernels.dispose();
    rmSync(folder, { recursive: true });
  });

  it('blocks: every node in one of them, one value from each to the next', () => {
    const blocks = blocksOf(graph);
    assert.ok(blocks.length > 1);
    assert.deepEqual(
      blocks.flatMap((block) => block.layers),
      layersOf(graph).map(({ name }) => name),
    );
    blocks.forEach(({ input }, i) => {
      assert.equal(input, i === 0 ? graph.inputs[0].name : blocks[i - 1].output);
    });
    assert.equal(blocks.at(-1)!.output, graph.outputs[0].name);
  });

  it('reconstruction lowers the error of blocks, keeps widths, and never leaves one worse', async () => {
    const start = rounded(graph);
    const options = { steps: 40, batch: 16, seed: 1, pace: keepGoing };
    const { quantization, blocks } = await reconstruct(graph, kernels, start, data, options);
    assert.ok(blocks.every(({ before, after }) => after <= before));
    assert.ok(blocks[0].after < 0.97 * blocks[0].before, `${blocks[0].before} to ${blocks[0].after}`);
    for (const [name, { bits, q }] of quantization.layers) {
      assert.equal(bits, WIDTH);
      assert.ok(
        q.every((value) => value >= -4 && value <= 3),
        name,
      );
    }
    assert.notEqual(bytesOf(quantization), bytesOf(start));
    assert.equal(
      bytesOf((await reconstruct(graph, kernels, start, data, options)).quantization),
      bytesOf(quantization),
    );
  });

  it('a block with an operator without a gradient is named and left as it was', async () => {
    const nodes = graph.nodes.map((node) =>
      node.op === 'GlobalAveragePool' ? { ...node, op: 'GlobalMaxPool' } : node,
    );
    const odd = { ...graph, nodes };
    assert.ok(nodes.some(({ op }) => op === 'GlobalMaxPool'));
    const start = rounded(odd);
    const { blocks, quantization } = await reconstruct(odd, kernels, start, data, {
      steps: 10,
      batch: 16,
      seed: 1,
      pace: keepGoing,
    });
    const skipped = blocks.filter((block) => block.skipped);
    assert.equal(skipped.length, 1);
    assert.match(skipped[0].skipped!, /GlobalMaxPool \(node /);
    for (const name of skipped[0].layers)
      assert.deepEqual(quantization.layers.get(name), start.layers.get(name));
    await assert.rejects(finetune(odd, kernels, start, data, finetuning), {
      code: 'UNSUPPORTED_OPERATOR',
      message: /GlobalMaxPool/,
    });
  });

  it('finetuning brings the loss down, the same bytes on every tier and thread count', async () => {
    const losses: number[] = [];
    const options = {
      ...finetuning,
      epochs: 40,
      onProgress: ({ loss }: { loss: number }) => losses.push(loss),
    };
    await finetune(graph, kernels, rounded(graph), data, options);
    assert.ok(losses.length > 1 && losses.at(-1)! < 0.7 * losses[0], losses.join(' '));
    const expected = bytesOf((await finetune(graph, kernels, rounded(graph), data, finetuning)).quantization);
    for (const isa of nativeIsas().filter((name) => name !== 'scalar'))
      for (const threads of [1, 2]) {
        const other = await createKernels({ backend: 'native', isa, threads });
        const { quantization } = await finetune(graph, other, rounded(graph), data, finetuning);
        assert.equal(bytesOf(quantization), expected, `${isa}, ${threads} threads`);
        other.dispose();
      }
  });

  it('goes on from a checkpoint to the same bytes', async () => {
    const options = { ...finetuning, epochs: 20 };
    const states: TrainingState[] = [];
    const save = async (state: TrainingState) => {
      states.push(structuredClone(state));
    };
    const whole = await finetune(graph, kernels, rounded(graph), data, { ...options, save });
    assert.ok(states.length > 1);
    const rest = await finetune(graph, kernels, rounded(graph), data, { ...options, from: states[0] });
    assert.equal(bytesOf(rest.quantization), bytesOf(whole.quantization));
  });

  it('refuses labels that are not there or out of range, and too few samples; tells of divergence', async () => {
    const start = rounded(graph);
    await assert.rejects(
      finetune(graph, kernels, start, data, { ...finetuning, labels: 0.5 }),
      /labelled samples/,
    );
    const wrong = { ...data, labels: new Int32Array(SAMPLES).fill(CLASSES) };
    await assert.rejects(finetune(graph, kernels, start, wrong, { ...finetuning, labels: 0.5 }), {
      code: 'DATA_MISMATCH',
      message: /sample 0/,
    });
    await assert.rejects(finetune(graph, kernels, start, data, { ...finetuning, batch: SAMPLES + 1 }), {
      code: 'DATA_MISMATCH',
    });
    const { diverged } = await finetune(graph, kernels, start, data, {
      ...finetuning,
      epochs: 60,
      rate: 1e4,
    });
    assert.match(diverged!, /lower rate/);
  });

  describe('in the pipeline', () => {
    const base = (): QuantizeOptions => ({
      model: join(folder, 'tiny.onnx'),
      calibration: join(folder, 'x.npz'),
      evaluate: join(folder, 'y.npz'),
      preprocessing,
      targets: ['bits=4'],
      evaluations: 3,
    });

    it('reconstruct: learned once at the chosen widths, rounding taken where that was better', async () => {
      const { learned, verdict, validation, artefacts, recovery } = await quantize({
        ...base(),
        recovery: 'reconstruct',
      });
      assert.equal(recovery, 'reconstruct');
      assert.ok(learned);
      assert.ok(learned.blocks.length > 1);
      assert.equal(validation.drop, learned.kept ? learned.after : learned.before);
      assert.equal(verdict, 'met');
      assert.deepEqual(artefacts.allocation.learning?.kept, learned.kept);
      assert.match(artefacts.report, /reconstruct/);
    });

    it('finetune: epochs at the end, kept for the next run; labels asked for and missing are refused', async () => {
      const cache = join(folder, 'cache');
      const options = { ...base(), recovery: 'finetune', epochs: 1, cache };
      const first = await quantize(options);
      const second = await quantize(options);
      assert.deepEqual(second.artefacts.model, first.artefacts.model);
      assert.ok(readdirSync(cache, { recursive: true }).some((name) => String(name).includes('learned-')));
      assert.ok(!readdirSync(cache, { recursive: true }).some((name) => String(name).includes('begun-')));
      await assert.rejects(quantize({ ...options, labelShare: 0.5 }), { code: 'DATA_MISMATCH' });
      await assert.rejects(quantize({ ...options, epochs: -1 }), /epochs/);
      await assert.rejects(quantize({ ...options, recovery: 'magic' }), /reconstruct/);
    });

    it('the paper: training between the steps of sigma', async () => {
      const { learned, evaluations } = await quantize({
        ...base(),
        strategy: 'sigma',
        recovery: 'finetune',
        epochsPerStep: 0.5,
        epochs: 0.5,
      });
      assert.ok(learned && evaluations >= 1);
    });
  });
});

describe('reallocation', () => {
  /** Rounded networks lose 8 / size points, learned ones half of it. */
  const search = async (maxDrop: number | null) => {
    const size = maxDrop === null ? 4 : Math.max(1, 8 / maxDrop);
    const measurement = { drop: 8 / size, accuracy: 0, divergence: 0 };
    return { allocation: { cost: { weightBytes: size }, measurement } as unknown as Allocation };
  };
  const learn = async ({ measurement }: Allocation) => ({
    finished: {} as Finished,
    drop: measurement!.drop / 2,
  });
  const bytes = ({ cost }: Allocation) => cost['weightBytes'];

  it('uses up what learning wins back, and holds the floor', async () => {
    const { answer, drop } = await reallocate(1, bytes, search, learn);
    assert.ok(drop <= 1);
    assert.ok(bytes(answer.allocation) < 8, 'smaller than without learning');
  });

  it('goes between what held and what did not, where learning wins less than it did', async () => {
    const tired = async ({ measurement }: Allocation) => ({
      finished: {} as Finished,
      drop: measurement!.drop * (measurement!.drop <= 1.4 ? 0.5 : 0.9),
    });
    const { answer, drop } = await reallocate(1, bytes, search, tired);
    assert.ok(drop <= 1);
    assert.ok(bytes(answer.allocation) < 8 / 1.3, `${bytes(answer.allocation)} bytes`);
  });

  it('asks once without a floor, or within ceilings', async () => {
    let asked = 0;
    const counted = (maxDrop: number | null) => {
      asked++;
      return search(maxDrop);
    };
    await reallocate(null, bytes, counted, learn);
    await reallocate(1, null, counted, learn);
    assert.equal(asked, 2);
  });

  it('takes the best where none holds the floor', async () => {
    const worse = async ({ measurement }: Allocation) => ({
      finished: {} as Finished,
      drop: measurement!.drop * 3,
    });
    const { drop } = await reallocate(1, bytes, search, worse);
    assert.ok(drop > 1 && drop <= 3);
  });
});
