import { quantizerOf } from '../engine/index.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { dequantizeWeights, leastScale } from '../quant/weights.ts';
import type { Trained } from './optimizers.ts';
import { type ActivationStep, type Parameter, parameter, type TapeOptions } from './training.ts';
import { type LearnedSteps, learnedSteps } from './weight-quantizers.ts';

/** A quantized network whose weights, biases and steps can be learned. */
export interface LearnedNetwork {
  /** For the tape of its training step; `outputs` is the caller's. */
  options: Omit<TapeOptions, 'outputs'>;
  /** What an optimizer changes. */
  trained: Trained[];
  /** Steps that learning made too small are held; to be called after each step of the optimizer. */
  hold(): void;
  /** The network as integers. */
  quantization(): Quantization;
}

/** Steps of weights and activations change by this share of themselves where weights change by the rate. */
const STEP_RATE = 1;
/** A step may not fall below this share of what it was. */
const LEAST_SHARE = 1 / 64;

/**
 * The quantized network with its integers as the start: weights begin in the middle of their steps. Activations of
 * `frozen` steps keep theirs.
 */
export function learnedNetwork(graph: Graph, { layers, activations }: Quantization): LearnedNetwork {
  const parameters = new Map<string, Parameter>();
  const trained: Trained[] = [];
  const learn = (learned: Parameter, rate: number) => {
    trained.push({ parameter: learned, rate, decay: 0 });
    return learned;
  };
  const steps = new Map<string, ActivationStep>();
  for (const [value, { scale, zeroPoint, low, high }] of activations) {
    const learned = learn(parameter(Float32Array.of(scale)), STEP_RATE * scale);
    steps.set(value, { scale: learned, zeroPoint, low, high });
  }
  const weights = new Map<string, LearnedSteps>();
  const biases = new Map<string, Parameter>();
  const network = new Map<string, Layer>();
  for (const layer of layersOf(graph)) {
    const quantized = layers.get(layer.name);
    if (!quantized) continue;
    const { q, scales, bits } = quantized;
    const bias = learn(parameter(Float32Array.from(quantized.bias)), 1);
    const biasName = layer.node.inputs[2];
    if (biasName) parameters.set(biasName, bias);
    const latent = learn(parameter(dequantizeWeights(q, scales)), 1);
    const learned = learnedSteps(latent, Float32Array.from(scales), bits);
    learn(learned.scales, STEP_RATE * mean(scales));
    weights.set(layer.name, learned);
    biases.set(layer.name, bias);
    network.set(layer.name, layer);
  }
  const least = new Map(
    [...activations].map(([value, { scale }]) => [value, Math.fround(scale * LEAST_SHARE)]),
  );
  return {
    options: { parameters, activations: steps, weights },
    trained,
    hold() {
      for (const [value, { scale }] of steps) scale.data[0] = Math.max(scale.data[0], least.get(value)!);
    },
    quantization() {
      const quantizers = new Map<string, Quantizer>(
        [...activations].map(([value, quantizer]) => [
          value,
          { ...quantizer, scale: steps.get(value)!.scale.data[0] },
        ]),
      );
      const integers = new Map(
        [...weights].map(([name, learned]) => {
          const layer = network.get(name)!;
          const inputScale = quantizers.get(quantizerOf(graph, layer.input)!)!.scale;
          return [name, integersOf(learned, biases.get(name)!.data, inputScale)] as const;
        }),
      );
      return { activations: quantizers, layers: integers };
    },
  };
}

function integersOf(learned: LearnedSteps, bias: Float32Array, inputScale: number): QuantizedLayer {
  const { scales } = learned;
  scales.data.forEach((scale, n) => {
    scales.data[n] = Math.max(scale, leastScale(bias[n], inputScale));
  });
  return {
    bits: learned.bits,
    q: learned.integers(),
    scales: Float32Array.from(scales.data),
    bias: Float32Array.from(bias),
  };
}

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
