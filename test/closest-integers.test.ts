import assert from 'node:assert/strict';
import fc from 'fast-check';
import { inverseFactor } from '../lib/recovery/cholesky.ts';
import { closestIntegers, createSearch } from '../lib/recovery/closest-integers.ts';
import { dot, multiply } from '../lib/recovery/descent.ts';
import { normal, random } from './contract/support.ts';

const keepGoing = async () => {};

interface Problem {
  w: Float64Array;
  h: Float64Array;
  u: Float64Array;
}

/** A row of k weights and the damped Gram of fewer inputs that resemble each other. */
async function problem(k: number, seed: number): Promise<Problem> {
  const next = normal(random(seed));
  const h = new Float64Array(k * k);
  for (let row = 0; row < k + 2; row++) {
    const common = 2 * next();
    const x = Float64Array.from({ length: k }, () => common + next());
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) h[i * k + j] += x[i] * x[j];
  }
  for (let i = 0; i < k; i++) h[i * k + i] += 0.1;
  const u = await inverseFactor(h, k, keepGoing);
  return { w: Float64Array.from({ length: k }, next), h, u: u! };
}

function errorOf({ w, h }: Problem, scale: number, q: ArrayLike<number>): number {
  const e = w.map((value, j) => value - q[j] * scale);
  const product = new Float64Array(w.length);
  multiply(h, w.length, e, product);
  return dot(e, product);
}

/** The least error by looking at every choice of integers. */
function exhaustive(known: Problem, scale: number, low: number, high: number): number {
  const k = known.w.length;
  const levels = high - low + 1;
  let least = Number.POSITIVE_INFINITY;
  for (let choice = 0; choice < levels ** k; choice++) {
    const q = Array.from({ length: k }, (_, j) => low + (Math.floor(choice / levels ** j) % levels));
    least = Math.min(least, errorOf(known, scale, q));
  }
  return least;
}

describe('recovery: closest integers', () => {
  it('finds what looking at every choice finds, saturating or not', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 2, max: 3 }),
        fc.double({ min: 0.05, max: 2, noNaN: true }),
        fc.nat(1000),
        async (k, bits, scale, seed) => {
          const known = await problem(k, seed);
          const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
          const q = new Int8Array(k);
          const search = createSearch(k);
          const found = closestIntegers(known.w, scale, known.u, low, high, Infinity, q, search);
          const least = exhaustive(known, scale, low, high);
          assert.ok(Math.abs(found - least) <= 1e-8 * (1 + least), `${found} but ${least}`);
          assert.ok(Math.abs(errorOf(known, scale, q) - found) <= 1e-8 * (1 + found));
        },
      ),
      { numRuns: 80 },
    );
  });

  it('leaves integers alone that it cannot better', async () => {
    const known = await problem(9, 3);
    const q = new Int8Array(9);
    const search = createSearch(9);
    const least = closestIntegers(known.w, 0.5, known.u, -4, 3, Infinity, q, search);
    const kept = Int8Array.from({ length: 9 }, (_, j) => j);
    const before = kept.slice();
    assert.equal(closestIntegers(known.w, 0.5, known.u, -4, 3, least, kept, search), least);
    assert.deepEqual(kept, before);
  });

  it('stops in time where there are too many choices, with integers that are valid', async () => {
    const k = 25;
    const known = await problem(k, 4);
    const q = new Int8Array(k);
    const search = createSearch(k);
    const error = closestIntegers(known.w, 0.01, known.u, -128, 127, Infinity, q, search);
    assert.ok(search.nodes <= 2 ** 14);
    assert.ok(Math.abs(errorOf(known, 0.01, q) - error) <= 1e-8 * (1 + error));
  });
});
