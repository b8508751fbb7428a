import { refuse } from '../errors.ts';

/** What a width means for signed weights; activations of that width are unsigned, 0..levels - 1. */
export interface BitWidth {
  bits: number;
  low: number;
  high: number;
  levels: number;
  /** As reports and metadata print it. */
  name: string;
}

/** Every width there is, one row each, ascending. */
export const bitWidths: readonly BitWidth[] = [
  { bits: 2, low: -2, high: 1, levels: 4, name: 'int2' },
  { bits: 3, low: -4, high: 3, levels: 8, name: 'int3' },
  { bits: 4, low: -8, high: 7, levels: 16, name: 'int4' },
  { bits: 5, low: -16, high: 15, levels: 32, name: 'int5' },
  { bits: 6, low: -32, high: 31, levels: 64, name: 'int6' },
  { bits: 7, low: -64, high: 63, levels: 128, name: 'int7' },
  { bits: 8, low: -128, high: 127, levels: 256, name: 'int8' },
];

/** The row of a width. Throws INVALID_ARGUMENT for a width that is not offered. */
export function bitWidth(bits: number): BitWidth {
  const row = bitWidths.find((width) => width.bits === bits);
  if (row === undefined)
    refuse(`a whole number from ${bitWidths[0].bits} to ${bitWidths.at(-1)?.bits}`, 'bits', bits);
  return row;
}
