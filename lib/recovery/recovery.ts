import type { QuantizedLayer } from '../quant/quantizer.ts';

/** Turns float layers into integers as well as it can. Results are cached by (layer, bits). */
export interface Recovery {
  readonly name: 'none' | 'gptq';
  /**
   * The layer's integers at this width, made with the input's scale (which bounds the weight scale from below:
   * sw >= |b| / (inputScale * 2^30)). Asynchronous because second-order rounding takes seconds on large layers:
   * it pauses often enough to be aborted within 200 ms (rejects with signal.reason, cache whole).
   */
  quantize(layer: string, bits: number, signal?: AbortSignal): Promise<QuantizedLayer>;
  /** Layers and widths made so far. */
  readonly cached: number;
}
