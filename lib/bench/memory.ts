import type { Kernels, Region } from '../kernels/kernels.ts';

/** Values repeat after this many bytes; odd, so that no row of a matrix meets the same ones as the next. */
const PERIOD = 65_537 * 4;

/** Seeded bytes: xorshift32. */
function noise(bytes: Uint8Array): void {
  let state = 0x9e3779b9;
  for (let i = 0; i < bytes.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 24;
  }
}

/** Copies what stands at the beginning until the array is full. */
function repeat(view: Uint8Array, period: number): void {
  for (let filled = Math.min(period, view.length); filled < view.length; filled *= 2)
    view.copyWithin(filled, 0, Math.min(filled, view.length - filled));
}

/**
 * Regions of one machine's arena by name and size; trials of a group that name the same share it. Views are taken anew when
 * they are asked for, since a growing arena detaches the older ones.
 */
export class BenchMemory {
  readonly #kernels: Kernels;
  readonly #regions = new Map<string, Region>();

  constructor(kernels: Kernels) {
    this.#kernels = kernels;
  }

  /** Made and filled once. Throws OUT_OF_MEMORY. */
  region(name: string, byteLength: number, fill?: (region: Region) => void): Region {
    const key = `${name} ${byteLength}`;
    const found = this.#regions.get(key);
    if (found) return found;
    const region = this.#kernels.arena.allocate(byteLength);
    this.#regions.set(key, region);
    fill?.(region);
    return region;
  }

  /** Bytes of every value, shifted right (with their sign) so that `bits` are left. */
  bytes(name: string, length: number, bits = 8): Region {
    return this.region(name, length, (region) => {
      const head = region.int8(0, Math.min(PERIOD, length));
      noise(region.bytes(0, head.length));
      for (let i = 0; i < head.length; i++) head[i] >>= 8 - bits;
      repeat(region.bytes(0, length), PERIOD);
    });
  }

  /** Bell-shaped floats of about -4..4, or their positive half and zeros. */
  floats(name: string, length: number, rectified = false): Region {
    return this.region(name, 4 * length, (region) => {
      const random = new Uint8Array(PERIOD);
      noise(random);
      const head = region.float32(0, Math.min(PERIOD / 4, length));
      for (let i = 0; i < head.length; i++) {
        const sum = random[4 * i] + random[4 * i + 1] + random[4 * i + 2] + random[4 * i + 3] - 510;
        head[i] = rectified && sum < 0 ? 0 : sum / 128 + i / 2 ** 24;
      }
      repeat(region.bytes(0, 4 * length), PERIOD);
    });
  }

  release(): void {
    for (const region of this.#regions.values()) region.release();
    this.#regions.clear();
  }
}
