/**
 * How an activation is quantized: q = clamp(rne(fl(x / scale)) + zeroPoint, low, high), stored as uint8.
 * low = 0 and high = 2^bits - 1; a tensor that is never negative has zeroPoint 0.
 */
export interface Quantizer {
  bits: number;
  scale: number;
  zeroPoint: number;
  low: number;
  high: number;
}

/** A layer's weights in integers, symmetric and per output channel. */
export interface QuantizedLayer {
  bits: number;
  /** [outChannels][taps][channels], within [-2^(bits-1), 2^(bits-1)-1]. Perhaps made anew each time it is read. */
  readonly q: Int8Array;
  /** [outChannels], positive, never below |bias| / (inputScale * 2^30). */
  scales: Float32Array;
  /** Float bias after correction, [outChannels]; the integer bias is rne(bias / fl(inputScale * scale)). */
  bias: Float32Array;
}

/** Everything that turns a float graph into a quantized one: by value name and by layer name. */
export interface Quantization {
  activations: ReadonlyMap<string, Quantizer>;
  layers: ReadonlyMap<string, QuantizedLayer>;
}
