import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { SigmaQuantError } from '../errors.ts';
import { titleOf } from './model.ts';

/** ONNX files hold at most 2 GiB (a protobuf limit); nothing larger is read into memory. */
const MODEL_BYTES_LIMIT = 2 ** 31;

const REASONS: Record<string, string> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
  ENOSPC: 'no space left on the device',
  EROFS: 'the file system is read-only',
};

/** Why a file could not be used, as words. */
export function because(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return (code && REASONS[code]) ?? code ?? String(error);
}

/** The bytes of a file. Throws INVALID_ARGUMENT with the reason, MALFORMED_MODEL above 2 GiB. */
export async function readBytes(path: string, name: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MODEL_BYTES_LIMIT)
      throw new SigmaQuantError(
        'MALFORMED_MODEL',
        `Expected at most ${MODEL_BYTES_LIMIT} bytes for ${name} but received ${size} in ${JSON.stringify(path)}.`,
      );
    const { buffer, byteOffset, length } = await readFile(path);
    // A Buffer's slice shares memory, a Uint8Array's copies: readers expect the latter.
    return new Uint8Array(buffer, byteOffset, length);
  } catch (error) {
    if (error instanceof SigmaQuantError) throw error;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable file for ${name} but received ${JSON.stringify(path)}: ${because(error)}.`,
      { cause: error },
    );
  }
}

/** File name without folder and `.onnx`. */
export function modelName(path: string): string {
  return titleOf(basename(path));
}

async function exists(path: string, name = 'out'): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a usable path for ${name} but received ${JSON.stringify(path)}: ${because(error)}.`,
      { cause: error },
    );
  }
}

/**
 * Refuses an output path that is there already; called before the long work. `force` replaces a folder that holds
 * nothing but files of `names` (an earlier output), never somebody else's files. Throws OUTPUT_EXISTS.
 */
export async function refuseExisting(
  directory: string,
  force: boolean,
  names: readonly string[],
): Promise<void> {
  if (!(await exists(directory))) return;
  const shown = JSON.stringify(directory);
  if (!force)
    throw new SigmaQuantError(
      'OUTPUT_EXISTS',
      `Expected a new path for out but received ${shown}, which exists (--force replaces it).`,
    );
  const present = (await stat(directory)).isDirectory() ? await readdir(directory) : [basename(directory)];
  const foreign = present.find((name) => !names.includes(name));
  if (foreign !== undefined)
    throw new SigmaQuantError(
      'OUTPUT_EXISTS',
      `Expected a folder that holds only an earlier output for out but received ${shown}, which has ${JSON.stringify(foreign)}.`,
    );
}

/** Refuses a file that is there already, unless `force`; called before the long work. Throws OUTPUT_EXISTS. */
export async function refuseExistingFile(path: string, name: string, force: boolean): Promise<void> {
  if (force || !(await exists(path, name))) return;
  throw new SigmaQuantError(
    'OUTPUT_EXISTS',
    `Expected a new file for ${name} but received ${JSON.stringify(path)}, which exists (--force replaces it).`,
  );
}

/** Writes a file at once: beside it first, then by rename. Throws OUTPUT_EXISTS, INVALID_ARGUMENT with the reason. */
export async function writeNewFile(
  path: string,
  name: string,
  content: string | Uint8Array,
  force: boolean,
): Promise<void> {
  const temporary = `${resolve(path)}.${suffix()}`;
  try {
    await writeFile(temporary, content);
    await refuseExistingFile(path, name, force);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof SigmaQuantError) throw error;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a writable path for ${name} but received ${JSON.stringify(path)}: ${because(error)}.`,
      { cause: error },
    );
  }
}

function suffix(): string {
  return randomBytes(6).toString('hex');
}

/**
 * Writes files (name -> content) into `directory` all at once: into a sibling folder first, then by rename, so that
 * an abort or a full disk leaves nothing half-written and an older output stays whole until the last moment. `names`
 * are those that an older output may have; those of `files` unless told otherwise.
 */
export async function writeDirectory(
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  options: { names?: readonly string[]; force: boolean; signal?: AbortSignal },
): Promise<void> {
  const target = resolve(directory);
  let temporary: string | undefined;
  try {
    await mkdir(dirname(target), { recursive: true });
    temporary = `${target}.${suffix()}`;
    await mkdir(temporary);
    for (const [name, content] of Object.entries(files)) {
      options.signal?.throwIfAborted();
      await writeFile(resolve(temporary, name), content);
    }
    options.signal?.throwIfAborted();
    await refuseExisting(directory, options.force, options.names ?? Object.keys(files));
    await replace(temporary, target);
  } catch (error) {
    if (temporary) await rm(temporary, { recursive: true, force: true });
    if (error instanceof SigmaQuantError || options.signal?.aborted) throw error;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a writable path for out but received ${JSON.stringify(directory)}: ${because(error)}.`,
      { cause: error },
    );
  }
}

/** A folder cannot be renamed over another: the older one steps aside first, and comes back should that fail. */
async function replace(temporary: string, target: string): Promise<void> {
  if (!(await exists(target))) {
    await rename(temporary, target);
    return;
  }
  const aside = `${target}.${suffix()}`;
  await rename(target, aside);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(aside, target);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}
