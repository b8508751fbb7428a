import { stat } from 'node:fs/promises';
import { type AllocationFile, parseAllocation } from '../export/allocation.ts';
import { readBytes } from './files.ts';
import { outputFiles } from './output-files.ts';

/** An output folder of `quantize`, or its allocation.json. Throws INVALID_ARGUMENT naming what is wrong. */
export async function readAllocation(path: string): Promise<{ file: string; allocation: AllocationFile }> {
  const file = (await isFolder(path)) ? outputFiles(path, false).allocation : path;
  const text = Buffer.from(await readBytes(file, 'allocation')).toString('utf8');
  return { file, allocation: parseAllocation(text) };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
