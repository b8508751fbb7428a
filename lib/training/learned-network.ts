import { quantizerOf } from '../engine/index.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import { layers as layersOf } from '../graph/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { leastScale } from '../quant/weights.ts';
import type { Trained } from './optimizers.ts';
import { type ActivationStep, type Parameter, parameter, type TapeOptions } from './training.ts';
import { type LearnedSteps, learnedSteps } from './weight-quantizers.ts';

/** A quantized network whose weights, biases and steps can be learned. */
export interface LearnedNetwork {
  /** For the tape of its training step; `outputs` is the caller's. */
  options: Omit<TapeOptions, 'outputs'>;
  /** What an optimizer changes. A rate of 1 moves weights by their layer's mean step. */
  trained: Trained[];
  /** Steps that learning made too small are held; to be called after each step of the optimizer. */
  hold(): void;
  /** The network as integers. */
  quantization(): Quantization;
}

/** Where weights move by a step, steps and biases change by this share of their size. */
const OTHERS = 1 / 20;
/** A step may not fall below this share of what it was. */
const LEAST_SHARE = 1 / 16;
export interface LearnedOptions {
  /** A value whose step stays. */
  fixed: string | null;
  /** How far from the middle of its step towards its float value a weight begins at most, in steps: 0 to 0.49. */
  offMiddle: number;
}

/** The quantized network with its integers as the start. */
export function learnedNetwork(
  graph: Graph,
  { layers, activations }: Quantization,
  { fixed, offMiddle }: LearnedOptions,
): LearnedNetwork {
  const trained: Trained[] = [];
  const learn = (data: Float32Array, rate: number): Parameter => {
    const learned = parameter(data);
    trained.push({ parameter: learned, rate, decay: 0 });
    return learned;
  };
  const steps = new Map(
    [...activations].map(([value, { scale, zeroPoint, low, high }]): [string, ActivationStep] => {
      const data = Float32Array.of(scale);
      const step = value === fixed ? parameter(data, false) : learn(data, OTHERS * scale);
      return [value, { scale: step, zeroPoint, low, high }];
    }),
  );
  const parameters = new Map<string, Parameter>();
  const weights = new Map<string, LearnedSteps>();
  const learnedLayers: { layer: Layer; learned: LearnedSteps; bias: Parameter; least: Float32Array }[] = [];
  for (const layer of layersOf(graph)) {
    const quantized = layers.get(layer.name);
    if (!quantized) continue;
    const mean = quantized.scales.reduce((sum, scale) => sum + scale, 0) / quantized.scales.length;
    const bias = learn(Float32Array.from(quantized.bias), OTHERS * rms(quantized.bias));
    if (layer.node.inputs[2]) parameters.set(layer.node.inputs[2], bias);
    const latent = learn(startOf(layer.weights, quantized, offMiddle), mean);
    const learned = learnedSteps(latent, Float32Array.from(quantized.scales), quantized.bits);
    trained.push({ parameter: learned.scales, rate: OTHERS * mean, decay: 0 });
    weights.set(layer.name, learned);
    learnedLayers.push({ layer, learned, bias, least: quantized.scales.map((scale) => scale * LEAST_SHARE) });
  }
  return {
    options: { parameters, activations: steps, weights },
    trained,
    hold() {
      for (const [value, { scale }] of steps)
        atLeast(scale.data, [activations.get(value)!.scale * LEAST_SHARE]);
      for (const { learned, least } of learnedLayers) atLeast(learned.scales.data, least);
    },
    quantization() {
      const quantizers = new Map<string, Quantizer>(
        [...activations].map(([value, quantizer]) => [
          value,
          { ...quantizer, scale: steps.get(value)!.scale.data[0] },
        ]),
      );
      const integers = learnedLayers.map(({ layer, learned, bias }): [string, QuantizedLayer] => {
        const inputScale = quantizers.get(quantizerOf(graph, layer.input)!)!.scale;
        atLeast(
          learned.scales.data,
          bias.data.map((value) => leastScale(value, inputScale)),
        );
        const { bits, scales } = learned;
        const q = learned.integers();
        return [
          layer.name,
          { bits, q, scales: Float32Array.from(scales.data), bias: Float32Array.from(bias.data) },
        ];
      });
      return { activations: quantizers, layers: new Map(integers) };
    },
  };
}

function startOf(weights: Float32Array, { q, scales }: QuantizedLayer, offMiddle: number): Float32Array {
  const k = weights.length / scales.length;
  return weights.map((weight, i) => {
    const scale = scales[Math.floor(i / k)];
    const middle = q[i] * scale;
    const most = offMiddle * scale;
    return middle + Math.min(Math.max(weight - middle, -most), most);
  });
}

function atLeast(values: Float32Array, least: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) values[i] = Math.max(values[i], least[i]);
}

/** 1 where all are 0. */
const rms = (values: Float32Array) =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length) || 1;
