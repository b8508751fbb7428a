import type { Graph, Tensor } from '../graph/graph.ts';
import { exp, log } from '../kernels/math.ts';

/** How a network's output is compared: as logits or probabilities of classes, or as numbers. */
export type OutputKind = 'logits' | 'probabilities' | 'numbers';

/** Probabilities below this are taken as this, so that a divergence stays finite. */
const LEAST_PROBABILITY = 1e-12;

/** [N, classes] outputs are classes (probabilities where a Softmax makes them), all others numbers. */
export function outputKinds(graph: Graph): Map<string, OutputKind> {
  return new Map(
    graph.outputs.map(({ name, shape }) => {
      if (shape.length !== 2 || shape[1] === 1) return [name, 'numbers'];
      const softmax = graph.nodes.some(({ op, outputs }) => op === 'Softmax' && outputs.includes(name));
      return [name, softmax ? 'probabilities' : 'logits'];
    }),
  );
}

/**
 * How far a network's outputs went from the float network's, over any number of batches. `mean` is the mean KL in
 * nats of each sample's classes, float against candidate; for numbers the squared error relative to the float
 * output's power. Several outputs add up.
 */
export class OutputDivergence {
  readonly #kinds: ReadonlyMap<string, OutputKind>;
  readonly #divergence = new Map<string, number>();
  readonly #weight = new Map<string, number>();

  constructor(kinds: ReadonlyMap<string, OutputKind>) {
    this.#kinds = kinds;
  }

  add(reference: ReadonlyMap<string, Tensor>, candidate: ReadonlyMap<string, Tensor>): void {
    for (const [name, kind] of this.#kinds) {
      const [wanted, got] = [reference.get(name)!, candidate.get(name)!];
      const [a, b] = [wanted.data as Float32Array, got.data as Float32Array];
      const [divergence, weight] =
        kind === 'numbers' ? relativeError(a, b) : classDivergence(a, b, wanted.shape[1], kind);
      this.#divergence.set(name, (this.#divergence.get(name) ?? 0) + divergence);
      this.#weight.set(name, (this.#weight.get(name) ?? 0) + weight);
    }
  }

  /** Per output, what was summed so far: two numbers each. */
  get sums(): number[] {
    return [...this.#kinds.keys()].flatMap((name) => [
      this.#divergence.get(name) ?? 0,
      this.#weight.get(name) ?? 0,
    ]);
  }

  /** Goes on from the sums of an earlier one of the same outputs. */
  restore(sums: ArrayLike<number>): void {
    for (const [i, name] of [...this.#kinds.keys()].entries()) {
      this.#divergence.set(name, sums[2 * i]);
      this.#weight.set(name, sums[2 * i + 1]);
    }
  }

  get mean(): number {
    let sum = 0;
    for (const [name, divergence] of this.#divergence) sum += ratio(divergence, this.#weight.get(name)!);
    return sum;
  }
}

const ratio = (part: number, whole: number) =>
  whole > 0 ? part / whole : part > 0 ? Number.POSITIVE_INFINITY : 0;

function relativeError(reference: Float32Array, candidate: Float32Array): [number, number] {
  let [error, power] = [0, 0];
  for (let i = 0; i < reference.length; i++) {
    const difference = candidate[i] - reference[i];
    error += difference * difference;
    power += reference[i] * reference[i];
  }
  return [error, power];
}

/** Sum of KL over samples, and their number. */
function classDivergence(
  reference: Float32Array,
  candidate: Float32Array,
  classes: number,
  kind: OutputKind,
): [number, number] {
  const logarithms = kind === 'logits' ? logSoftmax : logProbabilities;
  const [p, q] = [new Float64Array(classes), new Float64Array(classes)];
  const samples = reference.length / classes;
  let sum = 0;
  for (let sample = 0; sample < samples; sample++) {
    const [from, to] = [sample * classes, (sample + 1) * classes];
    logarithms(reference.subarray(from, to), p);
    logarithms(candidate.subarray(from, to), q);
    for (let i = 0; i < classes; i++) sum += exp(p[i]) * (p[i] - q[i]);
  }
  // Rounding may leave equal distributions a hair below zero.
  return [Math.max(sum, 0), samples];
}

function logSoftmax(logits: Float32Array, out: Float64Array): void {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i]);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += exp(logits[i] - most);
  const shift = most + log(sum);
  for (let i = 0; i < logits.length; i++) out[i] = logits[i] - shift;
}

function logProbabilities(probabilities: Float32Array, out: Float64Array): void {
  for (let i = 0; i < probabilities.length; i++) out[i] = log(Math.max(probabilities[i], LEAST_PROBABILITY));
}
