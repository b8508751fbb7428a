import type { StridedCopy } from '../../engine/strided-copy.ts';
import type { ConvShape } from '../../kernels/kernels.ts';
import type { Quantizer } from '../../quant/quantizer.ts';
import type { Operation, Place } from './program.ts';

type Levels = Omit<Quantizer, 'bits'>;

/** Dequantize, averagePool and quantize without the floats between them. */
export interface QuantizedAveragePoolCall {
  verb: 'quantizedAveragePool';
  values: [
    from: Uint8Array,
    to: Uint8Array,
    how: {
      scale: number;
      zeroPoint: number;
      shape: ConvShape;
      countPadding: boolean;
      quantizer: Levels;
    },
  ];
}

/** Quantize and copyStrided without the bytes between them. */
export interface QuantizeStridedCall {
  verb: 'quantizeStrided';
  values: [from: Float32Array, to: Uint8Array, how: { copy: StridedCopy; quantizer: Levels }];
}

/**
 * The same operations with fewer places: values that one operation makes and the next one alone reads need none where
 * both can be done element by element. `kept` are places that somebody reads afterwards.
 */
export function fused(operations: readonly Operation[], kept: ReadonlySet<Place>): Operation[] {
  const mentions = new Map<unknown, number>();
  for (const { values } of operations)
    for (const value of new Set<unknown>(values)) mentions.set(value, (mentions.get(value) ?? 0) + 1);
  const between = (place: Place) => mentions.get(place) === 2 && !kept.has(place);
  const result: Operation[] = [];
  for (let i = 0; i < operations.length; i++) {
    const [first, second, third] = operations.slice(i, i + 3);
    const copied = quantizedCopy(first, second, between);
    const averaged = copied ? null : quantizedAverage(first, second, third, between);
    result.push(copied ?? averaged ?? first);
    if (copied) i += 1;
    else if (averaged) i += 2;
  }
  return result;
}

function quantizedCopy(
  first: Operation,
  second: Operation | undefined,
  between: (place: Place) => boolean,
): Operation | null {
  if (first.verb !== 'quantize' || second?.verb !== 'copyStrided') return null;
  const [x, scale, zeroPoint, low, high, q] = first.values;
  const [from, to, copy] = second.values;
  if (from !== q || !between(from)) return null;
  const quantizer = { scale, zeroPoint, low, high };
  return { node: second.node, verb: 'quantizeStrided', values: [x, to as Uint8Array, { copy, quantizer }] };
}

function quantizedAverage(
  first: Operation,
  second: Operation | undefined,
  third: Operation | undefined,
  between: (place: Place) => boolean,
): Operation | null {
  if (first.verb !== 'dequantize' || second?.verb !== 'averagePool' || third?.verb !== 'quantize')
    return null;
  const [from, scale, zeroPoint, x] = first.values;
  const [pooled, shape, countPadding, average] = second.values;
  const [quantized, outScale, outZero, low, high, to] = third.values;
  if (pooled !== x || quantized !== average || !between(x) || !between(average)) return null;
  const quantizer = { scale: outScale, zeroPoint: outZero, low, high };
  const how = { scale, zeroPoint, shape, countPadding, quantizer };
  return {
    node: second.node,
    verb: 'quantizedAveragePool',
    values: [from as Uint8Array, to as Uint8Array, how],
  };
}
