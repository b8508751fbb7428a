import type { Measurement, Problem, Widths } from '../lib/allocate/allocate.ts';
import { memoryCost } from '../lib/hardware/index.ts';

export const BITS = [2, 3, 4, 5, 6, 8];

/** A repeatable source of numbers in [0, 1) (mulberry32). */
export function randomness(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Synthetic extends Problem {
  /** Noise-free drop. */
  truth: (widths: Widths) => number;
  evaluations: () => number;
}

/**
 * A network whose loss is known: every layer adds noise that falls fourfold per bit, neighbours compound, and what is
 * measured is a drop on `samples` samples.
 */
export function synthetic(
  seed: number,
  options: Partial<Problem> & { count?: number; samples?: number } = {},
): Synthetic {
  const random = randomness(seed);
  const { count = 16, samples = 0, ...rest } = options;
  const shapes = Array.from({ length: count }, (_, index) => ({
    name: `conv${index}`,
    weights: { length: Math.round(400 * 4 ** (random() * 2 + (2 * index) / count)) },
    bias: { length: 16 },
    outChannels: 16,
    macs: 1e5,
  }));
  const strength = shapes.map(() => 0.8 * 10 ** (-1.5 * random()));
  const skew = shapes.map(() => 0.6 + 0.8 * random());
  const own = (index: number, bits: number) => strength[index] * 4 ** (2 - bits);
  const divergence = (widths: Widths) => {
    const losses = shapes.map(({ name }, index) => skew[index] * own(index, widths.get(name)!.weights));
    const pairs = losses.reduce(
      (sum, loss, i) => sum + (i > 0 ? 0.7 * Math.sqrt(loss * losses[i - 1]) : 0),
      0,
    );
    return 0.002 + losses.reduce((sum, loss) => sum + loss, 0) + pairs;
  };
  const truth = (widths: Widths) => 60 * (1 - Math.exp(-divergence(widths)));
  let evaluations = 0;
  return {
    layers: shapes.map(({ name, weights, macs }, index) => ({
      name,
      parameters: weights.length,
      macs,
      sigma: 0.5 / Math.sqrt(weights.length),
      rawSigma: null,
      bits: index === 0 || index === count - 1 ? [8] : BITS,
      activations: [8],
      weightDivergence: Object.fromEntries(BITS.map((bits) => [bits, 4 ** (2 - bits)])),
      outputDivergence: Object.fromEntries(BITS.map((bits) => [bits, own(index, bits)])),
      inputDivergence: null,
      curvatureLoss: null,
    })),
    ties: [],
    goal: 'weightBytes',
    seed: 0,
    cost: memoryCost(shapes),
    ceilings: [],
    maxDrop: null,
    evaluate: async (widths): Promise<Measurement> => {
      evaluations++;
      const exact = truth(widths);
      const drop =
        samples === 0
          ? exact
          : (Math.round((exact / 100 + 0.02 * (random() - 0.5)) * samples) / samples) * 100;
      return { drop, accuracy: 90 - drop, divergence: divergence(widths) };
    },
    budget: 40,
    buffer: { cost: 0.2, drop: 2 },
    ...rest,
    truth,
    evaluations: () => evaluations,
  };
}

export const size = (limit: number) => ({ resource: 'weightBytes', limit, text: `size=${limit}B` });
export const bytesAt = (problem: Problem, pick: (bits: readonly number[]) => number) =>
  problem.cost.cost(
    new Map(problem.layers.map(({ name, bits }) => [name, { weights: pick(bits), activations: 8 }])),
  )['weightBytes'];
export const uniformBytes = (problem: Problem, width: number) =>
  bytesAt(problem, (bits) => bits.find((own) => own >= width) ?? bits.at(-1)!);
export const minimum = (problem: Problem) => bytesAt(problem, (bits) => bits[0]);
