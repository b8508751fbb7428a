import { hash } from '../data/split.ts';
import { layers as layersOf } from '../graph/index.ts';
import { log } from '../kernels/math.ts';
import type { TrainableNetwork } from './network.ts';

const TWO_32 = 2 ** 32;

/**
 * Gives a network the weights that training from scratch starts with, in place: weights of layers normal with mean 0
 * and variance 2 / inputs (He et al. 2015), biases 0; normalizations scale by 1 and shift by 0, with running mean 0
 * and variance 1. The same bits for a seed on every platform.
 */
export function initialize({ graph, parameters, norms }: TrainableNetwork, seed: number): void {
  const valuesOf = (name: string | undefined) => (name ? parameters.get(name)?.data : undefined);
  for (const [index, { node, taps, channels }] of layersOf(graph).entries()) {
    const weights = valuesOf(node.inputs[1])!;
    const next = normals(hash(seed, index));
    const deviation = Math.sqrt(2 / (taps * channels));
    for (let i = 0; i < weights.length; i++) weights[i] = deviation * next();
    valuesOf(node.inputs[2])?.fill(0);
  }
  for (const { op, name, inputs } of graph.nodes) {
    if (op !== 'BatchNormalization') continue;
    valuesOf(inputs[1])?.fill(1);
    valuesOf(inputs[2])?.fill(0);
    norms.get(name)?.mean.fill(0);
    norms.get(name)?.variance.fill(1);
  }
}

/** Standard normal numbers by Marsaglia's polar method (1964), which needs no sine. */
export function normals(seed: number): () => number {
  let counter = 0;
  let kept: number | null = null;
  const uniform = () => (2 * hash(seed, counter++) + 1) / TWO_32 - 1;
  return () => {
    if (kept !== null) {
      const value = kept;
      kept = null;
      return value;
    }
    for (;;) {
      const [u, v] = [uniform(), uniform()];
      const square = u * u + v * v;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * log(square)) / square);
      kept = v * factor;
      return u * factor;
    }
  };
}

/** Whether a constant of the graph is the weights of a layer, which alone decay. */
export function layerWeights({ graph }: TrainableNetwork): ReadonlySet<string> {
  return new Set(layersOf(graph).map(({ node }) => node.inputs[1]));
}
