export type * from './model.ts';
export { isSqnt, readSqnt } from './reader.ts';
export { writeSqnt } from './writer.ts';
