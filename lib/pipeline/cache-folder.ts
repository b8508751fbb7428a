import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { refuse } from '../errors.ts';
import { type CacheEntries, digestOf } from './cache-entries.ts';
import { because } from './files.ts';

/** Raised whenever an entry of an older layout, or values made by older arithmetic, would be misread. */
const LAYOUT = 'sigmaquant cache 1';
/** Hex digits of a key in the name of its folder; the checksum covers all of them. */
const FOLDER_DIGITS = 32;
const CHECKSUM_BYTES = 32;
const TEMPORARY = '.tmp';
/** Milliseconds after which a temporary file is what a killed run left behind. */
const ABANDONED_AFTER = 3_600_000;

export interface CacheFolderOptions {
  /** Told once, in one sentence, where entries cannot be written any more. */
  warn: (sentence: string) => void;
  /** Writes a file; a test brings its own full disk. */
  write?: (path: string, bytes: Uint8Array) => Promise<void>;
}

/**
 * A folder of checksummed entries, a folder per key. Each is written beside its place and renamed, so that it is whole
 * or not there, whoever is killed and however many runs share the folder. Nothing here fails the run: what cannot be
 * read is not there, and what cannot be written is said once and then given up.
 */
export class CacheFolder {
  readonly #path: string;
  readonly #warn: (sentence: string) => void;
  readonly #write: (path: string, bytes: Uint8Array) => Promise<void>;
  #full = false;

  constructor(path: string, { warn, write = writeFile }: CacheFolderOptions) {
    this.#path = path;
    this.#warn = warn;
    this.#write = write;
  }

  /** Throws INVALID_ARGUMENT where the path is a file: nobody meant that. */
  async check(): Promise<void> {
    const there = await stat(this.#path).catch(() => null);
    if (there && !there.isDirectory()) refuse('a folder', 'cache', this.#path);
  }

  /** `key`: what the values depend on, as plain data. */
  async entries(key: unknown): Promise<CacheEntries> {
    const digest = digestOf([LAYOUT, key]);
    const folder = join(this.#path, digest.slice(0, FOLDER_DIGITS));
    await removeAbandoned(folder);
    return {
      read: async <T>(name: string) =>
        parse<T>(await readFile(join(folder, name)).catch(() => null), digest, name),
      write: async (name, value) => {
        if (this.#full) return;
        const path = join(folder, name);
        const temporary = `${path}.${randomBytes(6).toString('hex')}${TEMPORARY}`;
        try {
          await mkdir(folder, { recursive: true });
          await this.#write(temporary, format(value, digest, name));
          await rename(temporary, path);
        } catch (error) {
          await rm(temporary, { force: true }).catch(() => {});
          // Another run may hold the same entry open, which some systems do not let be replaced: nothing is lost.
          if (parse(await readFile(path).catch(() => null), digest, name) === null) this.#stop(error);
        }
      },
      remove: (name) => rm(join(folder, name), { force: true }).catch(() => {}),
    };
  }

  #stop(error: unknown): void {
    if (this.#full) return;
    this.#full = true;
    this.#warn(
      `Expected a writable folder for cache but received ${JSON.stringify(this.#path)}: ${because(error)}; the run goes on without keeping more.`,
    );
  }
}

function format(value: unknown, digest: string, name: string): Uint8Array {
  const payload = serialize(value);
  return Buffer.concat([checksum(payload, digest, name), payload]);
}

function parse<T>(bytes: Buffer | null, digest: string, name: string): T | null {
  if (bytes === null || bytes.length <= CHECKSUM_BYTES) return null;
  const payload = bytes.subarray(CHECKSUM_BYTES);
  if (!checksum(payload, digest, name).equals(bytes.subarray(0, CHECKSUM_BYTES))) return null;
  return deserialize(payload) as T;
}

/** Of the entry's place too: one that was moved or copied elsewhere is not trusted there. */
function checksum(payload: Uint8Array, digest: string, name: string): Buffer {
  return createHash('sha256').update(`${digest}/${name}\n`).update(payload).digest();
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(TEMPORARY)) continue;
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > ABANDONED_AFTER) await rm(path, { force: true }).catch(() => {});
  }
}
