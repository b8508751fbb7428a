import { Inflate, inflateSync } from 'fflate';
import { reason, type Source, unreadable } from './source.ts';

/** Deflated members up to this size are inflated once and kept; larger ones are inflated again in every pass. */
const RESIDENT_BYTES = 256 * 2 ** 20;
/** Compressed bytes that one step of a streamed pass inflates. */
const INFLATE_STEP = 2 ** 18;

export interface Block {
  index: number;
  bytes: Uint8Array;
}

/** A run of bytes that is read in order, block by block, without holding it whole. */
export interface Bytes {
  readonly length: number;
  /**
   * Blocks of `size` bytes from `start`, the last may be shorter. Blocks that are not wanted are left out, and
   * are not even read where the storage allows it. A block must not be kept after the next one is asked for.
   */
  blocks(start: number, size: number, wanted: (index: number) => boolean): AsyncIterable<Block>;
}

export function storedBytes(source: Source, offset: number, length: number): Bytes {
  return {
    length,
    async *blocks(start, size, wanted) {
      for (let index = 0, at = start; at < length; index++, at += size) {
        if (!wanted(index)) continue;
        yield { index, bytes: await source.read(offset + at, Math.min(size, length - at)) };
      }
    },
  };
}

/** label names the member in messages; crc is the CRC-32 of what comes out. */
export function inflatedBytes(
  source: Source,
  label: string,
  offset: number,
  packedLength: number,
  length: number,
  crc: number,
  resident = RESIDENT_BYTES,
): Bytes {
  if (length > resident) {
    return {
      length,
      blocks: (...ask) => streamInflated(source, label, offset, packedLength, length, crc, ask),
    };
  }
  let whole: Promise<Uint8Array> | null = null;
  return {
    length,
    async *blocks(start, size, wanted) {
      whole ??= source.read(offset, packedLength).then((packed) => inflateWhole(packed, label, length, crc));
      const data = await whole;
      for (let index = 0, at = start; at < length; index++, at += size) {
        if (wanted(index)) yield { index, bytes: data.subarray(at, Math.min(at + size, length)) };
      }
    },
  };
}

function inflateWhole(packed: Uint8Array, label: string, length: number, crc: number): Uint8Array {
  let data: Uint8Array;
  try {
    data = inflateSync(packed, { out: new Uint8Array(length) });
  } catch (cause) {
    throw unreadable(`Expected deflated data in ${label} but received garbage (${reason(cause)}).`, cause);
  }
  if (data.length !== length) {
    throw unreadable(`Expected ${length} bytes from ${label} but it inflates to ${data.length}.`);
  }
  checkCrc(crc32(0, data), crc, label);
  return data;
}

/** One pass of a member that is too large to keep: at most one block and one step's output are held. */
async function* streamInflated(
  source: Source,
  label: string,
  offset: number,
  packedLength: number,
  length: number,
  crc: number,
  [start, size, wanted]: Parameters<Bytes['blocks']>,
): AsyncGenerator<Block> {
  let pieces: Uint8Array[] = [];
  const inflate = new Inflate((piece) => pieces.push(piece));
  let block = new Uint8Array(size);
  let seen = 0;
  let running = 0;
  for (let at = 0; at < packedLength; at += INFLATE_STEP) {
    const step = Math.min(INFLATE_STEP, packedLength - at);
    try {
      inflate.push(await source.read(offset + at, step), at + step >= packedLength);
    } catch (cause) {
      throw unreadable(`Expected deflated data in ${label} but received garbage (${reason(cause)}).`, cause);
    }
    for (const piece of pieces) {
      running = crc32(running, piece);
      if (seen + piece.length > length) {
        throw unreadable(`Expected ${length} bytes from ${label} but it inflates to more.`);
      }
      let from = Math.min(Math.max(0, start - seen), piece.length);
      while (from < piece.length) {
        const position = seen + from - start;
        const index = Math.floor(position / size);
        const fill = position - index * size;
        const take = Math.min(size - fill, piece.length - from);
        block.set(piece.subarray(from, from + take), fill);
        from += take;
        const end = fill + take;
        if ((end === size || start + index * size + end === length) && wanted(index)) {
          yield { index, bytes: block.subarray(0, end) };
          block = new Uint8Array(size);
        }
      }
      seen += piece.length;
    }
    pieces = [];
  }
  if (seen !== length) throw unreadable(`Expected ${length} bytes from ${label} but received ${seen}.`);
  checkCrc(running, crc, label);
}

function checkCrc(received: number, expected: number, label: string): void {
  if (received === expected) return;
  throw unreadable(
    `Expected checksum ${hex(expected)} for ${label} but received ${hex(received)}: the file is damaged.`,
  );
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let c = byte;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 as in zip; continues from an earlier result. */
export function crc32(previous: number, data: Uint8Array): number {
  let c = ~previous;
  for (let i = 0; i < data.length; i++) c = CRC_TABLE[(c ^ data[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}
