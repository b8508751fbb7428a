/** A seeded division of a labelled set: what the search may look at, and what it is judged on. */
export interface Halves {
  validation(index: number): boolean;
  judged(index: number): boolean;
}

/**
 * Every sample is in exactly one half, whatever the platform. With a known size the halves are a seeded shuffle cut
 * in the middle (an odd one is judged); without, each index falls by the parity of its hash.
 */
export function half(seed: number, size: number | null): Halves {
  if (size === null) {
    const validation = (index: number) => (hash(seed, index) & 1) === 1;
    return { validation, judged: (index) => !validation(index) };
  }
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    // 32 random bits over at most 2^26 samples: the modulo's bias is below 2^-6 of one sample's chance.
    const j = hash(seed, i) % (i + 1);
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  const isValidation = new Uint8Array(size);
  for (let i = 0; i < size >> 1; i++) isValidation[order[i]] = 1;
  return {
    validation: (index) => isValidation[index] === 1,
    judged: (index) => index < size && isValidation[index] === 0,
  };
}

/** 32 well-mixed bits of a seed and a counter (the finalizer of MurmurHash3 over both). */
export function hash(seed: number, index: number): number {
  return mix(mix((seed ^ 0x9e3779b9) | 0) + Math.imul(index, 0x9e3779b1));
}

function mix(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
