/** 97.5 % point of the normal distribution. */
const Z = 1.959963984540054;

/** Scores of one network and of another on the same samples. */
export interface Paired {
  samples: number;
  /** Mean score of the float network, percent. */
  float: number;
  /** Mean score of the quantized network, percent. */
  quantized: number;
  /** float - quantized, percentage points. */
  drop: number;
  /** 95 % interval of the drop, percentage points. */
  interval: [number, number];
}

/**
 * Paired 95 % interval of the mean difference of two score lists (1 right, 0 wrong, or any number).
 *
 * Where all scores are 0 or 1 it is the adjusted Wald interval for matched pairs of Bonett and Price (2012): with b
 * pairs that only float gets right and c that only the quantized network does, pb = (b+1)/(n+2), pc = (c+1)/(n+2),
 * centre pb - pc, half width z*sqrt((pb + pc - (pb - pc)²)/(n+2)). Unlike the plain one it does not collapse to a
 * point where the networks never disagree. Other scores: mean difference ± z * standard error.
 */
export function paired(float: ArrayLike<number>, quantized: ArrayLike<number>): Paired {
  const samples = float.length;
  let sumFloat = 0;
  let sumQuantized = 0;
  let lost = 0;
  let won = 0;
  let binary = true;
  for (let i = 0; i < samples; i++) {
    const a = float[i];
    const b = quantized[i];
    sumFloat += a;
    sumQuantized += b;
    if (a > b) lost++;
    else if (b > a) won++;
    if ((a !== 0 && a !== 1) || (b !== 0 && b !== 1)) binary = false;
  }
  const drop = samples === 0 ? 0 : (100 * (sumFloat - sumQuantized)) / samples;
  const interval = binary ? matchedPairs(lost, won, samples) : meanDifference(float, quantized);
  return {
    samples,
    float: samples === 0 ? 0 : (100 * sumFloat) / samples,
    quantized: samples === 0 ? 0 : (100 * sumQuantized) / samples,
    drop,
    interval: [100 * interval[0], 100 * interval[1]],
  };
}

function matchedPairs(lost: number, won: number, samples: number): [number, number] {
  const n = samples + 2;
  const pb = (lost + 1) / n;
  const pc = (won + 1) / n;
  const half = Z * Math.sqrt((pb + pc - (pb - pc) ** 2) / n);
  return [Math.max(-1, pb - pc - half), Math.min(1, pb - pc + half)];
}

function meanDifference(float: ArrayLike<number>, quantized: ArrayLike<number>): [number, number] {
  const n = float.length;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < n; i++) {
    const d = float[i] - quantized[i];
    sum += d;
    squares += d * d;
  }
  const mean = sum / n;
  const variance = n > 1 ? Math.max(0, (squares - n * mean * mean) / (n - 1)) : 0;
  const half = Z * Math.sqrt(variance / n);
  return [mean - half, mean + half];
}
