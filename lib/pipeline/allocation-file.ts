import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SigmaQuantError } from '../errors.ts';
import { type AllocationFile, parseAllocation } from '../export/allocation.ts';
import { readBytes } from './files.ts';
import { type OpenedModel, sha256 } from './model.ts';
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

/** An allocation and the bytes of its exported model; both must be of this float model. Throws INVALID_ARGUMENT. */
export async function openAllocation(
  path: string,
  model: OpenedModel,
): Promise<{ allocation: AllocationFile; bytes: Uint8Array }> {
  const { file, allocation } = await readAllocation(path);
  if (allocation.model.sha256 !== model.sha256)
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected the float model ${allocation.model.name} that the allocation was made from but received another file (${model.name}).`,
    );
  if (!allocation.exported)
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      'Expected an allocation with an exported model but received none.',
    );
  const bytes = await readBytes(join(dirname(file), allocation.exported.file), 'the exported model');
  if (sha256(bytes) !== allocation.exported.sha256)
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected the exported model that the allocation names but received another ${allocation.exported.file}.`,
    );
  return { allocation, bytes };
}
