/** What calibration data showed of a value, per channel (axis 1 in ONNX form). */
export interface ChannelStatistics {
  min: Float64Array;
  max: Float64Array;
  mean: Float64Array;
  /** Mean of squares. */
  power: Float64Array;
}
