import { refuse } from '../errors.ts';
import { bytesOf } from './byte-writer.ts';
import { LEAST_BITS, MOST_BITS, malformedAt } from './layout.ts';
import type { PackedQuantizer, ShapedLayer } from './model.ts';
import { readNumbers, writeNumbers } from './numbers.ts';
import { firstOutside, hasZeroTail, pack, packedLength, unpack as plainUnpack } from './packing.ts';
import type { Sink, Source } from './sections.ts';
import { copyOf, elementsOf, readShape, writeShape } from './tensors.ts';

/** Scale and bias. */
const BYTES_PER_CHANNEL = 8;

/** The width of a node that is no quantized layer. */
export const NO_LAYER = 0;

/** Width and shape into the manifest; integers, scales and biases one behind the other into the weights. */
export function writeLayer(sink: Sink, name: string, layer: ShapedLayer): void {
  const { bits, q, scales, bias, weightsShape } = layer;
  const what = `layer ${name}`;
  if (!(Number.isInteger(bits) && bits >= LEAST_BITS && bits <= MOST_BITS))
    refuse(`${LEAST_BITS} to ${MOST_BITS} bits`, what, bits);
  if (q.length !== elementsOf(weightsShape)) refuse(`${elementsOf(weightsShape)} integers`, what, q);
  if (scales.length !== weightsShape[0]) refuse(`${weightsShape[0]} scales`, what, scales);
  if (bias.length !== weightsShape[0]) refuse(`${weightsShape[0]} biases`, what, bias);
  const outside = firstOutside(q, bits);
  if (outside >= 0) refuse(`integers of ${bits} bits`, what, q[outside]);
  sink.manifest.byte(bits);
  writeShape(sink, weightsShape);
  pack(q, bits, sink.weights.room(packedLength(q.length, bits)));
  sink.weights.write(bytesOf(scales));
  sink.weights.write(bytesOf(bias));
}

const newRoom = (length: number) => new Int8Array(length);

/** Null for a node without integers. */
export function readLayer(source: Source, what: string): ShapedLayer | null {
  const { manifest, weights } = source;
  const at = manifest.at;
  const bits = manifest.byte(`the width of the weights of ${what}`);
  if (bits === NO_LAYER) return null;
  if (bits < LEAST_BITS || bits > MOST_BITS)
    malformedAt(at, `${NO_LAYER} or ${LEAST_BITS} to ${MOST_BITS} bits for the weights of ${what}`, bits);
  const shapeAt = manifest.at;
  const most = Math.floor((weights.left * 8) / bits);
  const weightsShape = readShape(manifest, `the weights of ${what}`, 1, most);
  if (weightsShape.length < 2)
    malformedAt(shapeAt, `at least 2 dimensions for the weights of ${what}`, weightsShape.length);
  const [channels, count] = [weightsShape[0], elementsOf(weightsShape)];
  const length = packedLength(count, bits);
  if (length + BYTES_PER_CHANNEL * channels > weights.left)
    malformedAt(
      shapeAt,
      `weights of ${what} within the ${weights.left} bytes that are left`,
      `shape [${weightsShape.join(', ')}]`,
    );
  const packed = weights.take(length, `the weights of ${what}`);
  if (!hasZeroTail(packed, count, bits))
    malformedAt(weights.at - 1, `zeros behind the weights of ${what}`, packed[length - 1]);
  const { unpack = plainUnpack, room = newRoom } = source.options;
  const scales = readFloats(weights, channels, `the scales of ${what}`, true);
  const bias = readFloats(weights, channels, `the biases of ${what}`, false);
  return {
    bits,
    get q() {
      if (bits === 8) return new Int8Array(packed.buffer, packed.byteOffset, count);
      const q = room(count);
      unpack(packed, bits, q);
      return q;
    },
    scales,
    bias,
    weightsShape,
  };
}

function readFloats(
  weights: Source['weights'],
  count: number,
  what: string,
  positive: boolean,
): Float32Array {
  const at = weights.at;
  const values = copyOf(weights.take(4 * count, what), Float32Array) as Float32Array;
  if (!areFinite(values) || (positive && !(least(values) > 0))) {
    const wrong = values.findIndex((value) => !Number.isFinite(value) || (positive && !(value > 0)));
    malformedAt(at + 4 * wrong, `finite numbers${positive ? ' above 0' : ''} for ${what}`, values[wrong]);
  }
  return values;
}

/** As this and `least` look at numbers, no line of JavaScript runs for each of them. */
function areFinite(values: Float32Array): boolean {
  return ![Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].some((value) =>
    values.includes(value),
  );
}

function least(values: Float32Array): number {
  return values.slice().sort()[0];
}

export function writeQuantizer({ manifest }: Sink, quantizer: PackedQuantizer): void {
  manifest.byte(quantizer.bits);
  writeNumbers(manifest, [quantizer.scale]);
  for (const key of ['low', 'zeroPoint', 'high'] as const) {
    if (!(quantizer[key] >= 0 && quantizer[key] <= 255)) refuse('a byte', key, quantizer[key]);
    manifest.byte(quantizer[key]);
  }
}

/** 0 <= low <= zeroPoint <= high < 2^bits. */
export function readQuantizer({ manifest }: Source, what: string): PackedQuantizer {
  const bits = manifest.byte(`the width of ${what}`, LEAST_BITS, MOST_BITS);
  const at = manifest.at;
  const [scale] = readNumbers(manifest, 1, `the scale of ${what}`);
  // As float32, which is what the kernels compute with.
  if (!(Math.fround(scale) > 0 && Math.fround(scale) < Infinity))
    malformedAt(at, `a finite number above 0 for the scale of ${what}`, scale);
  const most = 2 ** bits - 1;
  const low = manifest.byte(`the lowest level of ${what}`, 0, most);
  const zeroPoint = manifest.byte(`the zero point of ${what}`, low, most);
  const high = manifest.byte(`the highest level of ${what}`, zeroPoint, most);
  return { bits, scale, zeroPoint, low, high };
}
