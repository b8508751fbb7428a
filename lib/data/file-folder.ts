import { type Folder, type FolderEntry, reason, type Source, sortedEntries, unreadable } from './source.ts';

/** What is used here of a browser's File, and of Node's. */
export interface FileLike {
  readonly name: string;
  readonly size: number;
  /** Path below the folder that was chosen, that folder's name first; empty for a single file. */
  readonly webkitRelativePath?: string;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** A file as a source: parts of it are read when they are asked for. */
export function fileSource(file: FileLike): Source {
  const { name, size } = file;
  return {
    name,
    size,
    async read(offset, length) {
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw unreadable(`Expected a readable file ${name} but could not read it (${reason(cause)}).`, cause);
      }
      if (bytes.length === length) return bytes;
      throw unreadable(
        `Expected ${length} bytes at offset ${offset} of ${name} but the file ends after ${offset + bytes.length}.`,
      );
    },
  };
}

/** Files that were chosen together as a folder: by their paths without the chosen folder, else by name. */
export function fileFolder(files: readonly FileLike[]): Folder {
  const byPath = new Map(files.map((file) => [pathOf(file), file]));
  const at = (path: string): Source => {
    const file = byPath.get(path);
    if (!file) throw unreadable(`Expected the file ${path} but it is not there.`);
    return fileSource(file);
  };
  return {
    async list(path) {
      const start = path === '' ? '' : `${path}/`;
      const entries = new Map<string, FolderEntry>();
      for (const own of byPath.keys()) {
        if (!own.startsWith(start)) continue;
        const [name, ...below] = own.slice(start.length).split('/');
        entries.set(name, { name, folder: below.length > 0 });
      }
      return sortedEntries([...entries.values()]);
    },
    open: async (path) => at(path),
    async read(path) {
      const source = at(path);
      return source.read(0, source.size);
    },
  };
}

function pathOf({ name, webkitRelativePath }: FileLike): string {
  return webkitRelativePath ? webkitRelativePath.split('/').slice(1).join('/') : name;
}
