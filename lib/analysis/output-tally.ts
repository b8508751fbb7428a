import type { Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { checkFinite, sqnrOf } from './damage.ts';
import type { OutputDamage } from './debug.ts';
import { OutputDivergence, type OutputKind } from './outputs.ts';

/** What is known of one network output after any number of batches. */
export class OutputTally {
  readonly #name: string;
  readonly #kind: OutputKind;
  readonly #kernels: Kernels;
  readonly #divergence: OutputDivergence;
  readonly #into = new Float64Array(6);
  #signal = 0;
  #noise = 0;
  #samples = 0;
  #agreeing = 0;
  readonly #float: [number, number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  readonly #quantized: [number, number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

  constructor(name: string, kind: OutputKind, kernels: Kernels) {
    this.#name = name;
    this.#kind = kind;
    this.#kernels = kernels;
    this.#divergence = new OutputDivergence(new Map([[name, kind]]));
  }

  /** float32 of one shape. */
  add(float: Tensor, quantized: Tensor): void {
    const [a, b] = [float.data as Float32Array, quantized.data as Float32Array];
    this.#signal += this.#moments(a, this.#float);
    this.#moments(b, this.#quantized);
    this.#noise += this.#kernels.squaredError(b, a);
    this.#divergence.add(new Map([[this.#name, float]]), new Map([[this.#name, quantized]]));
    if (this.#kind === 'numbers') return;
    const classes = float.shape[1];
    for (let at = 0; at < a.length; at += classes) {
      this.#samples++;
      if (largest(a, at, classes) === largest(b, at, classes)) this.#agreeing++;
    }
  }

  /** Throws DATA_MISMATCH where values are not finite. */
  result(): OutputDamage {
    checkFinite(this.#name, this.#float, this.#quantized);
    return {
      name: this.#name,
      sqnr: sqnrOf(this.#signal, this.#noise),
      // JSON has no Infinity: an output of zeros that another value took the place of.
      divergence: Math.min(this.#divergence.mean, Number.MAX_VALUE),
      agreement: this.#samples > 0 ? this.#agreeing / this.#samples : null,
      floatRange: this.#float,
      quantizedRange: this.#quantized,
    };
  }

  #moments(x: Float32Array, range: [number, number]): number {
    this.#kernels.moments(x, this.#into);
    range[0] = Math.min(range[0], this.#into[0]);
    range[1] = Math.max(range[1], this.#into[1]);
    return this.#into[3];
  }
}

/** The first of the largest. */
function largest(x: Float32Array, from: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (x[from + i] > x[from + best]) best = i;
  return best;
}
