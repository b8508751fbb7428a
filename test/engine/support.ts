import assert from 'node:assert/strict';
import { quantizedValues } from '../../lib/engine/index.ts';
import type { SigmaQuantError } from '../../lib/errors.ts';
import type { Graph, Tensor } from '../../lib/graph/index.ts';
import { backends, checked, type Kernels } from '../../lib/kernels/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../../lib/quant/quantizer.ts';
import { interpret, rne } from './oracle.ts';

/** Float sums of these little networks agree with float64 within this. */
const TOLERANCE = 1e-4;

export const one = (name: string, tensor: Tensor) => new Map([[name, tensor]]);

export function close(actual: Tensor, expected: ArrayLike<number>, what: string): void {
  assert.equal(actual.data.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const value = Number(actual.data[i]);
    assert.ok(Math.abs(value - expected[i]) < TOLERANCE, `${what}[${i}]: ${value}, expected ${expected[i]}`);
  }
}

/** Quantizers and integers of mixed widths, from the ranges that the float network shows. */
export function quantizationOf(graph: Graph, input: Tensor): Quantization {
  return quantizationFrom(graph, interpret(graph, input), (i) => 2 + ((i * 3) % 7), 6);
}

/** As quantizationOf, from the values of the float network; every third activation has `third` bits. */
export function quantizationFrom(
  graph: Graph,
  values: ReadonlyMap<string, { data: ArrayLike<unknown> }>,
  bitsOf: (layer: number) => number,
  third = 8,
): Quantization {
  const activations = new Map<string, Quantizer>();
  quantizedValues(graph).forEach(({ value, nonNegativeByConstruction }, i) => {
    const data = Array.from(values.get(value)!.data, Number);
    const bits = i % 3 === 2 ? third : 8;
    const high = 2 ** bits - 1;
    const least = data.reduce((a, b) => Math.min(a, b), 0);
    const min = nonNegativeByConstruction ? 0 : least;
    const max = data.reduce((a, b) => Math.max(a, b), 0.1);
    const scale = Math.fround((max - min) / high);
    activations.set(value, { bits, scale, zeroPoint: rne(-min / scale), low: 0, high });
  });
  const layers = new Map<string, QuantizedLayer>();
  const layered = graph.nodes.filter(({ op }) => op === 'Conv' || op === 'Linear');
  layered.forEach((node, i) => {
    const weights = graph.constants.get(node.inputs[1])!;
    const bias = graph.constants.get(node.inputs[2])!;
    layers.set(node.name, integers(weights, bias.data as Float32Array, bitsOf(i)));
  });
  return { activations, layers };
}

export function integers({ shape, data }: Tensor, bias: Float32Array, bits: number): QuantizedLayer {
  const w = data as Float32Array;
  const depth = w.length / shape[0];
  const scales = Float32Array.from({ length: shape[0] }, (_, n) => {
    const row = w.subarray(n * depth, (n + 1) * depth);
    // A dead channel has a scale all the same.
    return Math.max(1e-6, ...row.map(Math.abs)) / 2 ** (bits - 1);
  });
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const q = Int8Array.from(w, (x, i) =>
    Math.min(Math.max(rne(x / scales[Math.trunc(i / depth)]), low), high),
  );
  return { bits, q, scales, bias };
}

export async function availableKernels(): Promise<Kernels[]> {
  const found: Kernels[] = [];
  for (const create of Object.values(backends)) {
    try {
      found.push(checked(await create({})));
    } catch (error) {
      if ((error as Partial<SigmaQuantError>).code !== 'BACKEND_UNAVAILABLE') throw error;
    }
  }
  return found;
}
