import { SigmaQuantError } from '../errors.ts';

/** Bytes that samples are read from: a file of the disk, or one that a page was given. */
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

export interface FolderEntry {
  name: string;
  folder: boolean;
}

/** Files below one place, whose paths have '/' on every platform. */
export interface Folder {
  /** Entries of a folder below, '' for the place itself; hidden ones left out, sorted by code unit so that every platform agrees. */
  list(path: string): Promise<FolderEntry[]>;
  open(path: string): Promise<Source>;
  /** The whole file. */
  read(path: string): Promise<Uint8Array>;
}

export function sortedEntries(entries: readonly FolderEntry[]): FolderEntry[] {
  return entries
    .filter(({ name }) => !name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** A short word for a system error: its code where it has one. */
export function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { code, message } = cause as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : message.split('\n')[0]; // those of browsers are numbers
}
