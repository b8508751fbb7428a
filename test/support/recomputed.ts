import { readFileSync } from 'node:fs';
import type { PackedModel, PackedNode, ShapedLayer } from '../../lib/sqnt/index.ts';
import { folder } from './devices.ts';

/**
 * Costs of an exported network, worked out again from its packed file and the device's file by the formulas of
 * docs/devices.md, and by nothing of lib/hardware: real integers, real shapes, real widths.
 */
export interface Recomputed {
  weightBytes: number;
  activationBytes: number;
  /** uJ */
  energy: number;
  /** ms */
  latency: number;
}

interface DeviceFile {
  array: { pixels: number; channels: number; depth: number; clock: { value: number } };
  pairs: {
    operators: string[];
    weights: number[];
    activations: number[];
    cycles: { terms: Record<string, number> };
    energy: { terms: Record<string, number> };
  }[];
}

/** The memories that all 45 nm devices share: 32 KiB and 1 MiB on chip, LPDDR4 outside. */
const BUFFER = { capacity: 32 * 1024, joulesPerByte: 2.5e-12 };
const GLOBAL = { joulesPerByte: 12.5e-12 };
const OUTSIDE = { joulesPerByte: 8 * 8e-12, bytesPerSecond: 6.4e9 };

export function recomputed(model: PackedModel, deviceName: string): Recomputed {
  const device: DeviceFile = JSON.parse(readFileSync(new URL(`${deviceName}.json`, folder), 'utf8'));
  const shapes = shapesOf(model);
  let [weightBytes, energy, latency] = [0, 0, 0];
  for (const node of model.nodes) {
    const layer = model.layers.get(node.name);
    if (!layer) continue;
    const bytes = Math.ceil((layer.q.length * layer.bits) / 8) + 8 * layer.scales.length;
    const cost = layerCost(device, layer, node, {
      inputs: count(shapes.get(node.inputs[0])!),
      pixels: count(shapes.get(node.outputs[0])!) / layer.scales.length,
      activations: bitsOf(model, node.inputs[0])!,
      bytes,
    });
    weightBytes += bytes;
    energy += cost.joules * 1e6;
    latency += cost.seconds * 1e3;
  }
  return { weightBytes, energy, latency, activationBytes: peak(model, shapes) };
}

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
const filled = (things: number, lanes: number) => things / (Math.ceil(things / lanes) * lanes);

function layerCost(
  { array, pairs }: DeviceFile,
  { q, bits, weightsShape }: ShapedLayer,
  { op, attributes }: PackedNode,
  {
    inputs,
    pixels,
    activations,
    bytes,
  }: { inputs: number; pixels: number; activations: number; bytes: number },
): { joules: number; seconds: number } {
  const [outChannels] = weightsShape;
  const depth = count(weightsShape.slice(1));
  const groups = Number(attributes['group'] ?? 1);
  const macs = pixels * q.length;
  const operator =
    op === 'Linear' ? 'linear' : groups > 1 && weightsShape.at(-1) === 1 ? 'depthwise' : 'conv';
  const pair = pairs.find(
    (own) =>
      own.operators.includes(operator) && own.weights.includes(bits) && own.activations.includes(activations),
  )!;
  const features: Record<string, number> = {
    one: 1,
    bits,
    bitPairs: Math.ceil(bits / 2),
    nonZero: q.filter((value) => value !== 0).length / q.length,
    setBits: q.reduce((sum, value) => sum + ones(value & (2 ** bits - 1)), 0) / q.length,
    extendedBits: q.reduce((sum, value) => sum + ones(value & 255), 0) / q.length,
    toggles: [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, bit) => {
      const share = q.filter((value) => (value >> bit) & 1).length / q.length;
      return sum + 2 * share * (1 - share);
    }, 0),
  };
  const per = (terms: Record<string, number>) =>
    Object.entries(terms).reduce((sum, [name, factor]) => sum + factor * features[name], 0);
  const fill = {
    pixels: filled(pixels, array.pixels),
    channels: filled(outChannels / groups, array.channels),
    depth: filled(depth, array.depth),
  };
  const compute = (macs / fill.depth) * per(pair.energy.terms) * 1e-15;
  const bitsPerMac =
    bits / (fill.pixels * array.pixels) + activations / (fill.channels * array.channels) + 64 / depth;
  const inputBytes = (inputs * activations) / 8;
  const spilled = inputBytes > BUFFER.capacity ? 2 * inputBytes * GLOBAL.joulesPerByte : 0;
  const elements = array.pixels * array.channels * array.depth;
  const cycles = (macs * per(pair.cycles.terms)) / (elements * fill.pixels * fill.channels * fill.depth);
  return {
    joules:
      compute + (macs * bitsPerMac * BUFFER.joulesPerByte) / 8 + spilled + bytes * OUTSIDE.joulesPerByte,
    seconds: Math.max(cycles / (array.clock.value * 1e6), bytes / OUTSIDE.bytesPerSecond),
  };
}

function ones(value: number): number {
  return value.toString(2).replaceAll('0', '').length;
}

/** Shapes of one sample, channels last, of the operators that these networks have. */
function shapesOf({ inputs, nodes, layers }: PackedModel): Map<string, number[]> {
  const shapes = new Map(inputs.map(({ name, shape }) => [name, [1, ...shape.slice(1).map(Number)]]));
  for (const node of nodes) {
    const [image] = node.inputs.map((name) => shapes.get(name)!);
    const list = (name: string) => node.attributes[name] as readonly number[];
    const windows = (kernel: readonly number[], channels: number) => {
      const [pads, strides] = [list('pads'), list('strides')];
      const size = (axis: number) =>
        Math.floor((image[axis + 1] + pads[axis] + pads[axis + 2] - kernel[axis]) / strides[axis]) + 1;
      return [1, size(0), size(1), channels];
    };
    const weights = layers.get(node.name)?.weightsShape;
    const made: Record<string, () => number[]> = {
      Transpose: () => list('perm').map((axis) => image[axis]),
      Conv: () => windows(weights!.slice(1, 3), weights![0]),
      MaxPool: () => windows(list('kernel_shape'), image.at(-1)!),
      GlobalAveragePool: () => [1, 1, 1, image.at(-1)!],
      Add: () => image,
      Flatten: () => [1, count(image)],
      Linear: () => [1, weights![0]],
    };
    shapes.set(node.outputs[0], made[node.op]());
  }
  return shapes;
}

/** What a value takes no place of its own for: it lies where its input does. */
const VIEWS = new Set(['Flatten', 'Transpose']);
/** Values that these make have their input's quantizer. */
const MOVES = new Set(['MaxPool', ...VIEWS]);

/** Null for what is not quantized. */
function bitsOf({ nodes, activations }: PackedModel, value: string): number | null {
  const own = activations.get(value);
  if (own) return own.bits;
  const maker = nodes.find(({ outputs }) => outputs[0] === value);
  return maker && MOVES.has(maker.op) ? bitsOf({ nodes, activations } as PackedModel, maker.inputs[0]) : null;
}

/** The largest sum of what lies in memory at once. */
function peak(model: PackedModel, shapes: ReadonlyMap<string, number[]>): number {
  const { nodes } = model;
  const place = (value: string): string => {
    const maker = nodes.find(({ outputs }) => outputs[0] === value);
    return maker && VIEWS.has(maker.op) ? place(maker.inputs[0]) : value;
  };
  const reads = nodes.map(({ inputs }) => inputs.filter((name) => shapes.has(name)).map(place));
  const lastRead = (value: string) =>
    model.outputs.some(({ name }) => place(name) === value)
      ? nodes.length
      : reads.findLastIndex((list) => list.includes(value));
  const bytes = (value: string) => Math.ceil((count(shapes.get(value)!) * (bitsOf(model, value) ?? 32)) / 8);
  let most = 0;
  const lying = new Set(model.inputs.map(({ name }) => name));
  nodes.forEach(({ op, outputs }, step) => {
    const output = place(outputs[0]);
    lying.add(output);
    const held = [...lying].filter((value) => lastRead(value) >= step);
    // An addition writes over an input that nobody reads later.
    const over = op === 'Add' ? reads[step].filter((value) => lastRead(value) === step) : [];
    const shared = over.toSorted((a, b) => bytes(b) - bytes(a)).at(0);
    const saved = shared === undefined ? 0 : Math.min(bytes(shared), bytes(output));
    most = Math.max(most, held.reduce((sum, value) => sum + bytes(value), 0) - saved);
    for (const value of [...lying]) if (lastRead(value) <= step) lying.delete(value);
  });
  return most;
}
