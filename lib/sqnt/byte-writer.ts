import { refuse } from '../errors.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Collects one section of a file: the other half of ByteReader. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view of what was written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The next `length` bytes, zero, for the caller to fill before anything else is written. */
  room(length: number): Uint8Array {
    const end = this.#length + length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    const room = this.#bytes.subarray(this.#length, end);
    this.#length = end;
    return room;
  }

  byte(value: number): void {
    this.room(1)[0] = value;
  }

  write(bytes: Uint8Array): void {
    this.room(bytes.length).set(bytes);
  }

  /** A whole number below 2^53. */
  count(value: number): void {
    while (value >= 128) {
      this.byte((value % 128) + 128);
      value = Math.floor(value / 128);
    }
    this.byte(value);
  }

  float32(value: number): void {
    this.write(new Uint8Array(Float32Array.of(value).buffer));
  }

  float64(value: number): void {
    this.write(new Uint8Array(Float64Array.of(value).buffer));
  }
}

/** The bytes of any array of numbers, in the machine's order, which is little-endian wherever this runs. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** UTF-8. Throws INVALID_ARGUMENT for half a surrogate pair, which has none. */
export function encodeText(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  if (decoder.decode(bytes) !== text) refuse('well-formed Unicode', 'a name', text);
  return bytes;
}
