import type { Tensor } from '../graph/graph.ts';
import type { Quantizer } from '../quant/quantizer.ts';

// Plain loops: `from` with a function takes a hundred times as long.

/** uint8 -> the floats that they stand for: fl((q - zeroPoint) * scale). */
export function dequantized({ shape, data }: Tensor, { scale, zeroPoint }: Quantizer): Tensor {
  const q = data as Uint8Array;
  const floats = new Float32Array(q.length);
  for (let i = 0; i < q.length; i++) floats[i] = (q[i] - zeroPoint) * scale;
  return { dtype: 'float32', shape, data: floats };
}

/** The integers of floats that stand for some, as `dequantized` makes them: the quotient is all but whole. */
export function quantized({ shape, data }: Tensor, { scale, zeroPoint }: Quantizer): Tensor {
  const x = data as Float32Array;
  const integers = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) integers[i] = Math.round(x[i] / scale) + zeroPoint;
  return { dtype: 'uint8', shape, data: integers };
}
