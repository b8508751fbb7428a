import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { SigmaQuantError } from '../errors.ts';

/** The only file of the data layer that touches the disk. Everything else sees these. */
export interface Source {
  /** File name without its folder: messages and fingerprints do not depend on where it lies. */
  readonly name: string;
  readonly size: number;
  /** Exactly these bytes; a file that became shorter is DATA_UNREADABLE. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function unreadable(message: string, cause?: unknown): SigmaQuantError {
  return new SigmaQuantError('DATA_UNREADABLE', message, cause === undefined ? undefined : { cause });
}

export function mismatch(message: string): SigmaQuantError {
  return new SigmaQuantError('DATA_MISMATCH', message);
}

export async function kindOfPath(path: string): Promise<'file' | 'folder'> {
  try {
    const entry = await stat(path);
    if (entry.isDirectory()) return 'folder';
    if (entry.isFile()) return 'file';
  } catch (cause) {
    throw unreadable(
      `Expected a file or folder of samples at ${path} but could not open it (${reason(cause)}).`,
      cause,
    );
  }
  throw unreadable(`Expected a file or folder of samples at ${path} but received something else.`);
}

export async function openSource(path: string): Promise<Source> {
  const { size } = await stat(path);
  const name = basename(path);
  return {
    name,
    size,
    async read(offset, length) {
      const file = await open(path, 'r');
      try {
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) {
            throw unreadable(
              `Expected ${length} bytes at offset ${offset} of ${name} but the file ends after ${offset + done}.`,
            );
          }
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    },
  };
}

export interface FolderEntry {
  name: string;
  folder: boolean;
}

/** Entries of a folder, hidden ones left out, sorted by code unit so that every platform agrees. */
export async function listFolder(path: string): Promise<FolderEntry[]> {
  const entries = await readdir(path, { withFileTypes: true });
  const visible: FolderEntry[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const folder = entry.isSymbolicLink()
      ? (await stat(join(path, entry.name))).isDirectory()
      : entry.isDirectory();
    visible.push({ name: entry.name, folder });
  }
  return visible.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export function readWhole(path: string): Promise<Uint8Array> {
  return readFile(path);
}

/** The last part of a path, also for '.' and a trailing slash. */
export function nameOfPath(path: string): string {
  return basename(resolve(path));
}

export function joinPath(folder: string, name: string): string {
  return join(folder, name);
}

/** SHA-256 in pieces. */
export interface ContentHash {
  update(piece: string | Uint8Array): void;
  hex(): string;
}

export function contentHash(): ContentHash {
  const hash = createHash('sha256');
  return {
    update: (piece) => void hash.update(piece),
    hex: () => hash.digest('hex'),
  };
}

/** A short word for a system error: its code where it has one. */
export function reason(cause: unknown): string {
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message.split('\n')[0];
  return String(cause);
}
