import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { malformedAt } from './layout.ts';

/** The three sections of a file while it is written, and where each text stands in its table. */
export interface Sink {
  manifest: ByteWriter;
  weights: ByteWriter;
  constants: ByteWriter;
  indexOf(text: string): number;
}

/** The three sections of a file while it is read; weights and constants advance as the manifest names them. */
export interface Source {
  manifest: ByteReader;
  weights: ByteReader;
  constants: ByteReader;
  texts: readonly string[];
  options: ReadOptions;
}

/** Faster ways than those written here, where the caller has them. */
export interface ReadOptions {
  /** CRC-32 of zip, gzip and PNG, as an unsigned number. */
  crc32?: ((bytes: Uint8Array) => number) | undefined;
  /** Dense two's complement of 2..8 bits -> q; as `unpack` of the kernels. */
  unpack?: ((packed: Uint8Array, bits: number, q: Int8Array) => void) | undefined;
  /** Where the integers of a layer are unpacked; new memory by default. */
  room?: ((length: number) => Int8Array) | undefined;
}

export function writeText({ manifest, indexOf }: Sink, text: string): void {
  manifest.count(indexOf(text));
}

export function readText({ manifest, texts }: Source, what: string): string {
  const at = manifest.at;
  const index = manifest.count(`the index of ${what}`, Number.MAX_SAFE_INTEGER);
  if (index >= texts.length) malformedAt(at, `${what} among ${texts.length} texts`, `index ${index}`);
  return texts[index];
}
