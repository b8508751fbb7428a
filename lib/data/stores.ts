import { openArrays } from './arrays.ts';
import { openCifar } from './cifar.ts';
import type { Dataset, Preprocessing } from './dataset.ts';
import type { CreateDecoder } from './image.ts';
import { openImages } from './images.ts';
import { datasetOf, type SampleStore } from './samples.ts';
import { type Folder, mismatch, type Source, unreadable } from './source.ts';

/** How samples of a file or folder are read. */
export interface OpenOptions {
  preprocessing?: Preprocessing;
  /** Channels of the network's input: images are decoded to 1 or 3. Default 3. */
  channels?: number;
  /** Sample shape that the network takes, after preprocessing; null for a free dimension. */
  shape?: readonly (number | null)[];
  /** True where labels are needed: a source without them is refused. */
  labels?: boolean;
}

/** A data set in one file: `.npz`, `.npy`, or CIFAR's `.bin`. Throws DATA_UNREADABLE or DATA_MISMATCH. */
export async function openFile(source: Source, options: OpenOptions): Promise<Dataset> {
  const { preprocessing = {} } = options;
  return checkedDataset(await fileStore(source, preprocessing), options);
}

/** A folder of CIFAR's files, or of images. Throws DATA_UNREADABLE or DATA_MISMATCH. */
export async function openFolder(
  folder: Folder,
  name: string,
  createDecoder: CreateDecoder,
  options: OpenOptions,
): Promise<Dataset> {
  return checkedDataset(await folderStore(folder, name, createDecoder, options), options);
}

function checkedDataset(store: SampleStore, { preprocessing = {}, shape, labels }: OpenOptions): Dataset {
  const { name } = store;
  if (labels && !store.labelled) {
    throw mismatch(
      `Expected labels in ${name} but received none: an .npz needs a member y, a folder a labels.csv.`,
    );
  }
  if (
    shape &&
    (shape.length !== store.shape.length || shape.some((side, i) => side !== null && side !== store.shape[i]))
  ) {
    throw mismatch(
      `Expected samples of shape [${shape.map((side) => side ?? '?').join(', ')}] in ${name} but received [${store.shape.join(', ')}].`,
    );
  }
  return datasetOf(store, preprocessing);
}

async function fileStore(source: Source, preprocessing: Preprocessing): Promise<SampleStore> {
  const { name } = source;
  if (source.size === 0) throw unreadable(`Expected samples in ${name} but the file is empty.`);
  if (/\.np[yz]$/i.test(name)) return openArrays(source, preprocessing);
  if (/\.bin$/i.test(name)) return openCifar([source], name, preprocessing);
  throw unreadable(`Expected .npz, .npy, .bin or a folder for a data set but received ${name}.`);
}

async function folderStore(
  folder: Folder,
  name: string,
  createDecoder: CreateDecoder,
  { preprocessing = {}, channels = 3 }: OpenOptions,
): Promise<SampleStore> {
  const binaries = (await folder.list('')).filter((entry) => !entry.folder && /\.bin$/i.test(entry.name));
  if (binaries.length > 0) {
    // CIFAR-10's folder holds its test set too: training batches go together, never with that.
    const training = binaries.filter((entry) => /^(data_batch_\d+|train)\.bin$/i.test(entry.name));
    const chosen = training.length > 0 ? training : binaries;
    const sources = await Promise.all(chosen.map((entry) => folder.open(entry.name)));
    return openCifar(sources, name, preprocessing);
  }
  if (channels !== 1 && channels !== 3) {
    throw mismatch(
      `Expected a network input of 1 or 3 channels for the images of ${name} but it has ${channels}.`,
    );
  }
  return openImages(folder, name, preprocessing, channels, createDecoder);
}
