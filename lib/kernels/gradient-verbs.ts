import type { ConvShape } from './kernels.ts';

/**
 * What training adds to the verbs, under the same rules (kernels.ts). Rows of `channels` values: element i belongs to
 * channel i mod channels.
 */
export interface GradientVerbs {
  /**
   * The gradient of floatConv's weights: gradient [outChannels][taps][channels] = Σ over output positions (batch, row,
   * column) of outGradient[position][n] * x[patch of position][k]. fused. Positions are cut into runs of
   * gradientRun(shape) (math.ts); in each one float32 accumulator per weight from 0, positions ascending, padding as
   * zeros; the sums of the runs are added in order, in float32.
   */
  floatConvGradient(
    x: Float32Array,
    outGradient: Float32Array,
    shape: ConvShape,
    gradient: Float32Array,
  ): void;
  /**
   * sums [2][channels] = Σ a, then Σ a*b of every channel, float64. exact: in blocks of 1,024 rows each channel has one
   * accumulator from 0, rows ascending; the blocks are added in order.
   */
  sumChannels(a: Float32Array, b: Float32Array, channels: number, sums: Float64Array): void;
  /** out = min(max(fl(fl(x * scales[c]) + shifts[c]), low), high). exact. out may be x. */
  affineChannels(
    x: Float32Array,
    scales: Float32Array,
    shifts: Float32Array,
    low: number,
    high: number,
    out: Float32Array,
  ): void;
  /** out = fl(fl(fl(x * a[c]) + fl(y * b[c])) + shifts[c]). exact. out may be x or y. */
  combineChannels(
    x: Float32Array,
    y: Float32Array,
    a: Float32Array,
    b: Float32Array,
    shifts: Float32Array,
    out: Float32Array,
  ): void;
  /** Of clamp: out = gradient where low < y < high, else 0; y may be its input or its output. exact. out may be gradient. */
  clampGradient(y: Float32Array, gradient: Float32Array, low: number, high: number, out: Float32Array): void;
  /**
   * Of quantizing and dequantizing, with r = fl(x / scale), level = clamp(rne(r), low - zeroPoint, high - zeroPoint):
   * out = gradient where rne(r) is inside that range, else 0 (straight through), and returned is the gradient of the
   * scale (LSQ: Esser et al. 2020) Σ fl(gradient * fl(level - (inside ? r : 0))). exact: in blocks of 65,536 elements
   * summed as statistics are, the blocks added in order. out may be gradient.
   */
  quantizeGradient(
    x: Float32Array,
    gradient: Float32Array,
    scale: number,
    zeroPoint: number,
    low: number,
    high: number,
    out: Float32Array,
  ): number;
}
