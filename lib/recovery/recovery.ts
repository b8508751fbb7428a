import type { QuantizedLayer } from '../quant/quantizer.ts';

/** Turns float layers into integers as well as it can. Results are cached by (layer, bits). */
export interface Recovery {
  readonly name: 'none' | 'gptq';
  /**
   * The layer's integers at this width, made with the input's scale (which bounds the weight scale from below:
   * sw >= |b| / (inputScale * 2^30)).
   */
  quantize(layer: string, bits: number): QuantizedLayer;
  /** Layers and widths made so far, and the seconds spent. */
  readonly cached: number;
}
