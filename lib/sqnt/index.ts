export type * from './model.ts';
export { isSqnt, readSqnt } from './reader.ts';
export type { ReadOptions } from './sections.ts';
export { writeSqnt } from './writer.ts';
