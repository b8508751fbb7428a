import type { DigitFeature } from './device.ts';
import type { WeightDigits } from './digits.ts';

/** What costs per MAC are linear in, by the names that device files use. */
export function featuresOf(digits: WeightDigits): Record<DigitFeature, number> {
  const { bits, nonZero, digits: mean, setBits, extendedBits, toggles } = digits;
  return {
    one: 1,
    bits,
    bitPairs: Math.ceil(bits / 2),
    nonZero,
    digits: mean,
    setDigits: mean - (1 - nonZero),
    setBits,
    extendedBits,
    toggles,
  };
}

/** A sum of features, each times its cost; what a file does not name costs nothing. */
export function linear<T extends string>(
  terms: Readonly<Partial<Record<T, number>>>,
  features: Readonly<Record<T, number>>,
): number {
  let sum = 0;
  for (const name of Object.keys(terms) as T[]) sum += (terms[name] ?? 0) * features[name];
  return sum;
}
