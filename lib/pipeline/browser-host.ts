import { bitmapDecoder } from '../data/bitmap-decoder.ts';
import { type FileLike, fileFolder, fileSource } from '../data/file-folder.ts';
import { openFile, openFolder } from '../data/stores.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import { parseDevice } from '../hardware/index.ts';
import { createBrowserKernels } from '../runtime/browser-host.ts';
import type { Host } from './host.ts';

/** Of this package and put in when it is built: a page can list no folder. Names of devices -> their files' text. */
declare const PACKAGE_VERSION: string;
declare const DEVICE_FILES: Readonly<Record<string, string>>;

/**
 * Largest model: its floats, their integers at every width that is offered, and what one layer needs to be rounded
 * all stand in the memory of one page, of which WebAssembly may address 4 GiB.
 */
export const LARGEST_MODEL = 256e6;
const ONE_FILE = /\.(npz|npy|bin)$/i;

/** Files that a page was given, by the names under which options speak of them; several are a folder. */
export type GivenFiles = ReadonlyMap<string, readonly FileLike[]>;

/** A browser in which the options' names are those of `files`. */
export function browserHost(files: GivenFiles): Host {
  return {
    version: PACKAGE_VERSION,
    processor: null,
    createKernels: createBrowserKernels,
    async readModel(name) {
      const [file] = given(files, name, 'model');
      if (file.size > LARGEST_MODEL)
        throw new SigmaQuantError(
          'OUT_OF_MEMORY',
          `Expected at most ${LARGEST_MODEL / 1e6} MB for model in a browser but received ${Math.ceil(file.size / 1e6)} MB in ${JSON.stringify(name)}: quantize it with the command line, sigmaquant quantize ${name}.`,
        );
      return { name, bytes: await fileSource(file).read(0, file.size) };
    },
    async openDataset(name, options) {
      const own = given(files, name, 'samples');
      if (own.length === 1 && ONE_FILE.test(own[0].name)) return openFile(fileSource(own[0]), options);
      return openFolder(fileFolder(own), name, bitmapDecoder, options);
    },
    async loadDevice(name) {
      if (!Object.hasOwn(DEVICE_FILES, name))
        refuse(`${Object.keys(DEVICE_FILES).join(', ')} or a device's content`, 'device', name);
      return parseDevice(DEVICE_FILES[name], name);
    },
    importModule: async (name) => refuse('a function', 'metric in a browser', name),
    readText: async (name) => refuse('a function', 'metric in a browser', name),
    openOnOnnxruntime: async () => refuse('engine', 'executor in a browser', 'onnxruntime'),
    openCache: async (name) => refuse('no folder', 'cache in a browser', name),
    warn: () => {},
  };
}

function given(files: GivenFiles, name: string, what: string): readonly FileLike[] {
  const own = files.get(name) ?? [];
  return own.length > 0 ? own : refuse('a file that was given', what, name);
}
