/**
 * Integers of 2..8 bits without gaps: least significant bit first, two's complement, straddling bytes, zero tail; the
 * same bytes as the kernels' `pack`. Eight values fill exactly `bits` bytes, so they are handled as two halves of
 * four: four bytes in one 32-bit word become 4 * bits bits in another, and back. Where the width is odd the halves
 * share a byte, half of it each.
 */

export function packedLength(count: number, bits: number): number {
  return Math.ceil((count * bits) / 8);
}

/** Index of the first value that `bits` bits cannot hold; -1 where all fit. */
export function firstOutside(q: Int8Array, bits: number): number {
  const high = 2 ** (bits - 1) - 1;
  return q.findIndex((value) => value > high || value < -high - 1);
}

function viewOf({ buffer, byteOffset, byteLength }: ArrayBufferView): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Fills `packed`, zero before and of packedLength bytes. */
export function pack(q: Int8Array, bits: number, packed: Uint8Array): void {
  if (bits === 8) {
    packed.set(q);
    return;
  }
  const [from, to] = [viewOf(q), viewOf(packed)];
  const [mask, half, odd] = [(1 << bits) - 1, bits >> 1, (bits & 1) * 4];
  const closer = 8 - bits;
  const four = (word: number): number =>
    (word & mask) |
    ((word >>> closer) & (mask << bits)) |
    ((word >>> (2 * closer)) & (mask << (2 * bits))) |
    ((word >>> (3 * closer)) & (mask << (3 * bits)));
  let i = 0;
  for (let at = 0; i + 8 <= q.length && at + half + 4 <= packed.length; i += 8, at += bits) {
    const low = four(from.getInt32(i, true));
    const shared = odd ? low >>> (8 * half) : 0;
    to.setInt32(at, low, true);
    to.setInt32(at + half, (four(from.getInt32(i + 4, true)) << odd) | shared, true);
  }
  for (; i < q.length; i++) {
    const bit = (i % 8) * bits;
    const at = ((i - (i % 8)) / 8) * bits + (bit >> 3);
    const value = (q[i] & mask) << (bit & 7);
    packed[at] |= value;
    if (value > 255) packed[at + 1] |= value >> 8;
  }
}

/** Inverse of pack. q begins at a multiple of four bytes of its buffer, as a new array does. */
export function unpack(packed: Uint8Array, bits: number, q: Int8Array): void {
  if (bits === 8) {
    q.set(packed);
    return;
  }
  const from = viewOf(packed);
  const to = new Int32Array(q.buffer, q.byteOffset, q.length >> 2);
  const [mask, half, odd] = [(1 << bits) - 1, bits >> 1, (bits & 1) * 4];
  const apart = 8 - bits;
  const [second, third, fourth] = [mask << 8, mask << 16, mask << 24];
  /** The highest bit of each value, and what it times gives the bits above it. */
  const [signs, above] = [0x01010101 << (bits - 1), (1 << (9 - bits)) - 2];
  const whole = Math.floor((packed.length - half - 4) / bits) + 1;
  const eights = Math.max(0, Math.min(q.length >> 3, whole));
  // Written out twice: a function in between is not always inlined, and this is most of opening a file.
  for (let i = 0, at = 0; i < eights; i++, at += bits) {
    const low = from.getInt32(at, true);
    const a =
      (low & mask) |
      ((low << apart) & second) |
      ((low << (2 * apart)) & third) |
      ((low << (3 * apart)) & fourth);
    to[2 * i] = a | Math.imul(a & signs, above);
    const high = from.getInt32(at + half, true) >>> odd;
    const b =
      (high & mask) |
      ((high << apart) & second) |
      ((high << (2 * apart)) & third) |
      ((high << (3 * apart)) & fourth);
    to[2 * i + 1] = b | Math.imul(b & signs, above);
  }
  const down = 32 - bits;
  for (let i = 8 * eights; i < q.length; i++) {
    const bit = (i % 8) * bits;
    const at = ((i - (i % 8)) / 8) * bits + (bit >> 3);
    const pair = packed[at] | ((packed[at + 1] ?? 0) << 8);
    q[i] = ((pair >> (bit & 7)) << down) >> down;
  }
}

/** True where the bits behind the last value are zero. */
export function hasZeroTail(packed: Uint8Array, count: number, bits: number): boolean {
  const used = ((count % 8) * bits) % 8;
  return used === 0 || packed[packed.length - 1] >> used === 0;
}
