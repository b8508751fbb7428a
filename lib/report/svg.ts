/** What every chart shares: text that cannot break out, rounded pixels, axes. */

/**
 * Control characters and halves of surrogate pairs, which no document may hold, and the marks that turn the direction of
 * writing, with which a name can look like another.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Safe as content and inside a quoted attribute, whatever others named. */
export function escaped(content: string): string {
  return content.replace(UNPRINTABLE, '\ufffd').replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** Pixels to a tenth. */
export const round = (pixels: number) => Math.round(10 * pixels) / 10;

/** A `<text>` at a point; `style` is a class. */
export function text(x: number, y: number, content: string, style = '', anchor = 'start'): string {
  return `<text${style && ` class="${style}"`} x="${x}" y="${y}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

/** At most `longest` characters. The end of a name tells more than its beginning. */
export function shortened(name: string, longest: number): string {
  return name.length > longest ? `...${name.slice(3 - longest)}` : name;
}

/** From data to pixels, with the values that get a line. */
export interface Axis {
  low: number;
  high: number;
  at(value: number): number;
  ticks: number[];
}

/** Logarithmic; `steps` of every power of ten are ticks. `from` and `to` are the pixels of `low` and `high`. */
export function logAxis(low: number, high: number, from: number, to: number, steps: readonly number[]): Axis {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  const scale = (to - from) / Math.log(high / low);
  return { low, high, ticks, at: (value) => round(from + Math.log(value / low) * scale) };
}

/** Linear, with about `intervals` steps of 1, 2 or 5 times a power of ten. */
export function linearAxis(low: number, high: number, from: number, to: number, intervals: number): Axis {
  const least = (high - low) / intervals;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= 0.999 * least) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low, high, ticks, at: (value) => round(from + ((value - low) / (high - low)) * (to - from)) };
}
