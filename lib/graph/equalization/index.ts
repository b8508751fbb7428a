export type { ChannelStatistics } from './channel-statistics.ts';
export { type Equalization, type EqualizeOptions, equalize, equalizedValues } from './equalize.ts';
export type { ScaleSource } from './scales.ts';
