import { refuse, SigmaQuantError } from '../errors.ts';
import type { Kernels, Region, WeightsShape } from '../kernels/kernels.ts';
import { ROUND } from '../kernels/math.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import { align } from './memory-plan.ts';

const { fround } = Math;

/** Beyond this depth u8 x s8 sums could pass int32: 2^31 / (255 * 128). */
const DEPTH_LIMIT = 65_793;
const INT32_LOW = -(2 ** 31);
const INT32_HIGH = 2 ** 31 - 1;

/** A layer's packed weights in the arena. The fields change when weights are replaced or the arena moved. */
export interface FloatWeights {
  readonly shape: WeightsShape;
  packed: Uint8Array;
  bias: Float32Array | null;
  /** Packs other weights, [outChannels][taps][channels]; a bias of null adds nothing. */
  pack(weights: Float32Array, bias: Float32Array | null): void;
  /** Takes views again. */
  refresh(): void;
  release(): void;
}

export function packFloat(
  kernels: Kernels,
  shape: WeightsShape,
  weights: Float32Array,
  bias: Float32Array | null,
): FloatWeights {
  const size = kernels.floatWeightsSize(shape);
  const biasAt = align(size);
  const region = kernels.arena.allocate(biasAt + shape.outChannels * 4);
  const packedView = () => region.bytes(0, size);
  const biasView = () => region.float32(biasAt, shape.outChannels);
  const packed: FloatWeights = {
    shape,
    packed: packedView(),
    bias: biasView(),
    pack(newWeights, newBias) {
      const expected = shape.outChannels * shape.taps * shape.channels;
      if (newWeights.length !== expected) refuse(`${expected} elements`, 'weights', newWeights);
      if (newBias && newBias.length !== shape.outChannels)
        refuse(`${shape.outChannels} elements`, 'bias', newBias);
      packed.packed = packedView();
      kernels.packFloatWeights(newWeights, shape, packed.packed);
      packed.bias = newBias ? biasView() : null;
      if (newBias) packed.bias!.set(newBias);
    },
    refresh() {
      packed.packed = packedView();
      if (packed.bias) packed.bias = biasView();
    },
    release: () => region.release(),
  };
  packed.pack(weights, bias);
  return packed;
}

/** Packed forms that a layer keeps: one per width that a search may offer. */
const PACKINGS_LIMIT = 7;

/** One packed form: weights, then biases, then multipliers. */
interface Packing {
  region: Region;
  shape: WeightsShape;
  size: number;
  biasAt: number;
  multipliersAt: number;
}

/** A layer's packed integers, its int32 bias and what its sums are multiplied by. */
export interface IntegerWeights {
  shape: WeightsShape;
  packed: Uint8Array;
  bias: Int32Array;
  multipliers: Float32Array;
  pack(layer: QuantizedLayer): void;
  refresh(): void;
  release(): void;
}

/**
 * bias = rne(b / fl(sa*sw)) saturated to int32; multipliers fl(fl(sa*sw)/so) where the output is quantized, else
 * fl(sa*sw): onnxruntime's order.
 */
export function packIntegers(
  kernels: Kernels,
  name: string,
  shape: WeightsShape,
  inputScale: number,
  outputScale: number | null,
  layer: QuantizedLayer,
): IntegerWeights {
  const channels = shape.outChannels;
  if (shape.taps * shape.channels > DEPTH_LIMIT)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected at most ${DEPTH_LIMIT} products per sum for layer ${name} but received ${shape.taps * shape.channels}.`,
    );
  const packings = new Map<QuantizedLayer, Packing>();
  let current: Packing;
  const make = (source: QuantizedLayer): Packing => {
    const { q, bits, scales, bias } = source;
    checkLayer(name, shape, source, q);
    const own = { ...shape, bits };
    const size = kernels.weightsSize(own);
    const biasAt = align(size);
    const multipliersAt = biasAt + align(channels * 4);
    const region = kernels.arena.allocate(multipliersAt + align(channels * 4));
    kernels.packWeights(q, own, region.bytes(0, size));
    const multipliers = region.float32(multipliersAt, channels);
    fillChannels(bias, scales, inputScale, outputScale, region.int32(biasAt, channels), multipliers);
    return { region, shape: own, size, biasAt, multipliersAt };
  };
  const packed: IntegerWeights = {
    shape,
    packed: new Uint8Array(0),
    bias: new Int32Array(0),
    multipliers: new Float32Array(0),
    pack(source) {
      current = packings.get(source) ?? make(source);
      packings.delete(source);
      packings.set(source, current); // most recently used last
      if (packings.size > PACKINGS_LIMIT) {
        const [oldest, { region }] = packings.entries().next().value!;
        packings.delete(oldest);
        region.release();
      }
      packed.shape = current.shape;
      packed.refresh();
    },
    refresh() {
      const { region, size, biasAt, multipliersAt } = current;
      packed.packed = region.bytes(0, size);
      packed.bias = region.int32(biasAt, channels);
      packed.multipliers = region.float32(multipliersAt, channels);
    },
    release() {
      for (const { region } of packings.values()) region.release();
      packings.clear();
    },
  };
  packed.pack(layer);
  return packed;
}

/**
 * Written for code that is still interpreted, since most networks are packed once: stores round to float32 without a
 * call, and numbers that lie in arrays need no memory of their own.
 */
function fillChannels(
  bias: Float32Array,
  scales: Float32Array,
  inputScale: number,
  outputScale: number | null,
  biases: Int32Array,
  multipliers: Float32Array,
): void {
  const input = fround(inputScale);
  // Nothing is changed by a division by 1.
  const output = outputScale === null ? 1 : fround(outputScale);
  for (let n = 0; n < scales.length; n++) {
    multipliers[n] = input * scales[n];
    const x = bias[n] / multipliers[n];
    biases[n] = x > INT32_LOW ? (x < INT32_HIGH ? x + ROUND - ROUND : INT32_HIGH) : INT32_LOW;
    multipliers[n] /= output;
  }
}

function checkLayer(
  name: string,
  shape: WeightsShape,
  { bits, scales, bias }: QuantizedLayer,
  q: Int8Array,
): void {
  const parameters = shape.outChannels * shape.taps * shape.channels;
  if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8))
    refuse('2 to 8 bits', `the weights of ${name}`, bits);
  if (q.length !== parameters) refuse(`${parameters} integers`, `the weights of ${name}`, q);
  if (scales.length !== shape.outChannels) refuse(`${shape.outChannels} scales`, `layer ${name}`, scales);
  if (bias.length !== shape.outChannels) refuse(`${shape.outChannels} biases`, `layer ${name}`, bias);
}
