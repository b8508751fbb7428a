/**
 * Units that device files may use, by what they measure, each as a multiple of `base`, the unit that costs are
 * computed in. `most` is the largest value that is believed, in `base`: a thousand times what is built today, so that
 * a slip of the unit is caught and nothing real is.
 */
export const MEASURES = {
  clock: { units: { Hz: 1, kHz: 1e3, MHz: 1e6, GHz: 1e9 }, most: 1e12, base: 'Hz' },
  cycles: { units: { 'cycle/MAC': 1 }, most: 1024, base: 'cycle/MAC' },
  'energy per MAC': {
    units: { 'fJ/MAC': 1e-15, 'pJ/MAC': 1e-12, 'nJ/MAC': 1e-9 },
    most: 1e-6,
    base: 'J/MAC',
  },
  'energy per byte': {
    units: { 'pJ/byte': 1e-12, 'nJ/byte': 1e-9, 'pJ/bit': 8e-12 },
    most: 1e-6,
    base: 'J/byte',
  },
  area: { units: { um2: 1e-6, mm2: 1 }, most: 1e4, base: 'mm2' },
  capacity: {
    units: { byte: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
    most: 2 ** 50,
    base: 'byte',
  },
  bandwidth: { units: { 'byte/s': 1, 'MB/s': 1e6, 'GB/s': 1e9 }, most: 1e16, base: 'byte/s' },
  time: { units: { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1 }, most: 1e5, base: 's' },
} as const satisfies Record<string, { units: Record<string, number>; most: number; base: string }>;

export type Measure = keyof typeof MEASURES;

export interface Quantity {
  value: number;
  unit: string;
}

/** In the unit that costs are computed in. */
export function inBase(measure: Measure, { value, unit }: Quantity): number {
  return value * factorOf(measure, unit);
}

export function factorOf(measure: Measure, unit: string): number {
  return (MEASURES[measure].units as Record<string, number>)[unit];
}
