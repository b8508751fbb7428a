export type { Batch, BatchOptions, Dataset, Preprocessing } from './dataset.ts';
export { fromIterable, type IterableOptions, type IterableSample } from './iterable.ts';
export { openDataset } from './open.ts';
export { type PreprocessingInput, parsePreprocessing } from './preprocessing.ts';
export { type Halves, half } from './split.ts';
export type { OpenOptions } from './stores.ts';
