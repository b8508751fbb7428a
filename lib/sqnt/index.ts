export type * from './model.ts';
export { readSqnt } from './reader.ts';
export { writeSqnt } from './writer.ts';
