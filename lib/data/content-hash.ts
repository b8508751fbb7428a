/** SHA-256 in pieces. */
export interface ContentHash {
  update(piece: string | Uint8Array): void;
  /** Nothing may follow. */
  hex(): string;
}

/** Node's own is several times as fast; a digest is the same whoever computes it. */
const { createHash } = globalThis.process?.getBuiltinModule?.('crypto') ?? {};

export function contentHash(): ContentHash {
  if (!createHash) return portableHash();
  const hash = createHash('sha256');
  return {
    update: (piece) => void hash.update(piece),
    hex: () => hash.digest('hex'),
  };
}

const BLOCK = 64;
/** Bytes of the length at the end of the last block. */
const LENGTH_BYTES = 8;
const ROUNDS = 64;

/** The first 32 bits of the fractional parts of a root of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
function fractions(count: number, root: (prime: number) => number): Uint32Array {
  const words: number[] = [];
  for (let n = 2; words.length < count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (prime) words.push((root(n) % 1) * 2 ** 32);
  }
  return Uint32Array.from(words, Math.floor);
}

const CONSTANTS = fractions(ROUNDS, Math.cbrt);
const INITIAL = fractions(8, Math.sqrt);

/** In plain JavaScript, as FIPS 180-4 describes it, for where there is nothing of Node. */
export function portableHash(): ContentHash {
  const state = Int32Array.from(INITIAL);
  const words = new Int32Array(ROUNDS);
  const pending = new Uint8Array(BLOCK);
  let filled = 0;
  let length = 0;

  function block(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < 16; i++, at += 4)
      words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < ROUNDS; i++) {
      const [x, y] = [words[i - 15], words[i - 2]];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < ROUNDS; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + CONSTANTS[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }

  function update(piece: string | Uint8Array): void {
    const bytes = typeof piece === 'string' ? new TextEncoder().encode(piece) : piece;
    length += bytes.length;
    let at = 0;
    if (filled > 0) {
      at = Math.min(BLOCK - filled, bytes.length);
      pending.set(bytes.subarray(0, at), filled);
      filled += at;
      if (filled < BLOCK) return;
      block(pending, 0);
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK) block(bytes, at);
    filled = bytes.length - at;
    pending.set(bytes.subarray(at), 0);
  }

  return {
    update,
    hex() {
      const bits = length * 8;
      const padding = new Uint8Array(((2 * BLOCK - LENGTH_BYTES - 1 - filled) % BLOCK) + 1);
      padding[0] = 0x80;
      update(padding);
      const end = new DataView(new ArrayBuffer(LENGTH_BYTES));
      end.setUint32(0, Math.floor(bits / 2 ** 32));
      end.setUint32(4, bits >>> 0);
      update(new Uint8Array(end.buffer));
      return [...state].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
    },
  };
}
