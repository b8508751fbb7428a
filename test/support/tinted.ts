import { writeFileSync } from 'node:fs';
import { imageBytes, SAMPLE, tinyModel, writeImages } from './network.ts';

/** Share of an image that is its own colour; the rest is noise. */
const TINT = 0.65;
const AREA = SAMPLE[1] * SAMPLE[2];

/** Centred: without it all images would be one class to the network below. */
export const TINTED = { scale: 1 / 128, mean: 1 };

/** The small network without biases, so that it tells images apart by their colour, and loses some at few bits. */
export function tintedModel(): Uint8Array {
  return tinyModel(({ initializers }) => ({
    initializers: initializers.map((own) =>
      own.name.endsWith('.b')
        ? { ...own, tensor: { ...own.tensor, data: new Float32Array(own.tensor.shape[0]) } }
        : own,
    ),
  }));
}

export function writeTinted(path: string, samples: number): void {
  const noise = imageBytes(samples, 3);
  const colours = imageBytes(samples, 5);
  writeImages(
    path,
    noise.map((value, i) => (1 - TINT) * value + TINT * colours[Math.floor(i / AREA) * AREA]),
    null,
  );
}

export function writeTintedNetwork(model: string, data: string, samples: number): void {
  writeFileSync(model, tintedModel());
  writeTinted(data, samples);
}
