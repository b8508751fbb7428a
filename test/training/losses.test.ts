import assert from 'node:assert/strict';
import { blend, crossEntropy, distillation, type Loss, squaredError } from '../../lib/training/index.ts';
import { floats, normal, random } from '../contract/support.ts';
import { closeTo } from './support.ts';

const [ROWS, CLASSES] = [5, 7];
const logits = floats(ROWS * CLASSES, normal(random(3)));
const teacher = floats(ROWS * CLASSES, normal(random(4)));
const labels = [0, 6, 3, 3, 1];

/** Softmax at a temperature, float64, by its definition. */
function softmax(row: ArrayLike<number>, temperature = 1): number[] {
  const powers = Array.from(row, (value) => Math.exp(value / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

const rowsOf = (values: ArrayLike<number>) =>
  Array.from({ length: ROWS }, (_, row) => Array.from(values).slice(row * CLASSES, (row + 1) * CLASSES));

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const entropy = (smoothing: number) => (y: ArrayLike<number>) =>
  mean(
    rowsOf(y).map((row, i) =>
      softmax(row).reduce((sum, p, c) => {
        const target = smoothing / CLASSES + (c === labels[i] ? 1 - smoothing : 0);
        return sum - target * Math.log(p);
      }, 0),
    ),
  );

const divergence = (temperature: number) => (y: ArrayLike<number>) =>
  temperature ** 2 *
  mean(
    rowsOf(y).map((row, i) => {
      const [p, q] = [softmax(rowsOf(teacher)[i], temperature), softmax(row, temperature)];
      return p.reduce((sum, share, c) => sum + share * Math.log(share / q[c]), 0);
    }),
  );

const half = (y: ArrayLike<number>) =>
  mean(rowsOf(y).map((row, i) => row.reduce((sum, v, c) => sum + (v - rowsOf(teacher)[i][c]) ** 2 / 2, 0)));

const LOSSES: [string, Loss, (y: ArrayLike<number>) => number][] = [
  ['cross-entropy', crossEntropy(labels), entropy(0)],
  ['cross-entropy with smoothed labels', crossEntropy(labels, 0.2), entropy(0.2)],
  ['distillation', distillation(teacher), divergence(1)],
  ['distillation at a temperature of 4', distillation(teacher, 4), divergence(4)],
  ['distillation at a temperature of 0.5', distillation(teacher, 0.5), divergence(0.5)],
  ['squared error', squaredError(teacher), half],
  [
    'three parts labels, one part teacher',
    blend(crossEntropy(labels, 0.1), distillation(teacher, 2), 0.25),
    (y) => 0.75 * entropy(0.1)(y) + 0.25 * divergence(2)(y),
  ],
];

describe('training: losses', () => {
  for (const [name, loss, expected] of LOSSES)
    it(`${name}: its value, and its gradient against central differences in float64`, () => {
      const gradient = new Float32Array(logits.length);
      const value = loss(logits, CLASSES, gradient);
      assert.ok(Math.abs(value - expected(logits)) < 1e-9, `${value} against ${expected(logits)}`);
      const y = Float64Array.from(logits);
      const differences = y.map((at, i) => {
        const [more, less] = [at + 1e-5, at - 1e-5].map((moved) => {
          y[i] = moved;
          return expected(y);
        });
        y[i] = at;
        return (more - less) / 2e-5;
      });
      closeTo(gradient, differences, 'gradient', 1e-6);
    });

  it('is finite for scores far apart', () => {
    const gradient = new Float32Array(2);
    assert.equal(crossEntropy([1])(Float32Array.of(1e4, -1e4), 2, gradient), 2e4);
    assert.deepEqual([...gradient], [1, -1]);
    assert.equal(distillation(Float32Array.of(1e4, -1e4))(Float32Array.of(1e4, -1e4), 2, gradient), 0);
    assert.deepEqual([...gradient], [0, 0]);
  });
});
