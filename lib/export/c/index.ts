export { type CSourceOptions, cSource } from './source.ts';
export type { Packing } from './weights.ts';
