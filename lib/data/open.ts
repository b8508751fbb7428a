import type { Dataset } from './dataset.ts';
import { diskFolder, kindOfPath, nameOfPath, openSource } from './disk.ts';
import { imageDecoder } from './image-decoder.ts';
import { type OpenOptions, openFile, openFolder } from './stores.ts';

/**
 * Opens a labelled or unlabelled set by what the path is: `.npz` or `.npy`, CIFAR's `.bin`, a folder of those, or
 * a folder of images. Throws DATA_UNREADABLE or DATA_MISMATCH with one sentence that names the file.
 */
export async function openDataset(path: string, options: OpenOptions = {}): Promise<Dataset> {
  if ((await kindOfPath(path)) === 'file') return openFile(await openSource(path), options);
  return openFolder(diskFolder(path), nameOfPath(path), imageDecoder, options);
}
