import assert from 'node:assert/strict';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import { between, exactly, oracle, random, SIZES, same } from './support.ts';

/** Rounds of a whole number of tasks, so that what is done is proportional to them. */
const ROUNDS = 160;

export function limits(kernels: () => Kernels): void {
  it('peak: counts what it did, nothing where there is no limit', () => {
    const portable = ['scalar', 'typescript'].includes(kernels().isa);
    for (const bits of [2, 3, 4, 5, 6, 7, 8, 32]) {
      const once = kernels().peak(bits, ROUNDS);
      assert.equal(once > 0, !portable, `${bits} bits`);
      // Workers of WASM join once they are ready.
      const more = kernels().peak(bits, 3 * ROUNDS) / 3;
      assert.ok(more === once || more === kernels().threads * once, `${once} and ${more}`);
      assert.equal(kernels().peak(bits, 0), 0);
    }
  });

  it('read: the wrapping sum of every word', () => {
    const next = random(71);
    for (const n of [...SIZES, 100_003]) {
      const x = new Int32Array(new ArrayBuffer(4 * n + 4), 4);
      for (let i = 0; i < n; i++) x[i] = between(next, -(2 ** 31), 2 ** 31 - 1)();
      assert.equal(kernels().read(x), oracle.read(x), `n=${n}`);
    }
  });

  it('copy: every bit, past the caches too', () => {
    const next = random(72);
    for (const n of [...SIZES, 100_003])
      for (const streaming of [false, true])
        for (const offset of [4, 8, 28]) {
          const bits = Int32Array.from({ length: n }, between(next, -(2 ** 31), 2 ** 31 - 1));
          const from = new Float32Array(bits.buffer);
          const words = (to: Float32Array) => new Int32Array(to.buffer, to.byteOffset, n);
          const out = () => new Float32Array(new ArrayBuffer(4 * n + offset), offset, n);
          exactly(
            kernels(),
            () => words(out()),
            (k, to) => k.copy(from, new Float32Array(to.buffer, to.byteOffset, n), streaming),
            `n=${n}`,
          );
          const padded = new Float32Array(n + 2).fill(7);
          kernels().copy(from, padded.subarray(1, n + 1), streaming);
          same([padded[0], padded[n + 1]], [7, 7], 'neighbours');
        }
  });
}
