import { malformedAt } from './layout.ts';

/** A varint of 8 bytes holds 2^56 - 1; whole numbers end at 2^53 - 1 anyway. */
const LARGEST_PLACE = 2 ** 49;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads one section of a file front to back. Whatever is not there, too large or not canonical throws
 * MALFORMED_MODEL naming the byte, counted from the start of the file; nothing is read beyond `end`.
 */
export class ByteReader {
  readonly end: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.end = end;
  }

  /** The byte that is read next. */
  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.end - this.#at;
  }

  /** A view of the next `length` bytes. */
  take(length: number, what: string): Uint8Array {
    const at = this.#skip(length, what);
    return this.#bytes.subarray(at, at + length);
  }

  byte(what: string, least = 0, most = 255): number {
    const at = this.#skip(1, what);
    const value = this.#bytes[at];
    if (value < least || value > most) malformedAt(at, `${what} from ${least} to ${most}`, value);
    return value;
  }

  /** A whole number of `least`..`most` in seven bits per byte, lowest first; most is at most 2^53 - 1. */
  count(what: string, most: number, least = 0): number {
    const start = this.#at;
    const first = this.#bytes[start];
    let value = first;
    // Most are of one byte.
    if (start < this.end && first < 128) this.#at++;
    else value = this.#longCount(what);
    if (value < least || value > most) malformedAt(start, `${what} from ${least} to ${most}`, value);
    return value;
  }

  #longCount(what: string): number {
    const start = this.#at;
    let value = 0;
    for (let place = 1; ; place *= 128) {
      const byte = this.byte(what);
      value += (byte & 127) * place;
      if (byte < 128) {
        if (byte === 0 && place > 1) malformedAt(start, `the shortest form of ${what}`, 'a longer one');
        break;
      }
      if (place === LARGEST_PLACE) malformedAt(start, `${what} of at most 8 bytes`, 'more');
    }
    return value;
  }

  /** How many things follow that take at least `bytes` bytes each: never more than there is room for. */
  countOf(what: string, bytes = 1): number {
    return this.count(`the number of ${what}`, Math.floor(this.left / bytes));
  }

  float32(what: string): number {
    return this.#view.getFloat32(this.#skip(4, what), true);
  }

  float64(what: string): number {
    return this.#view.getFloat64(this.#skip(8, what), true);
  }

  /** Throws unless everything was read. */
  finish(section: string): void {
    if (this.left > 0) malformedAt(this.#at, `the end of the ${section}`, `${this.left} more bytes`);
  }

  #skip(length: number, what: string): number {
    if (length > this.left) malformedAt(this.#at, `${length} bytes of ${what}`, `${this.left}`);
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

/** UTF-8 bytes that begin at `at` as text. */
export function decodeText(bytes: Uint8Array, at: number, what: string): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return malformedAt(at, `UTF-8 for ${what}`, 'other bytes');
  }
}
