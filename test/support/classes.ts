import { type FileModel, type FileNode, type FileTensor, writeModel } from '../../lib/onnx/index.ts';
import { CLASSES, imageBytes, random, SAMPLE, weights, writeImages } from './network.ts';

/** What networks below take. */
export const CENTRED = { scale: 1 / 128, mean: 1 };
const AREA = SAMPLE[1] * SAMPLE[2];
/** Share of an image that is its class's colour; the rest is noise. */
const TINT = 0.3;

/** Noise with the colour of its class, the classes in turn. */
export function writeClasses(
  path: string,
  samples: number,
  seed: number,
  labels: readonly number[] | null = Array.from({ length: samples }, (_, i) => i % CLASSES),
): void {
  const colours = imageBytes(2, 11);
  const colourOf = (i: number) =>
    colours[(Math.floor(i / (3 * AREA)) % CLASSES) * 3 + (Math.floor(i / AREA) % 3)];
  const images = imageBytes(samples, seed).map((value, i) => (1 - TINT) * value + TINT * colourOf(i));
  writeImages(path, images, labels);
}

/** Two convolutions with batch norms, a shortcut and a classifier. */
export function normalizedModel(change: (model: FileModel) => Partial<FileModel> = () => ({})): Uint8Array {
  const next = random(5);
  const vector = (name: string, fill: number): FileTensor => ({
    name,
    tensor: { dtype: 'float32', shape: [8], data: new Float32Array(8).fill(fill) },
  });
  const norm = (name: string) => [
    vector(`${name}.scale`, 1.5),
    vector(`${name}.shift`, 0.25),
    vector(`${name}.mean`, 0.125),
    vector(`${name}.variance`, 2),
  ];
  const node = (
    op: string,
    name: string,
    inputs: readonly string[],
    attributes: FileNode['attributes'] = {},
  ): FileNode => ({ name, op, inputs, outputs: [name === 'fc' ? 'logits' : `${name}.out`], attributes });
  const conv = (name: string, input: string) =>
    node('Conv', name, [input, `${name}.w`], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  const normOf = (name: string, input: string) =>
    node('BatchNormalization', name, [
      input,
      ...['scale', 'shift', 'mean', 'variance'].map((part) => `${name}.${part}`),
    ]);
  const model: FileModel = {
    irVersion: 7,
    opset: 13,
    name: 'normalized',
    inputs: [{ name: 'image', dtype: 'float32', shape: ['batch', ...SAMPLE] }],
    outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch', CLASSES] }],
    initializers: [
      weights('conv1.w', [8, 3, 3, 3], next),
      weights('conv2.w', [8, 8, 3, 3], next),
      weights('fc.w', [8, CLASSES], next),
      weights('fc.b', [CLASSES], next),
      ...norm('norm1'),
      ...norm('norm2'),
    ],
    nodes: [
      conv('conv1', 'image'),
      normOf('norm1', 'conv1.out'),
      node('Relu', 'relu1', ['norm1.out']),
      conv('conv2', 'relu1.out'),
      normOf('norm2', 'conv2.out'),
      node('Add', 'add', ['norm2.out', 'relu1.out']),
      node('Relu', 'relu2', ['add.out']),
      node('GlobalAveragePool', 'pool', ['relu2.out']),
      node('Flatten', 'flat', ['pool.out']),
      node('Gemm', 'fc', ['flat.out', 'fc.w', 'fc.b']),
    ],
  };
  return writeModel({ ...model, ...change(model) });
}
