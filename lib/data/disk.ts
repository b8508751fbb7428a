import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Folder, type FolderEntry, reason, type Source, sortedEntries, unreadable } from './source.ts';

/** The only file of the data layer that touches the disk. Everything else sees a Source or a Folder. */
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

export function diskFolder(folder: string): Folder {
  return {
    list: (path) => listFolder(join(folder, path)),
    open: (path) => openSource(join(folder, path)),
    read: (path) => readFile(join(folder, path)),
  };
}

async function listFolder(path: string): Promise<FolderEntry[]> {
  const entries: FolderEntry[] = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const hidden = entry.name.startsWith('.');
    const folder =
      entry.isSymbolicLink() && !hidden
        ? (await stat(join(path, entry.name))).isDirectory()
        : entry.isDirectory();
    entries.push({ name: entry.name, folder });
  }
  return sortedEntries(entries);
}

/** The last part of a path, also for '.' and a trailing slash. */
export function nameOfPath(path: string): string {
  return basename(resolve(path));
}
