/** Numbers as people read them. Never locale dependent: reports are artefacts and must not differ by machine. */

const DECIMAL_UNITS = ['', 'k', 'M', 'G', 'T'] as const;

function scaled(value: number): [number, string] {
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < DECIMAL_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return [value, DECIMAL_UNITS[unit]];
}

/** 1,000 bytes are a kB: `118.2 kB`. */
export function bytes(value: number): string {
  const [mantissa, unit] = scaled(value);
  return `${unit === '' ? String(Math.round(mantissa)) : mantissa.toFixed(mantissa < 10 ? 2 : 1)} ${unit}B`;
}

/** `40.6 M` multiply-accumulates, parameters, ... */
export function count(value: number): string {
  const [mantissa, unit] = scaled(value);
  return unit === '' ? String(mantissa) : `${mantissa.toFixed(mantissa < 10 ? 2 : 1)} ${unit}`;
}

/** `1,234,567` */
export function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** A number with significant digits, without exponents where it can be helped: `0.0412`. */
export function significant(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude < -6 || magnitude > 8) return value.toExponential(digits - 1);
  return value.toFixed(Math.max(0, digits - 1 - magnitude));
}

/** Percent of a number that already is in percent: `91.48 %`. */
export function percent(value: number, digits = 2): string {
  return `${value.toFixed(digits)} %`;
}

/** Signed, for differences: `+0.24`. Minus zero is zero. */
export function signed(value: number, digits = 2): string {
  const text = value.toFixed(digits);
  if (Number(text) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${text}` : text;
}

/** `1 layer`, `2 layers` */
export function plural(amount: number, noun: string): string {
  return `${whole(amount)} ${noun}${amount === 1 ? '' : 's'}`;
}

/** `12 s`, `3 min 20 s` */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  return `${Math.floor(rounded / 3600)} h ${Math.floor((rounded % 3600) / 60)} min`;
}
