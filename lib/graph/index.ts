export { aliveAfter } from './alive.ts';
export { channelsLastCopy, type Origin, toChannelsLast, withOrigins } from './channels-last.ts';
export {
  type ChannelStatistics,
  type Equalization,
  type EqualizeOptions,
  equalize,
  equalizedValues,
} from './equalization/index.ts';
export type * from './graph.ts';
export { type ImportOptions, importGraph } from './import.ts';
export { layers } from './layers.ts';
export { evaluateNode, type Form, type Known, OPERATORS, unsupportedNodes } from './ops.ts';
export { tensorFromProto } from './protos.ts';
export { sizeOf } from './tensors.ts';
export { batchSymbol, dimensionAt, inferTypes, type StaticType } from './types.ts';
