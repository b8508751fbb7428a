import { writeFileSync } from 'node:fs';
import { zipSync } from 'fflate';
import { type FileModel, type FileNode, type FileTensor, writeModel } from '../../lib/onnx/index.ts';

/** Small ONNX files and data sets for tests of everything that starts from files. */

/** A seeded stream of numbers in [-1, 1): the same on every machine. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

export function weights(name: string, shape: readonly number[], next: () => number): FileTensor {
  const length = shape.reduce((product, size) => product * size, 1);
  const spread = Math.sqrt(3 / (length / shape[0]));
  const data = Float32Array.from({ length }, () => next() * spread);
  return { name, tensor: { dtype: 'float32', shape, data } };
}

export const CLASSES = 4;
export const SAMPLE: readonly number[] = [3, 8, 8];

/** Four convolutions with a shortcut, a pool and a classifier: 5 layers, every one quantizable. */
export function tinyModel(change: (model: FileModel) => Partial<FileModel> = () => ({})): Uint8Array {
  const next = random(7);
  const conv = (
    name: string,
    input: string,
    output: string,
    attributes: Record<string, unknown> = {},
  ): FileNode => ({
    name,
    op: 'Conv',
    inputs: [input, `${name}.w`, `${name}.b`],
    outputs: [output],
    attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], ...attributes },
  });
  const simple = (
    op: string,
    inputs: string[],
    output: string,
    attributes: Record<string, unknown> = {},
  ): FileNode => ({
    name: output,
    op,
    inputs,
    outputs: [output],
    attributes,
  });
  const model: FileModel = {
    irVersion: 7,
    opset: 13,
    name: 'tiny',
    inputs: [{ name: 'image', dtype: 'float32', shape: ['batch', ...SAMPLE] }],
    outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch', CLASSES] }],
    initializers: [
      weights('conv1.w', [8, 3, 3, 3], next),
      weights('conv1.b', [8], next),
      weights('conv2.w', [8, 8, 3, 3], next),
      weights('conv2.b', [8], next),
      weights('conv3.w', [8, 1, 3, 3], next),
      weights('conv3.b', [8], next),
      weights('conv4.w', [16, 8, 3, 3], next),
      weights('conv4.b', [16], next),
      weights('fc.w', [CLASSES, 16], next),
      weights('fc.b', [CLASSES], next),
    ],
    nodes: [
      conv('conv1', 'image', 'a'),
      simple('Relu', ['a'], 'b'),
      conv('conv2', 'b', 'c'),
      simple('Add', ['c', 'b'], 'd'),
      simple('Relu', ['d'], 'e'),
      conv('conv3', 'e', 'f', { group: 8 }),
      simple('MaxPool', ['f'], 'g', { kernel_shape: [2, 2], strides: [2, 2] }),
      conv('conv4', 'g', 'h', { strides: [2, 2] }),
      simple('Relu', ['h'], 'i'),
      simple('GlobalAveragePool', ['i'], 'j'),
      simple('Flatten', ['j'], 'k'),
      {
        name: 'fc',
        op: 'Gemm',
        inputs: ['k', 'fc.w', 'fc.b'],
        outputs: ['logits'],
        attributes: { transB: 1 },
      },
    ],
  };
  return writeModel({ ...model, ...change(model) });
}

const DESCRIPTIONS: Record<string, string> = {
  Uint8Array: '|u1',
  Int32Array: '<i4',
  BigInt64Array: '<i8',
  Float32Array: '<f4',
  Float64Array: '<f8',
};

export function npy(data: ArrayBufferView, shape: readonly number[]): Uint8Array {
  const descr = DESCRIPTIONS[data.constructor.name];
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + data.byteLength);
  bytes.set([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return bytes;
}

/** Images of uniform noise; `label` gives the class of each (none without it). */
export function imageBytes(count: number, seed: number): Uint8Array {
  const next = random(seed);
  return Uint8Array.from({ length: count * SAMPLE.reduce((a, b) => a * b) }, () => 128 + 127 * next());
}

export function writeImages(path: string, images: Uint8Array, labels: readonly number[] | null): void {
  const count = images.length / SAMPLE.reduce((a, b) => a * b);
  writeArrays(path, {
    x: npy(images, [count, ...SAMPLE]),
    ...(labels ? { y: npy(BigInt64Array.from(labels, BigInt), [labels.length]) } : {}),
  });
}

/** `.npz` of ready `.npy` members. */
export function writeArrays(path: string, members: Record<string, Uint8Array>): void {
  const files = Object.fromEntries(Object.entries(members).map(([name, bytes]) => [`${name}.npy`, bytes]));
  writeFileSync(path, zipSync(files, { level: 0 }));
}
