/**
 * What each recovery keeps of a network's accuracy at uniform widths: first and last layer at 8 bits, activations at
 * 8 bits. `npm --prefix benchmarks run recovery -- [--pairs FILE] [--only REGEXP] [--samples N] [--calibrate N]
 * [--patches N] [--activations BITS] [--range METHOD] [--bits 4,3,2] [--recoveries none,gptq]`
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { calibrate } from '../lib/analysis/index.ts';
import { type Dataset, openDataset } from '../lib/data/index.ts';
import { compile, type Executor, quantizerOf } from '../lib/engine/index.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import { createKernels, type Kernels } from '../lib/kernels/index.ts';
import type { QuantizedLayer } from '../lib/quant/quantizer.ts';
import { chooseQuantizer, type RangeMethod } from '../lib/quant/ranges.ts';
import { createRecovery, type Recovery } from '../lib/recovery/index.ts';
import { loadPairs, type Pair } from './pairs.ts';

/** Calibration samples whose activations are held at once. */
const BATCH = 8;

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    samples: { type: 'string', default: '1000' },
    calibrate: { type: 'string', default: '256' },
    patches: { type: 'string', default: '64' },
    activations: { type: 'string', default: '8' },
    range: { type: 'string', default: 'mse' },
    bits: { type: 'string', default: '8,6,5,4,3,2' },
    recoveries: { type: 'string', default: 'none,gptq' },
  },
});

/** Samples whose largest output is their label, in percent. */
async function accuracy(executor: Executor, data: Dataset): Promise<number> {
  const [input] = executor.graph.inputs;
  const [output] = executor.graph.outputs;
  const samples = Number(flags.samples);
  const taken = Math.min(samples, data.size ?? samples);
  const select = (index: number) =>
    data.size === null ||
    Math.floor(((index + 1) * taken) / data.size) > Math.floor((index * taken) / data.size);
  let [right, seen] = [0, 0];
  for await (const { x, count, labels } of data.batches({ size: BATCH, select })) {
    const shape = [count, ...data.shape];
    const result = executor.run(new Map([[input.name, { dtype: 'float32', shape, data: x }]]), [output.name]);
    const logits = result.get(output.name)!.data as Float32Array;
    const classes = logits.length / count;
    for (let i = 0; i < count; i++) {
      const own = logits.subarray(i * classes, (i + 1) * classes);
      if (own.indexOf(Math.max(...own)) === labels![i]) right++;
    }
    seen += count;
  }
  return (100 * right) / seen;
}

async function measure(pair: Pair, kernels: Kernels): Promise<void> {
  const graph = toChannelsLast(importGraph(readFileSync(pair.model)).graph);
  const layers = layersOf(graph);
  const { preprocessing } = pair;
  const calibrationSet = await openDataset(pair.calibration, { preprocessing });
  const evaluationSet = await openDataset(pair.evaluate, { preprocessing, labels: true });
  const started = performance.now();
  const calibration = await calibrate(graph, layers, kernels, calibrationSet, {
    samples: Number(flags.calibrate),
    batch: BATCH,
    gram: true,
    patches: Number(flags.patches),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const activations = new Map(
    [...calibration.values].map(([name, statistics]) => {
      const bits = graph.inputs.some((input) => input.name === name) ? 8 : Number(flags.activations);
      return [name, chooseQuantizer(statistics, bits, flags.range as RangeMethod)];
    }),
  );
  const inputScales = new Map(
    layers.map((layer) => [layer.name, activations.get(quantizerOf(graph, layer.input))!.scale]),
  );
  const float = await accuracy(compile(graph, kernels), evaluationSet);
  console.log(`${pair.name}: float ${float.toFixed(2)} %, calibrated in ${seconds} s`);
  for (const name of flags.recoveries.split(',')) {
    const recovery = createRecovery(name as Recovery['name'], { layers, calibration, inputScales, kernels });
    for (const bits of flags.bits.split(',').map(Number)) {
      const begun = performance.now();
      const made = new Map<string, QuantizedLayer>();
      for (const [i, layer] of layers.entries())
        made.set(
          layer.name,
          await recovery.quantize(layer.name, i === 0 || i === layers.length - 1 ? 8 : bits),
        );
      const took = ((performance.now() - begun) / 1000).toFixed(1);
      const executor = compile(graph, kernels, { quantization: { activations, layers: made } });
      const top1 = await accuracy(executor, evaluationSet);
      executor.dispose();
      console.log(`  ${name.padEnd(5)} ${bits} bits  ${top1.toFixed(2)} %  recovered in ${took} s`);
    }
  }
}

const kernels = await createKernels();
console.log(`${kernels.backend} ${kernels.isa}, ${kernels.threads} threads`);
for (const pair of loadPairs(flags.pairs, flags.only)) await measure(pair, kernels);
kernels.dispose();
