import type { Node, Tensor } from '../../lib/graph/graph.ts';
import { sizeOf } from '../../lib/graph/index.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import {
  type ActivationStep,
  adam,
  crossEntropy,
  type LearnedSteps,
  learnedSteps,
  parameter,
  sgd,
  type Trained,
  type Training,
  type TrainingSet,
  tapeOf,
  trainable,
} from '../../lib/training/index.ts';
import { random } from '../contract/support.ts';
import { floatTensor, graphOf, node } from './support.ts';

/** A small network of images in four classes, quantized with steps that are learned. */
export const BATCH = 16;
export const CLASSES = 4;
const [SIZE, CHANNELS] = [10, 8];
const WEIGHT_BITS = 4;

const conv = (input: string, weights: string, output: string, strides: number, group = 1): Node => ({
  ...node('Conv', [input, weights], {
    kernel_shape: [3, 3],
    strides: [strides, strides],
    dilations: [1, 1],
    pads: [1, 1, 1, 1],
    group,
  }),
  name: weights,
  outputs: [output],
});
const norm = (input: string, name: string, output: string): Node => ({
  name,
  op: 'BatchNormalization',
  inputs: [input, ...['scale', 'shift', 'mean', 'variance'].map((part) => `${name}.${part}`)],
  outputs: [output],
  attributes: { epsilon: 1e-5, clamp: [0, Number.POSITIVE_INFINITY] },
});

const NODES: readonly Node[] = [
  conv('x', 'w1', 'c1', 1),
  norm('c1', 'n1', 'r1'),
  conv('r1', 'w2', 'c2', 2, CHANNELS),
  norm('c2', 'n2', 'r2'),
  conv('r2', 'w3', 'c3', 1),
  norm('c3', 'n3', 'r3'),
  node('Add', ['r3', 'r2'], { clamp: [0, Number.POSITIVE_INFINITY] }, 'a'),
  node('GlobalAveragePool', ['a'], {}, 'p'),
  node('Flatten', ['p'], { axis: 1 }, 'f'),
  node('Linear', ['f', 'w4', 'b4']),
];
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  w1: [CHANNELS, 3, 3, 3],
  w2: [CHANNELS, 3, 3, 1],
  w3: [CHANNELS, 3, 3, CHANNELS],
  w4: [CLASSES, CHANNELS],
  b4: [CLASSES],
};
/** Steps of activations, unsigned of 8 bits but for the input. */
const STEPS: Readonly<Record<string, [scale: number, zeroPoint: number]>> = {
  x: [2 / 255, 128],
  r1: [0.02, 0],
  r2: [0.02, 0],
  f: [0.01, 0],
};

function constantsOf(): Map<string, Tensor> {
  const next = random(5);
  const constants = new Map<string, Tensor>();
  for (const [name, shape] of Object.entries(SHAPES)) {
    const spread = Math.sqrt(3 / (sizeOf(shape) / shape[0]));
    constants.set(
      name,
      floatTensor(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => (2 * next() - 1) * spread),
      ),
    );
  }
  for (const name of ['n1', 'n2', 'n3'])
    for (const [part, value] of [
      ['scale', 1],
      ['shift', 0],
      ['mean', 0],
      ['variance', 1],
    ] as const)
      constants.set(`${name}.${part}`, floatTensor([CHANNELS], new Float32Array(CHANNELS).fill(value)));
  return constants;
}

/** Seeded images, channels last, whose class is the brightest quarter. */
export function images(count: number): TrainingSet {
  const next = random(11);
  const shape = [SIZE, SIZE, 3];
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  const x = new Float32Array(count * sizeOf(shape));
  for (let i = 0; i < x.length; i++) {
    const [column, row] = [Math.floor(i / 3) % SIZE, Math.floor(i / (3 * SIZE)) % SIZE];
    const quarter = 2 * Number(row >= SIZE / 2) + Number(column >= SIZE / 2);
    x[i] = (2 * next() - 1) * 0.7 + (quarter === labels[Math.floor(i / sizeOf(shape))] ? 0.3 : 0);
  }
  return { x, shape, count, labels };
}

export interface Subject {
  training: Training;
  /** Everything that training changes, by name. */
  learned: ReadonlyMap<string, Float32Array>;
}

/** A fresh copy of the network with its optimizer; a step plans at most `memory` bytes where it can. */
export function subject(
  kernels: Kernels,
  optimizer: 'sgd' | 'adam',
  labels: Int32Array,
  memory?: number,
): Subject {
  const network = trainable(graphOf(NODES, { x: [BATCH, SIZE, SIZE, 3] }, constantsOf()));
  const trained: Trained[] = [...network.parameters.values()].map((one) => ({
    parameter: one,
    rate: 1,
    decay: 1e-3,
  }));
  const learned = new Map([...network.parameters].map(([name, { data }]) => [name, data]));
  const weights = new Map<string, LearnedSteps>();
  for (const { name, op, inputs } of NODES) {
    if (op !== 'Conv' && op !== 'Linear') continue;
    const latent = network.parameters.get(inputs[1])!;
    const scales = new Float32Array(SHAPES[inputs[1]][0]).fill(0.08);
    const steps = learnedSteps(latent, scales, WEIGHT_BITS);
    weights.set(name, steps);
    trained.push({ parameter: steps.scales, rate: 0.1, decay: 0 });
    learned.set(`${name}.scales`, steps.scales.data);
  }
  const activations = new Map<string, ActivationStep>();
  for (const [name, [scale, zeroPoint]] of Object.entries(STEPS)) {
    const step = parameter(Float32Array.of(scale));
    activations.set(name, { scale: step, zeroPoint, low: 0, high: 255 });
    trained.push({ parameter: step, rate: 0.001, decay: 0 });
    learned.set(`${name}.step`, step.data);
  }
  const carried = [...network.norms.values()].flatMap(({ mean, variance }) => [mean, variance]);
  const tape = tapeOf(network.graph, kernels, BATCH, {
    parameters: network.parameters,
    norms: network.norms,
    weights,
    activations,
    outputs: ['y'],
    ...(memory !== undefined && { memory }),
  });
  for (const [i, data] of carried.entries()) learned.set(`statistics ${i}`, data);
  const training: Training = {
    tape,
    trained,
    optimizer: optimizer === 'sgd' ? sgd(trained) : adam(trained),
    carried,
    input: 'x.fed',
    output: 'y',
    lossOf: (_, indices) =>
      crossEntropy(
        Int32Array.from(indices, (index) => labels[index]),
        0.1,
      ),
    hold() {
      for (const { scale } of activations.values()) scale.data[0] = Math.max(scale.data[0], 1e-4);
    },
  };
  return { training, learned };
}
