export type { LayerCost } from './accelerator.ts';
export type { Part } from './activations.ts';
export {
  DEVICE_VERSION,
  type Device,
  deviceJsonSchema,
  parseDevice,
  serializeDevice,
} from './device.ts';
export { type DeviceCost, deviceCost, type LayerBreakdown } from './device-cost.ts';
export { digitsOf, gaussianDigits, type WeightDigits } from './digits.ts';
export { type CostedLayer, floatBytes, memoryCost, type Resource } from './memory.ts';
export { type CostedNetwork, costedNetwork, type DigitSource, type NetworkLayer } from './network.ts';
export { type RoundedPair, roundedPair } from './pairs.ts';
export { type Geometry, parseShape } from './shapes.ts';
export {
  deviceTargets,
  memoryTargets,
  parseTargets,
  referencesOf,
  type TargetContext,
  targetText,
} from './targets.ts';
export { type BoardOptions, boardDevice, parseTimings, type Timing } from './timings.ts';
