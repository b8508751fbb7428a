export type * from './model.ts';
export { readSqnt } from './reader.ts';
export type { ReadOptions } from './sections.ts';
export { writeSqnt } from './writer.ts';
