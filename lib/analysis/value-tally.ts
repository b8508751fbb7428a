import type { Kernels } from '../kernels/kernels.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { type Noise, roundingNoise } from './damage.ts';

/** Bins over the float value's range: as fine as the levels of 7 bits, so that those of 8 do not show as a comb. */
const BINS = 128;
/** Added to every bin of both histograms before the divergence, as a share of the number of values. */
const SMOOTHING = 1e-4;

/** A value for one batch, in the four ways it can be computed; of one length. */
export interface Versions {
  /** By the float network. */
  float: Float32Array;
  /** By the quantized network, dequantized. */
  quantized: Float32Array;
  /** By the float network's layer from what the quantized network feeds it. */
  own: Float32Array;
  /** As `own`, with the weights rounded plainly to their width; null where there are none. */
  rounded: Float32Array | null;
}

/** What is known of one value after any number of batches; its size does not depend on theirs. */
export class ValueTally {
  readonly #kernels: Kernels;
  readonly #quantizer: Quantizer | null;
  readonly #into = new Float64Array(6);
  #counts: { float: Float64Array; quantized: Float64Array; own: Float64Array } | null = null;
  #bins: readonly [number, number] = [0, 1];
  count = 0;
  /** Values that the output quantizer moved to its ends, and the squared error of that alone. */
  saturated = { count: 0, noise: 0 };
  /** Power of the float network's value, and noise of the quantized one against it. */
  endToEnd = { signal: 0, noise: 0 };
  own = { signal: 0, noise: 0 };
  readonly floatRange = emptyRange();
  readonly quantizedRange = emptyRange();
  readonly ownRange = emptyRange();
  readonly channels: { signal: Float64Array; noise: Float64Array; rounded: Float64Array };

  /** `channels` is the length of the last axis. */
  constructor(kernels: Kernels, channels: number, quantizer: Quantizer | null) {
    this.#kernels = kernels;
    this.#quantizer = quantizer;
    const sums = () => new Float64Array(channels);
    this.channels = { signal: sums(), noise: sums(), rounded: sums() };
  }

  add(versions: Versions): void {
    const { float, quantized, own } = versions;
    const kernels = this.#kernels;
    this.count += own.length;
    this.endToEnd.signal += this.#moments(float, this.floatRange);
    this.#moments(quantized, this.quantizedRange);
    this.own.signal += this.#moments(own, this.ownRange);
    this.endToEnd.noise += kernels.squaredError(quantized, float);
    this.own.noise += kernels.squaredError(quantized, own);
    this.#histograms(versions);
    this.#addChannels(versions);
    if (this.#quantizer) this.#addSaturated(versions, this.#quantizer);
  }

  /** KL(float ‖ quantized) in nats of the values' histograms: end to end, and on the layer's own inputs. */
  divergences(): { own: number; endToEnd: number } {
    if (!this.#counts) return { own: 0, endToEnd: 0 };
    const { float, quantized, own } = this.#counts;
    const smoothing = SMOOTHING * this.count;
    const to = (counts: Float64Array) => Math.max(0, this.#kernels.divergence(counts, quantized, smoothing));
    return { own: to(own), endToEnd: to(float) };
  }

  /** Of the whole value; of it what saturation does, against what rounding the output explains; of every channel. */
  noise(): { whole: Noise; saturation: Noise; channels: Noise[] } {
    const { signal, noise, rounded } = this.channels;
    const rounding = this.#rounding();
    const channels = Array.from(signal, (power, c) => ({
      signal: power,
      noise: noise[c],
      due: rounded[c] + rounding / signal.length,
    }));
    const due = channels.reduce((sum, channel) => sum + channel.due, 0);
    return {
      whole: { ...this.own, due },
      saturation: { signal: this.own.signal, noise: this.saturated.noise, due: rounding },
      channels,
    };
  }

  /** What rounding the output to its width explains. */
  #rounding(): number {
    return this.#quantizer
      ? this.count * roundingNoise(this.ownRange[0], this.ownRange[1], this.#quantizer)
      : 0;
  }

  /** Widens a range; returns the sum of squares. */
  #moments(x: Float32Array, range: number[]): number {
    this.#kernels.moments(x, this.#into);
    range[0] = Math.min(range[0], this.#into[0]);
    range[1] = Math.max(range[1], this.#into[1]);
    return this.#into[3];
  }

  /** Bins lie over the float value's range in the first batch; what lies outside is counted at their ends. */
  #histograms({ float, quantized, own }: Versions): void {
    if (!this.#counts) {
      const [low, high] = this.floatRange;
      const reach = Math.max(Math.abs(low) * 2 ** -10, 2 ** -60);
      this.#bins = low < high ? [low, high] : [low - reach, low + reach];
      const counts = () => new Float64Array(BINS);
      this.#counts = { float: counts(), quantized: counts(), own: counts() };
    }
    const [low, high] = this.#bins;
    this.#kernels.histogram(float, low, high, this.#counts.float);
    this.#kernels.histogram(quantized, low, high, this.#counts.quantized);
    this.#kernels.histogram(own, low, high, this.#counts.own);
  }

  /** Values that the float layer puts beyond the quantizer's range, and that stand at its end. */
  #addSaturated({ own, quantized }: Versions, { scale, zeroPoint, low, high }: Quantizer): void {
    const [least, most] = [low, high].map((level) => Math.fround((level - zeroPoint) * scale));
    // Half a step beyond the end still rounds to it.
    const [below, above] = [least - scale / 2, most + scale / 2];
    for (let i = 0; i < own.length; i++) {
      const value = own[i];
      if (value <= above && value >= below) continue;
      const end = value > above ? most : least;
      if (value > above ? quantized[i] < end : quantized[i] > end) continue;
      this.saturated.count++;
      this.saturated.noise += (value - end) * (value - end);
    }
  }

  #addChannels({ quantized, own, rounded }: Versions): void {
    const sums = this.channels;
    const width = sums.signal.length;
    for (let at = 0; at < own.length; at += width)
      for (let c = 0; c < width; c++) {
        const value = own[at + c];
        const error = quantized[at + c] - value;
        sums.signal[c] += value * value;
        sums.noise[c] += error * error;
        if (rounded === null) continue;
        const expected = rounded[at + c] - value;
        sums.rounded[c] += expected * expected;
      }
  }
}

const emptyRange = (): number[] => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
