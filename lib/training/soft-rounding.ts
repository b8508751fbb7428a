import { exp, log } from '../kernels/math.ts';
import { bitWidth } from '../quant/bitwidth.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { type Parameter, parameter, type WeightQuantizer } from './training.ts';

/** Each weight between two neighbouring integers, how far learned (AdaRound: Nagel et al. 2020). */
export interface SoftRounding extends WeightQuantizer {
  bits: number;
  /** Through the rectified sigmoid the share of the way from the lower integer to the upper one. */
  positions: Parameter;
  scales: Parameter;
  integers(): Int8Array;
  /** Moves on through training: 0 at its start, 1 at its end. What pulls weights to integers grows with it. */
  anneal(progress: number): void;
}

/** The sigmoid is stretched to so much beyond 0 and 1 and cut there, so that both are reached. */
const STRETCH = 1.2;
const OVERHANG = (STRETCH - 1) / 2;
/** A start no nearer to an integer than this keeps a slope. */
const MARGIN = 0.05;
/** Nothing pulls before this share of training; the exponent of the pull falls from the first to the second after it. */
const FREE = 0.2;
const EXPONENTS = [20, 2] as const;
/** The pull at the end of training relative to the mean size of the loss's slopes while nothing pulled. */
const PULL = 1;

/**
 * `start` says which integer each weight begins at, `weights` where between it and its neighbour: half way between the
 * two answers, so that a good rounding is kept unless the loss speaks against it.
 */
export function softRounding(weights: Float32Array, start: QuantizedLayer): SoftRounding {
  const { low, high } = bitWidth(start.bits);
  const scales = parameter(Float32Array.from(start.scales));
  const k = weights.length / scales.data.length;
  const scaleOf = (i: number) => scales.data[Math.floor(i / k)];
  const bases = Int8Array.from(start.q, (q, i) =>
    Math.min(Math.max(q > weights[i] / scaleOf(i) ? q - 1 : q, low), high - 1),
  );
  const positions = parameter(
    Float32Array.from(bases, (base, i) => {
      const exact = Math.min(Math.max(weights[i] / scaleOf(i) - base, 0), 1);
      const share = Math.min(Math.max((exact + start.q[i] - base) / 2, MARGIN), 1 - MARGIN);
      return -log(STRETCH / (share + OVERHANG) - 1);
    }),
  );
  const out = new Float32Array(weights.length);
  let done = 0;
  /** Sum of |slope of the loss by the share| and how many. */
  let [slopes, seen] = [0, 0];
  const sigmoid = (i: number) => 1 / (1 + exp(-positions.data[i]));
  const share = (s: number) => Math.min(Math.max(s * STRETCH - OVERHANG, 0), 1);
  return {
    bits: start.bits,
    positions,
    scales,
    anneal(progress) {
      done = progress;
    },
    integers: () => Int8Array.from(bases, (base, i) => base + (share(sigmoid(i)) >= 0.5 ? 1 : 0)),
    quantize() {
      for (let i = 0; i < out.length; i++) out[i] = (bases[i] + share(sigmoid(i))) * scaleOf(i);
      return out;
    },
    backward(gradient) {
      const pulling = Math.max(0, (done - FREE) / (1 - FREE));
      const exponent = EXPONENTS[0] + (EXPONENTS[1] - EXPONENTS[0]) * pulling;
      const damping = 1 / Math.sqrt(k * high);
      const pull = seen > 0 ? (PULL * pulling * slopes) / seen : 0;
      for (let n = 0; n < scales.data.length; n++) {
        let sum = 0;
        for (let i = n * k; i < (n + 1) * k; i++) {
          const s = sigmoid(i);
          const h = share(s);
          sum += gradient[i] * (bases[i] + h);
          if (h <= 0 || h >= 1) continue;
          const byShare = gradient[i] * scales.data[n];
          if (pulling === 0) {
            slopes += Math.abs(byShare);
            seen++;
          }
          const pulled = pull > 0 ? pull * pullOf(2 * h - 1, exponent) : 0;
          positions.gradient[i] += (byShare - pulled) * STRETCH * s * (1 - s);
        }
        scales.gradient[n] += sum * damping;
      }
    },
  };
}

/** The slope of |x|^exponent: towards the nearer integer. */
function pullOf(x: number, exponent: number): number {
  const size = Math.abs(x);
  return size === 0 ? 0 : Math.sign(x) * exponent * exp((exponent - 1) * log(size));
}
