import type { Tensor } from '../graph/graph.ts';

/**
 * Where a value lives while a plan runs. Slots lie in the plan's part of the arena, or are borrowed: the
 * caller's feed or the graph's constant, which are read where they are and never written.
 */
export interface FloatSlot {
  readonly dtype: 'float32';
  readonly length: number;
  readonly borrowed: boolean;
  /** Bytes from the start of the region; set by the memory plan. */
  offset: number;
  /** Taken again from the region whenever the region moved. */
  data: Float32Array;
}

/** A quantized value. */
export interface ByteSlot {
  readonly dtype: 'uint8';
  readonly length: number;
  readonly borrowed: boolean;
  offset: number;
  data: Uint8Array;
}

export type Slot = FloatSlot | ByteSlot;

/** A value outside the arena: integers, booleans, strings, and what has no static shape. */
export interface Holder {
  readonly dtype: 'tensor';
  tensor: Tensor | null;
}

export type Stored = Slot | Holder;

const NO_FLOATS = new Float32Array(0);
const NO_BYTES = new Uint8Array(0);

export function floatSlot(length: number, borrowed = false): FloatSlot {
  return { dtype: 'float32', length, borrowed, offset: 0, data: NO_FLOATS };
}

export function byteSlot(length: number, borrowed = false): ByteSlot {
  return { dtype: 'uint8', length, borrowed, offset: 0, data: NO_BYTES };
}

export function byteLength(slot: Slot): number {
  return slot.dtype === 'float32' ? slot.length * 4 : slot.length;
}

/** Lets go of the caller's buffer. */
export function forget(stored: Stored): void {
  if (stored.dtype === 'tensor') stored.tensor = null;
  else if (stored.dtype === 'float32') stored.data = NO_FLOATS;
  else stored.data = NO_BYTES;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}
