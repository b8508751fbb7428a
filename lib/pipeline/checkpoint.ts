import { createHash } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { refuse, SigmaQuantError } from '../errors.ts';
import type { TrainingState } from '../training/index.ts';
import { because } from './files.ts';

/** First bytes of the file; the number rises whenever an older state would be misread. */
const MAGIC = 'sigmaquant training 1\n';
const LENGTH_BYTES = 4;
const CHECKSUM_BYTES = 32;
/** A header holds a digest, a step and a length per array. */
const MOST_HEADER_BYTES = 2 ** 20;

interface Header {
  /** Of everything that the training depends on. */
  digest: string;
  step: number;
  /** Elements of each array. */
  lengths: readonly number[];
}

export interface CheckpointOptions {
  /** Of everything that the training depends on; hex. */
  digest: string;
  /** Elements of each array of a state. */
  lengths: readonly number[];
  /** Told once, in one sentence, where states cannot be written any more. */
  warn: (sentence: string) => void;
  /** Writes a file; a test brings its own full disk. */
  write?: (path: string, bytes: Uint8Array) => Promise<void>;
}

/**
 * A file that keeps where training stands: the magic line, the length of a JSON header (u32), the header, the arrays
 * as little-endian float32, SHA-256 of all before. Written beside its place and renamed, so that whoever is killed
 * leaves the last whole one.
 */
export class Checkpoint {
  readonly path: string;
  readonly #options: CheckpointOptions;
  #full = false;

  constructor(path: string, options: CheckpointOptions) {
    this.path = path;
    this.#options = options;
  }

  /**
   * The state to go on from; null where there is none. Throws INVALID_ARGUMENT for a file that is no checkpoint,
   * is damaged or belongs to another training.
   */
  async read(): Promise<TrainingState | null> {
    const { digest, lengths } = this.#options;
    const expected = lengths.reduce((sum, length) => sum + 4 * length, 0);
    const bytes = await this.#bytes(expected);
    if (bytes === null) return null;
    const header = headerOf(bytes);
    if (header === null) this.#refuse('a checkpoint of a training', 'a file that is none or is damaged');
    const own = header.digest === digest && String(header.lengths) === String(lengths);
    if (!own) this.#refuse('a checkpoint of this training', 'one of another network, other data or options');
    let at = bytes.length - CHECKSUM_BYTES - expected;
    const arrays = lengths.map((length) => {
      const values = floats(bytes, at, length);
      at += 4 * length;
      return values;
    });
    return { step: header.step, arrays };
  }

  /** Never fails the training: what cannot be written is said once, and the last whole state stays. */
  async write({ step, arrays }: TrainingState): Promise<void> {
    if (this.#full) return;
    const temporary = `${resolve(this.path)}.new`;
    try {
      await (this.#options.write ?? writeThrough)(temporary, this.#format(step, arrays));
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      this.#full = true;
      this.#options.warn(
        `Expected a writable path for checkpoint but received ${JSON.stringify(this.path)}: ${because(error)}; the training goes on without writing more.`,
      );
    }
  }

  remove(): Promise<void> {
    return rm(this.path, { force: true }).catch(() => {});
  }

  async #bytes(expected: number): Promise<Uint8Array | null> {
    try {
      const status = await stat(this.path);
      const most = MAGIC.length + LENGTH_BYTES + MOST_HEADER_BYTES + expected + CHECKSUM_BYTES;
      if (!status.isFile() || status.size > most)
        this.#refuse('a checkpoint of this training', 'something larger, or no file');
      return await readFile(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      if (error instanceof SigmaQuantError) throw error;
      return refuse('a readable file', 'checkpoint', `${this.path}: ${because(error)}`);
    }
  }

  #format(step: number, arrays: TrainingState['arrays']): Uint8Array {
    const { digest } = this.#options;
    const header: Header = { digest, step, lengths: arrays.map(({ length }) => length) };
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(text.length);
    const body = Buffer.concat([Buffer.from(MAGIC), length, text, ...arrays.map(bytesOf)]);
    return Buffer.concat([body, checksum(body)]);
  }

  #refuse(expected: string, received: string): never {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected ${expected} for checkpoint but received ${JSON.stringify(this.path)}, ${received}; delete it to start anew, or give another path.`,
    );
  }
}

const checksum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

function floats(bytes: Uint8Array, at: number, length: number): Float32Array {
  return new Float32Array(new Uint8Array(bytes.subarray(at, at + 4 * length)).buffer);
}

/** Null for what is not whole: the checksum speaks before anything else is believed. */
function headerOf(bytes: Uint8Array): Header | null {
  const start = MAGIC.length + LENGTH_BYTES;
  const end = bytes.length - CHECKSUM_BYTES;
  if (end < start || Buffer.from(bytes.subarray(0, MAGIC.length)).toString('latin1') !== MAGIC) return null;
  if (!checksum(bytes.subarray(0, end)).equals(bytes.subarray(end))) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  if (length > end - start) return null;
  try {
    const header = JSON.parse(Buffer.from(bytes.subarray(start, start + length)).toString()) as Header;
    const held = header.lengths.reduce((sum, count) => sum + 4 * count, 0);
    const whole = Number.isSafeInteger(header.step) && header.step >= 0 && held === end - start - length;
    return whole ? header : null;
  } catch {
    return null;
  }
}

/** To the disk itself: a rename must not come before what it names. */
async function writeThrough(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}
