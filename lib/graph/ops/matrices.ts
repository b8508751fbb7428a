import type { Node } from '../graph.ts';
import { fromNumbers, numbers } from '../tensors.ts';
import { spread } from './elementwise.ts';
import { broadcastStrides, offsets } from './indexing.ts';
import { broadcast, misfit, need, number, type Operator, sameTypes } from './operator.ts';

export interface Product {
  shape: number[];
  /** Per matrix of the result: where its factors start. */
  a: Int32Array;
  b: Int32Array;
  m: number;
  n: number;
  k: number;
}

/** numpy's matmul: vectors become matrices, leading axes broadcast. */
export function productOf(node: Node, a: readonly number[], b: readonly number[]): Product {
  if (a.length === 0 || b.length === 0) misfit(node, 'vectors or matrices', 'a scalar');
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const [m, k] = left.slice(-2);
  const [depth, n] = right.slice(-2);
  if (k !== depth) misfit(node, 'matrices that fit', `[${a.join(', ')}] and [${b.join(', ')}]`);
  const [outerA, outerB] = [left.slice(0, -2), right.slice(0, -2)];
  const outer = broadcast(node, outerA, outerB);
  const starts = (own: readonly number[], size: number) =>
    offsets(
      outer,
      broadcastStrides(own, outer).map((stride) => stride * size),
    );
  const shape = [...outer, ...(a.length === 1 ? [] : [m]), ...(b.length === 1 ? [] : [n])];
  return { shape, a: starts(outerA, m * k), b: starts(outerB, k * n), m, n, k };
}

/** Sums in float64. */
export function multiply(product: Product, x: ArrayLike<number>, y: ArrayLike<number>): Float64Array {
  const { a, b, m, n, k } = product;
  const out = new Float64Array(a.length * m * n);
  for (let matrix = 0; matrix < a.length; matrix++)
    for (let i = 0; i < m; i++)
      for (let d = 0; d < k; d++) {
        const factor = x[a[matrix] + i * k + d];
        const row = b[matrix] + d * n;
        const to = (matrix * m + i) * n;
        for (let j = 0; j < n; j++) out[to + j] += factor * y[row + j];
      }
  return out;
}

const matMul: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    sameTypes(node, inputs);
    return [{ dtype: a.dtype, shape: productOf(node, a.shape, b.shape).shape }];
  },
  evaluate(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    const product = productOf(node, a.shape, b.shape);
    return [fromNumbers(a.dtype, product.shape, multiply(product, numbers(a), numbers(b)))];
  },
};

function gemmSizes(node: Node, a: readonly number[], b: readonly number[]) {
  if (a.length !== 2 || b.length !== 2)
    misfit(node, 'two matrices', `[${a.join(', ')}] and [${b.join(', ')}]`);
  const [turnA, turnB] = [number(node, 'transA', 0) === 1, number(node, 'transB', 0) === 1];
  const [m, k] = turnA ? [a[1], a[0]] : a;
  const [depth, n] = turnB ? [b[1], b[0]] : b;
  if (k !== depth) misfit(node, 'matrices that fit', `[${a.join(', ')}] and [${b.join(', ')}]`);
  return { m, n, k, turnA, turnB };
}

const gemm: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    const { m, n } = gemmSizes(node, a.shape, b.shape);
    sameTypes(node, inputs);
    return [{ dtype: a.dtype, shape: [m, n] }];
  },
  evaluate(node, inputs) {
    const [a, b] = [need(node, inputs, 0), need(node, inputs, 1)];
    const { m, n, k, turnA, turnB } = gemmSizes(node, a.shape, b.shape);
    const [alpha, beta] = [number(node, 'alpha', 1), number(node, 'beta', 1)];
    const [x, y] = [numbers(a), numbers(b)];
    const bias = inputs[2] ? spread(inputs[2], [m, n]) : () => 0;
    const out = new Float64Array(m * n);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let d = 0; d < k; d++)
          sum += x[turnA ? d * m + i : i * k + d] * y[turnB ? j * k + d : d * n + j];
        out[i * n + j] = alpha * sum + beta * bias(i * n + j);
      }
    return [fromNumbers(a.dtype, [m, n], out)];
  },
};

export const MATRICES: Readonly<Record<string, Operator>> = { MatMul: matMul, Gemm: gemm };
