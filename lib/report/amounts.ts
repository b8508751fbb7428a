import { bytes, count, significant } from './numbers.ts';

/** Resources as people call them, with the units in which devices count them. */
export const RESOURCES: Readonly<Record<string, { title: string; unit: string }>> = {
  weightBytes: { title: 'weight memory', unit: 'B' },
  averageBits: { title: 'average width', unit: 'bits' },
  bops: { title: 'bit operations', unit: 'BOPs' },
  activationBytes: { title: 'peak activation memory', unit: 'B' },
  totalBytes: { title: 'weights and peak of activations', unit: 'B' },
  energy: { title: 'energy', unit: 'uJ' },
  latency: { title: 'latency', unit: 'ms' },
  area: { title: 'area', unit: 'mm2' },
  peakArea: { title: 'peak area', unit: 'mm2' },
};

/** `118.2 kB`, `2.91 uJ`: an amount of a resource with its unit. */
export function amount(resource: string, value: number, digits = 4): string {
  const unit = Object.hasOwn(RESOURCES, resource) ? RESOURCES[resource].unit : '';
  if (unit === 'B') return bytes(value);
  if (unit === 'BOPs') return count(value);
  return `${significant(value, digits)} ${unit}`.trimEnd();
}

/** `118.2 kB weightBytes, 2.91 uJ energy` */
export function amounts(cost: Readonly<Record<string, number>>): string {
  return Object.entries(cost)
    .map(([resource, value]) => `${amount(resource, value)} ${resource}`)
    .join(', ');
}

/** `+1.2 kB`, `-0.0659 uJ`: a change. */
export function changeText(resource: string, value: number): string {
  return `${value < 0 ? '-' : '+'}${amount(resource, Math.abs(value), 3)}`;
}
