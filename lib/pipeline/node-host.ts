import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openDataset } from '../data/index.ts';
import { SigmaQuantError } from '../errors.ts';
import { createKernels } from '../kernels/index.ts';
import { CacheFolder } from './cache-folder.ts';
import { loadDevice } from './devices.ts';
import { externalReader } from './external-data.ts';
import { readBytes } from './files.ts';
import type { Host } from './host.ts';
import { openOnOnnxruntime } from './onnxruntime-model.ts';
import { toolVersion } from './version.ts';

export const nodeHost: Host = {
  get version() {
    return toolVersion();
  },
  get processor() {
    return cpus()[0]?.model ?? null;
  },
  createKernels,
  readModel: async (path) => ({
    name: basename(path),
    bytes: await readBytes(path, 'model'),
    external: externalReader(path),
  }),
  openDataset,
  loadDevice,
  async importModule(path) {
    try {
      return await import(pathToFileURL(resolve(path)).href);
    } catch (error) {
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected a module that can be imported for metric but received ${JSON.stringify(path)}: ${(error as Error).message}.`,
        { cause: error },
      );
    }
  },
  readText: (path) => readFile(path, 'utf8'),
  openOnOnnxruntime: (options) => openOnOnnxruntime(options, nodeHost),
  async openCache(path, warn) {
    const folder = new CacheFolder(path, { warn });
    await folder.check();
    return (key) => folder.entries(key);
  },
  warn: (sentence) => process.emitWarning(sentence),
};
