import { SigmaQuantError } from '../errors.ts';
import type { Quantizer } from '../quant/quantizer.ts';

/**
 * When a layer counts as broken. Noise is the squared error of its output on the quantized network's own inputs; what
 * is due to its widths is the noise of the float weights rounded plainly (nearest, scales of least squared error) to
 * the same width, on the same inputs, and that of the output rounded to its width (see roundingNoise).
 *
 * A layer breaks where it makes more noise than `excess` times what is due, and so much that less than `sqnr` decibels
 * are left. The same is asked of what saturation alone does, against what rounding the output explains; and of every
 * channel, by stricter limits, since fewer values speak for it. Exported networks of the test bed (2 to 8 bits) stay
 * below all three; docs/debug.md has the margins.
 */
export const BREAK_RULE = {
  layer: { excess: 4, sqnr: 25 },
  saturation: { excess: 4, sqnr: 25 },
  channel: { excess: 8, sqnr: 6 },
} as const;

export type BreakKind = keyof typeof BREAK_RULE;

/**
 * How much wider than the values that are seen an output quantizer's range may be without blame: calibration may have
 * seen outliers that a few samples do not show (MobileNetV2: 7 times).
 */
const WIDEST = 8;

/** Stands for values that are equal to the last bit; JSON has no Infinity. Decibels. */
export const SQNR_LIMIT = 200;

/** Sums of squares over values of one channel, or of a whole value. */
export interface Noise {
  /** Of what the float layer makes of the same inputs. */
  signal: number;
  /** Of what the quantized layer makes instead. */
  noise: number;
  /** Noise that its widths explain. */
  due: number;
}

/** 10 log10(signal / noise), within ±200; 0 where there is neither. */
export function sqnrOf(signal: number, noise: number): number {
  if (noise === 0) return signal === 0 ? 0 : SQNR_LIMIT;
  if (signal === 0) return -SQNR_LIMIT;
  return Math.max(-SQNR_LIMIT, Math.min(SQNR_LIMIT, 10 * Math.log10(signal / noise)));
}

/**
 * Noise of rounding to a quantizer's width, per value: step² / 12. The step is that of as many levels evenly over
 * [low, high] and zero, or the quantizer's own where that is larger, up to WIDEST times.
 */
export function roundingNoise(low: number, high: number, quantizer: Quantizer): number {
  const even = (Math.max(high, 0) - Math.min(low, 0)) / (quantizer.high - quantizer.low);
  const step = Math.max(even, Math.min(quantizer.scale, WIDEST * even));
  return (step * step) / 12;
}

/** Throws DATA_MISMATCH for values that are not finite. */
export function checkFinite(value: string, float: readonly number[], quantized: readonly number[]): void {
  if ([...float, ...quantized].every(Number.isFinite)) return;
  throw new SigmaQuantError(
    'DATA_MISMATCH',
    `Expected finite values for "${value}" but received ${float[0]} to ${float[1]} in the float network and ${quantized[0]} to ${quantized[1]} in the quantized one.`,
  );
}

/** By which of the rules a layer breaks, the most telling first; null where it does not. */
export function breakOf(
  whole: Noise | null,
  saturation: Noise,
  channels: readonly Noise[],
): { by: BreakKind; channel: number | null } | null {
  if (breaks(saturation, BREAK_RULE.saturation)) return { by: 'saturation', channel: null };
  if (whole && breaks(whole, BREAK_RULE.layer)) return { by: 'layer', channel: null };
  const channel = brokenChannel(channels);
  return channel < 0 ? null : { by: 'channel', channel };
}

function breaks({ signal, noise, due }: Noise, rule: { excess: number; sqnr: number }): boolean {
  return noise > rule.excess * due && sqnrOf(signal, noise) < rule.sqnr;
}

/** The channel that is farthest beyond what is due among those that break; -1 where none does. */
function brokenChannel(channels: readonly Noise[]): number {
  let worst = -1;
  let most = 0;
  for (const [index, channel] of channels.entries()) {
    if (!breaks(channel, BREAK_RULE.channel)) continue;
    const excess = channel.due > 0 ? channel.noise / channel.due : Number.POSITIVE_INFINITY;
    if (worst >= 0 && excess <= most) continue;
    worst = index;
    most = excess;
  }
  return worst;
}
