import { bitWidth } from './bitwidth.ts';

/** A float32 scale and an int32 bias per output channel. */
const BYTES_PER_CHANNEL = 8;

/** Bytes of n values of `bits` bits packed without gaps. */
export function packedBytes(n: number, bits: number): number {
  return Math.ceil((n * bitWidth(bits).bits) / 8);
}

/**
 * Bytes that a layer's weights take in a packed file: the dense integers, and 4 bytes of scale and 4 of bias per
 * output channel. Counted alike for our results and for every rival's.
 */
export function weightBytes(parameters: number, outChannels: number, bits: number): number {
  return packedBytes(parameters, bits) + BYTES_PER_CHANNEL * outChannels;
}
