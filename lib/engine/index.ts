export { compile } from './compile.ts';
export type * from './engine.ts';
export { floatNodesOf } from './executions.ts';
export { outputRange } from './integer-steps.ts';
export {
  inheritsQuantizer,
  type QuantizedValue,
  quantizedValues,
  quantizerOf,
} from './quantized-values.ts';
