export type { Batch, BatchOptions, Dataset, Preprocessing } from './dataset.ts';
export { fromIterable, type IterableOptions, type IterableSample } from './iterable.ts';
export { type OpenOptions, openDataset } from './open.ts';
export { type PreprocessingInput, parsePreprocessing } from './preprocessing.ts';
export { type Halves, half } from './split.ts';
