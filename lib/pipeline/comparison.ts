import { exp, log } from '../kernels/math.ts';
import type { MetricOutput } from './metric.ts';

/** Probabilities below this count as this, or one saturated logit would make a mean infinite. */
const PROBABILITY_FLOOR = 1e-12;
/** Stands for outputs that are equal to the last bit; JSON has no Infinity. Decibels. */
const SQNR_LIMIT = 200;

/** Outputs of the float network for a batch, with what every comparison with them needs again. */
export class Compared {
  readonly outputs: MetricOutput[];
  readonly rows: number;
  readonly #classes: number | null;
  #distributions: Distribution[] | null = null;

  constructor(outputs: MetricOutput[], rows: number, classes: number | null) {
    this.outputs = outputs;
    this.rows = rows;
    this.#classes = classes;
  }

  /** Per output; null where outputs are not classes. */
  get distributions(): Distribution[] | null {
    if (this.#classes === null) return null;
    this.#distributions ??= this.outputs.map(({ data }) => distributionOf(data, this.rows));
    return this.#distributions;
  }
}

/** Softmax of rows, and its logarithms. */
interface Distribution {
  probabilities: Float64Array;
  logarithms: Float64Array;
}

function distributionOf(x: Float32Array, rows: number): Distribution {
  const columns = x.length / rows;
  const probabilities = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    softmax(x, at, probabilities.subarray(at, at + columns));
  }
  const logarithms = probabilities.map((p) => log(Math.max(p, PROBABILITY_FLOOR)));
  return { probabilities, logarithms };
}

function softmax(x: Float32Array, offset: number, into: Float64Array): void {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < into.length; i++) max = Math.max(max, x[offset + i]);
  let total = 0;
  for (let i = 0; i < into.length; i++) total += into[i] = exp(x[offset + i] - max);
  for (let i = 0; i < into.length; i++) into[i] /= total;
}

export interface Distance {
  /** Mean KL(float ‖ this) of softmax outputs in nats, or relative squared error where outputs are not classes. */
  divergence: number;
  /** Decibels over all outputs. */
  sqnr: number;
}

/** Adds up how far outputs are from the float network's. */
export function createComparison(classes: number | null) {
  let divergence = 0;
  let rows = 0;
  let power = 0;
  let noise = 0;
  return {
    add(reference: Compared, produced: readonly MetricOutput[]): void {
      reference.outputs.forEach(({ data: p }, output) => {
        const { data: q } = produced[output];
        for (let i = 0; i < p.length; i++) {
          power += p[i] * p[i];
          noise += (p[i] - q[i]) * (p[i] - q[i]);
        }
        if (classes !== null) divergence += klRows(reference.distributions![output], q, reference.rows);
      });
      rows += reference.rows;
    },
    result(): Distance {
      const relative = power > 0 ? noise / power : noise === 0 ? 0 : 1;
      return {
        divergence: classes !== null ? divergence / Math.max(1, rows) : relative,
        sqnr: noise === 0 ? SQNR_LIMIT : Math.min(SQNR_LIMIT, -10 * Math.log10(relative)),
      };
    },
  };
}

/** Σ over rows of KL(softmax p ‖ softmax q). */
function klRows({ probabilities, logarithms }: Distribution, q: Float32Array, rows: number): number {
  const columns = q.length / rows;
  const other = new Float64Array(columns);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    softmax(q, at, other);
    for (let i = 0; i < columns; i++)
      sum += probabilities[at + i] * (logarithms[at + i] - log(Math.max(other[i], PROBABILITY_FLOOR)));
  }
  return sum;
}
