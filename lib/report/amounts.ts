import { bytes, significant } from './numbers.ts';

/** Units of resources, as devices count them; bytes are those whose names say so. */
const UNITS: Readonly<Record<string, string>> = {
  averageBits: 'bits',
  energy: 'uJ',
  latency: 'ms',
  area: 'mm2',
  peakArea: 'mm2',
};

/** `118.2 kB`, `2.91 uJ`: an amount of a resource with its unit. */
export function amount(resource: string, value: number, digits = 4): string {
  if (resource.endsWith('Bytes')) return bytes(value);
  const unit = UNITS[resource];
  return unit === undefined ? significant(value, digits) : `${significant(value, digits)} ${unit}`;
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
