import assert from 'node:assert/strict';
import { quantizedValues } from '../../lib/engine/index.ts';
import { SigmaQuantError } from '../../lib/errors.ts';
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

/** Quantizers from the ranges that the float network shows, and integers of mixed widths. */
export function quantizationOf(graph: Graph, input: Tensor): Quantization {
  const values = interpret(graph, input);
  const activations = new Map<string, Quantizer>();
  quantizedValues(graph).forEach(({ value, nonNegativeByConstruction }, i) => {
    const { data } = values.get(value)!;
    const bits = i % 3 === 2 ? 6 : 8;
    const high = 2 ** bits - 1;
    const min = nonNegativeByConstruction ? 0 : Math.min(0, ...data);
    const scale = Math.fround((Math.max(...data, 0.1) - min) / high);
    activations.set(value, { bits, scale, zeroPoint: rne(-min / scale), low: 0, high });
  });
  const layers = new Map<string, QuantizedLayer>();
  const layered = graph.nodes.filter(({ op }) => op === 'Conv' || op === 'Linear');
  layered.forEach((node, i) => {
    const weights = graph.constants.get(node.inputs[1])!;
    const bias = graph.constants.get(node.inputs[2])!;
    layers.set(node.name, integers(weights, bias.data as Float32Array, 2 + ((i * 3) % 7)));
  });
  return { activations, layers };
}

export function integers({ shape, data }: Tensor, bias: Float32Array, bits: number): QuantizedLayer {
  const w = data as Float32Array;
  const depth = w.length / shape[0];
  const scales = Float32Array.from({ length: shape[0] }, (_, n) => {
    const row = w.subarray(n * depth, (n + 1) * depth);
    return Math.max(...row.map(Math.abs)) / 2 ** (bits - 1);
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
      if (!(error instanceof SigmaQuantError && error.code === 'BACKEND_UNAVAILABLE')) throw error;
    }
  }
  return found;
}
