/** The verbs of lib/kernels/kernels.ts over raw pointers; 0 is null. lib/kernels/wasm.ts is the only caller. */
export { add, clamp, lookup, quantizedAdd } from './elementwise';
export { floatConv, floatScratch, floatWeightsSize, packFloatWeights } from './float';
export {
  addRuns,
  affineChannels,
  clampGradient,
  combineChannels,
  gradientRuns,
  gradientScratch,
  quantizeGradient,
  sumChannels,
} from './gradients';
export { gram, gramScratch } from './gram';
export { roundWithHessian } from './hessian';
export { conv, integerScratch } from './integer';
export { ownSize, useOwn } from './own';
export { copyWords, peak, peakProducts, readWords } from './peak';
export { averagePool, maxPool, quantizedGlobalAverage, quantizedMaxPool } from './pool';
export { dequantize, dequantizeChannels, pack, quantize, quantizeChannels, unpack } from './quantize';
export { divergence, histogram, histogramScratch, moments, quantizeError, squaredError } from './statistics';
export { packScratch, packWeights, weightsSize } from './weights';

/** Where the caller's memory begins, after the module's own. */
export function memoryStart(): usize {
  return __heap_base;
}
