/**
 * Memory that the backend can use in place. `epoch` rises whenever older views may have been detached (WASM
 * memory that grew): take views again from their regions then.
 */
export interface Arena {
  readonly epoch: number;
  /** 64-byte aligned, zeroed. Throws OUT_OF_MEMORY. */
  allocate(byteLength: number): Region;
}

/** Memory of a backend. Offsets are in bytes, lengths in elements; by default the view reaches to the end. */
export interface Region {
  readonly byteLength: number;
  /** Unsigned bytes of it. */
  bytes(byteOffset?: number, length?: number): Uint8Array;
  /** Signed bytes of it. */
  int8(byteOffset?: number, length?: number): Int8Array;
  /** 32-bit integers of it. */
  int32(byteOffset?: number, length?: number): Int32Array;
  /** Floats of it. */
  float32(byteOffset?: number, length?: number): Float32Array;
  /** Gives the memory back; views of it must not be used any more. */
  release(): void;
}
