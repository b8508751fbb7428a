import type { Tensor } from '../../lib/graph/index.ts';
import { floats, type ModelParts, node, wave } from './build.ts';

/** Weights [rows][...] whose rows and columns differ widely. */
export function uneven(shape: readonly number[], phase: number): Tensor {
  const tensor = wave(shape, phase);
  const per = tensor.data.length / shape[0];
  const data = (tensor.data as Float32Array).map(
    (value, i) => value * [0.02, 1, 9][Math.floor(i / per) % 3] * (i % 2 ? 1 : 0.3),
  );
  return { ...tensor, data };
}

const ASYMMETRIC = { pads: [0, 0, 1, 1], strides: [2, 2] };

/** conv (pads), act, depthwise (asymmetric pads), act, 1x1, linear, pool, fc. */
export function separable(activation: 'Relu' | 'Clip' | 'none'): ModelParts {
  const act = (from: string, to: string) => {
    if (activation === 'none') return node('Identity', [from], [to]);
    return activation === 'Relu' ? node('Relu', [from], [to]) : node('Clip', [from, 'zero', 'six'], [to]);
  };
  return {
    nodes: [
      node('Conv', ['x', 'w1', 'b1'], ['c1'], { pads: [1, 1, 1, 1] }),
      act('c1', 'a1'),
      node('Conv', ['a1', 'w2', 'b2'], ['c2'], { group: 6, ...ASYMMETRIC }),
      act('c2', 'a2'),
      node('Conv', ['a2', 'w3'], ['c3']),
      node('Conv', ['c3', 'w4', 'b4'], ['c4']),
      node('Relu', ['c4'], ['a4']),
      node('GlobalAveragePool', ['a4'], ['p']),
      node('Flatten', ['p'], ['f']),
      node('Gemm', ['f', 'w5', 'b5'], ['y'], { transB: 1 }),
    ],
    inputs: { x: ['batch', 3, 5, 5] },
    outputs: ['y'],
    constants: {
      w1: uneven([6, 3, 3, 3], 0.1),
      b1: wave([6], 1),
      w2: uneven([6, 1, 3, 3], 0.2),
      b2: wave([6], 2),
      w3: uneven([4, 6, 1, 1], 0.3),
      w4: uneven([6, 4, 1, 1], 0.5),
      b4: wave([6], 3),
      w5: uneven([3, 6], 0.7),
      b5: wave([3], 4),
      zero: floats([], 0),
      six: floats([], 6),
    },
  };
}
