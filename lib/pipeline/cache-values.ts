import type { QuantizedLayer } from '../quant/quantizer.ts';
import { pack, packedLength, unpack } from '../sqnt/packing.ts';
import type { Score } from './scoring.ts';

/** Integers as the cache keeps them: packed to their width. */
export interface PackedLayer {
  bits: number;
  count: number;
  packed: Uint8Array;
  scales: Float32Array;
  bias: Float32Array;
}

export function packLayer({ bits, q, scales, bias }: QuantizedLayer): PackedLayer {
  const packed = new Uint8Array(packedLength(q.length, bits));
  pack(q, bits, packed);
  return { bits, count: q.length, packed, scales, bias };
}

export function unpackLayer({ bits, count, packed, scales, bias }: PackedLayer): QuantizedLayer {
  const q = new Int8Array(count);
  unpack(packed, bits, q);
  return { bits, q, scales, bias };
}

/** A score per sample, a byte each where all are 0 or 1. */
export interface PackedScore extends Omit<Score, 'scores'> {
  scores: Uint8Array | Float64Array;
}

export function packScore(score: Score): PackedScore {
  const binary = score.scores.every((value) => value === 0 || value === 1);
  return binary ? { ...score, scores: Uint8Array.from(score.scores) } : { ...score };
}

export function unpackScore(score: PackedScore): Score {
  return { ...score, scores: Float64Array.from(score.scores) };
}
