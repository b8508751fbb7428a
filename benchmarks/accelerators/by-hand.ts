import type { Device } from '../../lib/hardware/index.ts';

/**
 * The costs of docs/devices.md once more, straight from a network's integers: the shortest code that says what the
 * formulas say, sharing none with the package, for arrays with 8-bit inputs that need no rounding of widths.
 */

/** A layer as the array sees it. */
export interface HandLayer {
  q: Int8Array;
  bits: number;
  operator: 'conv' | 'depthwise' | 'linear';
  outChannels: number;
  groups: number;
  /** Output positions. */
  pixels: number;
  /** Elements of the input. */
  inputs: number;
}

/** uJ, mm2, ms. */
export interface HandCost {
  energy: number;
  area: number;
  /** The same with layers weighted by the passes of the array that they take, not by MACs. */
  areaByTime: number;
  peakArea: number;
  latency: number;
}

const BYTES: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2 };
/** Scale and bias of an output channel. */
const CHANNEL_BYTES = 8;
/** Bits of an input, and of a partial sum there and back. */
const INPUT_BITS = 8;
const SUM_BITS = 64;

export function costByHand(device: Device, layers: readonly HandLayer[]): HandCost {
  const own = layers.map((layer) => ({ macs: layer.q.length * layer.pixels, ...layerByHand(device, layer) }));
  const macs = own.reduce((sum, layer) => sum + layer.macs, 0);
  const rounds = own.reduce((sum, layer) => sum + layer.rounds, 0);
  return {
    energy: own.reduce((sum, { energy }) => sum + energy, 0),
    area: own.reduce((sum, layer) => sum + (layer.area * layer.macs) / macs, 0),
    areaByTime: own.reduce((sum, layer) => sum + (layer.area * layer.rounds) / rounds, 0),
    peakArea: Math.max(...own.map(({ area }) => area)),
    latency: own.reduce((sum, { latency }) => sum + latency, 0),
  };
}

function layerByHand({ array, pairs, memories }: Device, layer: HandLayer) {
  const { q, bits, operator, outChannels, groups, pixels, inputs } = layer;
  const { cycles, energy, area } = pairs.find(
    (pair) =>
      pair.operators.includes(operator) && pair.weights.includes(bits) && pair.activations.includes(8),
  )!;
  const means = meansOf(q, bits);
  const sum = (terms: object) =>
    Object.entries(terms).reduce((total, [term, cost]) => total + cost * means[term], 0);
  const depth = q.length / outChannels;
  const passes = {
    pixels: Math.ceil(pixels / array!.pixels),
    channels: Math.ceil(outChannels / groups / array!.channels),
    depth: Math.ceil(depth / array!.depth),
  };
  // Elements that work together are paid where they idle.
  const paid = {
    pixels: passes.pixels * array!.pixels * q.length,
    depth: passes.depth * array!.depth * outChannels * pixels,
    none: q.length * pixels,
  }[(array!.sharedControl ?? 'none') as 'pixels' | 'depth' | 'none'];
  const femtojoules = paid * sum(energy!.terms);

  const [nearest] = memories;
  const offChip = memories.at(-1)!;
  const weightReads = q.length * bits * passes.pixels;
  const inputReads = depth * groups * pixels * passes.channels * INPUT_BITS;
  const sums = outChannels * pixels * SUM_BITS;
  const bytes = Math.ceil((q.length * bits) / 8) + CHANNEL_BYTES * outChannels;
  const holder = memories.find(
    ({ capacity }) => capacity === null || capacity.value * BYTES[capacity.unit] >= inputs,
  )!;
  const spilt = holder === nearest ? 0 : 2 * inputs;
  const outside = bytes + (holder === offChip ? spilt : 0);
  const picojoules =
    ((weightReads + inputReads + sums) / 8) * perByte(nearest) +
    (holder === offChip ? 0 : spilt * perByte(holder)) +
    outside * perByte(offChip);

  const perMac = cycles ? sum(cycles.terms) : 1;
  const rounds = groups * passes.pixels * passes.channels * passes.depth;
  const seconds = Math.max(
    (rounds * perMac) / (array!.clock.value * 1e6),
    outside / (offChip.bandwidth!.value * 1e9),
  );
  const elements = array!.pixels * array!.channels * array!.depth;
  return {
    energy: femtojoules / 1e9 + picojoules / 1e6,
    area: (area!.value * elements * perMac) / 1e6,
    latency: seconds * 1e3,
    rounds,
  };
}

/** pJ */
function perByte({ energy }: Device['memories'][number]): number {
  return energy!.unit === 'pJ/bit' ? 8 * energy!.value : energy!.value;
}

/** Means over the integers that costs are linear in, by the names of device files. */
function meansOf(q: Int8Array, bits: number): Record<string, number> {
  const sums = {
    one: 0,
    bits: 0,
    bitPairs: 0,
    nonZero: 0,
    digits: 0,
    setDigits: 0,
    setBits: 0,
    extendedBits: 0,
  };
  const ones = new Array<number>(8).fill(0);
  for (const [value, count] of tally(q)) {
    const magnitude = onesOf(Math.abs(value).toString(2));
    const register = ((value + 256) % 256).toString(2).padStart(8, '0');
    sums.one += count;
    sums.bits += count * bits;
    sums.bitPairs += count * Math.ceil(bits / 2);
    sums.nonZero += value === 0 ? 0 : count;
    sums.digits += count * Math.max(1, magnitude);
    sums.setDigits += count * magnitude;
    sums.setBits += count * onesOf(register.slice(8 - bits));
    sums.extendedBits += count * onesOf(register);
    for (let bit = 0; bit < 8; bit++) if (register[bit] === '1') ones[bit] += count;
  }
  const toggles = ones.reduce((sum, count) => sum + (2 * count * (q.length - count)) / q.length, 0);
  return Object.fromEntries(
    Object.entries({ ...sums, toggles }).map(([name, sum]) => [name, sum / q.length]),
  );
}

function tally(q: Int8Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const value of q) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function onesOf(digits: string): number {
  return digits.replaceAll('0', '').length;
}
