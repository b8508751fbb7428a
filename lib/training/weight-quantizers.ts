import { roundHalfEven } from '../kernels/math.ts';
import { bitWidth } from '../quant/bitwidth.ts';
import { type Parameter, parameter, type WeightQuantizer } from './training.ts';

/** Weights rounded to the nearest step of their output channel, both learned (LSQ: Esser et al. 2020). */
export interface LearnedSteps extends WeightQuantizer {
  bits: number;
  weights: Parameter;
  /** [outChannels], positive. */
  scales: Parameter;
  /** The integers of the present parameters. */
  integers(): Int8Array;
}

/** A step that learning made this small is held there. */
const LEAST_STEP = 2 ** -40;

/**
 * Straight through: a weight's gradient passes where it is inside the range; a step's gradient is
 * Σ g * (q - w/s inside, q outside) / sqrt(weights of the channel * highest integer).
 */
export function learnedSteps(weights: Parameter, scales: Float32Array, bits: number): LearnedSteps {
  const { low, high } = bitWidth(bits);
  const steps = parameter(scales);
  const k = weights.data.length / scales.length;
  const out = new Float32Array(weights.data.length);
  const damping = 1 / Math.sqrt(k * high);
  const level = (i: number, scale: number) =>
    Math.min(Math.max(roundHalfEven(Math.fround(weights.data[i] / scale)), low), high);
  const hold = () => {
    for (let n = 0; n < steps.data.length; n++) steps.data[n] = Math.max(steps.data[n], LEAST_STEP);
  };
  return {
    bits,
    weights,
    scales: steps,
    integers() {
      hold();
      return Int8Array.from(weights.data, (_, i) => level(i, steps.data[Math.floor(i / k)]));
    },
    quantize() {
      hold();
      for (let n = 0; n < steps.data.length; n++) {
        const scale = steps.data[n];
        for (let i = n * k; i < (n + 1) * k; i++) out[i] = level(i, scale) * scale;
      }
      return out;
    },
    backward(gradient) {
      for (let n = 0; n < steps.data.length; n++) {
        const scale = steps.data[n];
        let sum = 0;
        for (let i = n * k; i < (n + 1) * k; i++) {
          const r = Math.fround(weights.data[i] / scale);
          const rounded = roundHalfEven(r);
          if (rounded < low) sum += gradient[i] * low;
          else if (rounded > high) sum += gradient[i] * high;
          else {
            sum += gradient[i] * (rounded - r);
            weights.gradient[i] += gradient[i];
          }
        }
        steps.gradient[n] += sum * damping;
      }
    },
  };
}
