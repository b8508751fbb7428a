import type { LayerWidths } from '../allocate/allocate.ts';
import { weightBytes } from '../quant/packing.ts';
import type { Device, DeviceArray, DeviceMemory, Pair } from './device.ts';
import { gaussianDigits, type WeightDigits } from './digits.ts';
import { featuresOf, linear } from './features.ts';
import { type CostedLayer, FLOAT_BYTES } from './memory.ts';
import type { NetworkLayer } from './network.ts';
import { type RoundedPair, roundedPair } from './pairs.ts';
import { factorOf, inBase } from './units.ts';

/** What one layer costs on an array of multipliers, for one sample. Joules, seconds, bytes, mm2. */
export interface LayerCost {
  macs: number;
  pair: RoundedPair;
  /** Of one element for one MAC: the mean over the layer's integers. */
  cyclesPerMac: number;
  /** Of the whole array. */
  cycles: number;
  /** Share of the elements that have work. */
  utilisation: number;
  energy: { compute: number; onChip: number; offChip: number };
  latency: { compute: number; memory: number };
  offChipBytes: number;
  /** Of the array that keeps up with one of single-cycle elements while this layer runs. */
  area: number;
}

/** A partial sum is read and written once: twice 32 bits. */
const SUM_BITS = 64;
const BYTE = 8;
/** A float product is charged as so many of the widest integers: 32 x 32 bits over 8 x 8. */
const FLOAT_PRODUCTS = 16;
const WIDEST: LayerWidths = { weights: 8, activations: 8 };

/** Bytes of a layer's weights as the device holds them: rows padded, at the widths that it computes with. */
export function storedBytes(device: Device, layer: CostedLayer, bits: number): number {
  const { rowBits } = device.packing;
  const { weights, outChannels } = layer;
  if (rowBits === 1) return weightBytes(weights.length, outChannels, bits);
  const row = (weights.length / outChannels) * bits;
  const padding = Math.ceil(row / rowBits) * rowBits - row;
  return weightBytes(weights.length, outChannels, bits) + Math.ceil((padding * outChannels) / BYTE);
}

/**
 * Costs of one layer at its widths. The compute figures are those of the device's pair, with the digits of the
 * layer's own integers; the rest follows from the array:
 *
 * - utilisation: pixels, output channels of a group and depth, each over what whole passes of the array would hold
 * - on-chip: per MAC, w bits shared by the pixels and a bits shared by the channels of a pass, 64 bits of sum per
 *   output; from the nearest memory
 * - off-chip: the layer's bytes of weights once; and an input that the nearest memory does not hold is written to the
 *   first one that does and read back
 * - latency: the longer of the array's cycles and the bytes over the off-chip bandwidth
 *
 * Null where the device has no array.
 */
export function acceleratorCost(device: Device, layer: NetworkLayer, widths: LayerWidths): LayerCost | null {
  const { array } = device;
  if (!array) return null;
  const pair = roundedPair(device, layer.operator, widths);
  const digits = widened(layer.digits(widths.weights), pair.weights);
  return costWith(device, array, layer, pair, digits, storedBytes(device, layer, pair.weights));
}

/** A layer that stays in float: every product as 16 of 8 x 8 bits, every number as 4 bytes. */
export function floatCost(device: Device, layer: NetworkLayer): LayerCost | null {
  const { array } = device;
  if (!array) return null;
  const pair = roundedPair(device, layer.operator, WIDEST);
  const bytes = FLOAT_BYTES * (layer.weights.length + (layer.bias?.length ?? 0));
  const wide = { ...layer, inputs: FLOAT_BYTES * layer.inputs };
  const cost = costWith(device, array, wide, pair, gaussianDigits(WIDEST.weights), bytes);
  const { energy, latency, cycles } = cost;
  return {
    ...cost,
    cycles: FLOAT_PRODUCTS * cycles,
    energy: { ...energy, compute: FLOAT_PRODUCTS * energy.compute, onChip: FLOAT_BYTES * energy.onChip },
    latency: { ...latency, compute: FLOAT_PRODUCTS * latency.compute },
  };
}

function costWith(
  device: Device,
  array: DeviceArray,
  layer: NetworkLayer,
  pair: RoundedPair,
  digits: WeightDigits,
  bytes: number,
): LayerCost {
  const { macs, pixels, groupChannels, depth, inputs } = layer;
  const { cycles, energy, area } = pair.pair as Pair;
  const features = featuresOf(digits);
  const cyclesPerMac = cycles ? linear(cycles.terms, features) : 1;
  const perMac = energy ? linear(energy.terms, features) * factorOf('energy per MAC', energy.unit) : 0;
  const fill = {
    pixels: fillOf(pixels, array.pixels),
    channels: fillOf(groupChannels, array.channels),
    depth: fillOf(depth, array.depth),
  };
  const utilisation = fill.pixels * fill.channels * fill.depth;
  const paid = array.sharedControl === null ? macs : macs / fill[array.sharedControl];
  const elements = array.pixels * array.channels * array.depth;
  const total = (macs * cyclesPerMac) / (elements * utilisation);

  const spill = spilled(device.memories, (inputs * pair.activations) / BYTE);
  const offChip = device.memories.find(({ place }) => place === 'off-chip');
  const offChipBytes = bytes + (spill?.memory.place === 'off-chip' ? spill.bytes : 0);
  const bitsPerMac =
    pair.weights / (fill.pixels * array.pixels) +
    pair.activations / (fill.channels * array.channels) +
    SUM_BITS / depth;
  return {
    macs,
    pair,
    cyclesPerMac,
    cycles: total,
    utilisation,
    energy: {
      compute: paid * perMac,
      onChip:
        (macs * bitsPerMac * perByte(nearest(device.memories))) / BYTE +
        (spill?.memory.place === 'on-chip' ? spill.bytes * perByte(spill.memory) : 0),
      offChip: offChipBytes * perByte(offChip),
    },
    latency: {
      compute: total / inBase('clock', array.clock),
      memory: offChip?.bandwidth ? offChipBytes / inBase('bandwidth', offChip.bandwidth) : 0,
    },
    offChipBytes,
    area: area ? inBase('area', area) * elements * cyclesPerMac : 0,
  };
}

/** Share of the lanes with work when `count` things take turns on `lanes`. */
function fillOf(count: number, lanes: number): number {
  return count / (Math.ceil(count / lanes) * lanes);
}

function nearest(memories: readonly DeviceMemory[]): DeviceMemory | undefined {
  return memories.find(({ place }) => place === 'on-chip');
}

/** Joules. */
function perByte(memory: DeviceMemory | undefined): number {
  return memory?.energy ? inBase('energy per byte', memory.energy) : 0;
}

/** Where a value goes that the nearest memory does not hold, and the bytes that move: there and back. */
function spilled(
  memories: readonly DeviceMemory[],
  bytes: number,
): { memory: DeviceMemory; bytes: number } | null {
  const memory = memories.find(({ capacity }) => !capacity || inBase('capacity', capacity) >= bytes);
  return memory && memory !== memories[0] ? { memory, bytes: 2 * bytes } : null;
}

/** Integers of a narrow width in a wider one: the same values, more copies of the sign. */
function widened(digits: WeightDigits, bits: number): WeightDigits {
  if (bits === digits.bits) return digits;
  const negative = (digits.extendedBits - digits.setBits) / (BYTE - digits.bits);
  return { ...digits, bits, setBits: digits.setBits + negative * (bits - digits.bits) };
}
