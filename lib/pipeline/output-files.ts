import { join } from 'node:path';
import { artefactFiles, NAMES } from './artefacts.ts';
import { writeDirectory } from './files.ts';
import type { Artefacts, OutputFiles } from './result.ts';

export const OUTPUT_NAMES: readonly string[] = Object.values(NAMES);

/** `packed`: whether there is a packed file. */
export function outputFiles(directory: string, packed: boolean): OutputFiles {
  return {
    directory,
    model: join(directory, NAMES.model),
    sqnt: packed ? join(directory, NAMES.sqnt) : null,
    allocation: join(directory, NAMES.allocation),
    table: join(directory, NAMES.table),
    report: join(directory, NAMES.report),
    page: join(directory, NAMES.page),
  };
}

/** All files or none. Throws OUTPUT_EXISTS, INVALID_ARGUMENT where the path cannot be written. */
export async function writeArtefacts(
  directory: string,
  artefacts: Artefacts,
  force: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const options = { names: OUTPUT_NAMES, force, ...(signal ? { signal } : {}) };
  await writeDirectory(directory, artefactFiles(artefacts), options);
}
