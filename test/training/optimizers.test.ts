import assert from 'node:assert/strict';
import { adam, clipGradients, cosine, type Parameter, parameter, sgd } from '../../lib/training/index.ts';
import { closeTo } from './support.ts';

/** The gradients that every test steps along. */
const GRADIENTS = [
  [1, -2],
  [0.5, 4],
  [-3, 0.25],
];

const learned = () => parameter(Float32Array.of(1, -1));

/** float64 steps by the formulas of the papers, one element at a time. */
function nesterov(x: number, gradients: number[], rate: number, momentum: number, decay: number): number {
  let v = 0;
  for (const gradient of gradients) {
    const g = gradient + decay * x;
    v = momentum * v + g;
    x -= rate * (g + momentum * v);
  }
  return x;
}

function adamw(x: number, gradients: number[], rate: number, decay: number): number {
  let [m, v] = [0, 0];
  gradients.forEach((g, i) => {
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const [first, second] = [m / (1 - 0.9 ** (i + 1)), v / (1 - 0.999 ** (i + 1))];
    x -= rate * (first / (Math.sqrt(second) + 1e-8) + decay * x);
  });
  return x;
}

function along(one: Parameter, step: () => void): Float32Array {
  for (const gradient of GRADIENTS) {
    one.gradient.set(gradient);
    step();
    assert.deepEqual([...one.gradient], gradient, 'gradients are left as they are');
  }
  return one.data;
}

const columns = [0, 1].map((i) => GRADIENTS.map((gradient) => gradient[i]));

describe('training: optimizers', () => {
  it('SGD: the first step by hand', () => {
    const one = learned();
    one.gradient.set([1, -2]);
    sgd([{ parameter: one, rate: 0.5, decay: 0 }], 0.5).step(0.5);
    // v = g; x - 0.25 (g + 0.5 v) = x - 0.375 g
    assert.deepEqual([...one.data], [1 - 0.375, -1 + 0.75]);
  });

  it('SGD: Nesterov momentum and decay over several steps', () => {
    for (const [momentum, rate, decay] of [
      [0.9, 1, 0],
      [0.9, 0.5, 0.1],
      [0, 2, 0.01],
    ]) {
      const one = learned();
      const optimizer = sgd([{ parameter: one, rate, decay }], momentum);
      const actual = along(one, () => optimizer.step(0.1));
      const expected = [1, -1].map((x, i) => nesterov(x, columns[i], 0.1 * rate, momentum, decay));
      closeTo(actual, expected, `momentum ${momentum}`, 1e-6);
      assert.equal(optimizer.steps, 3);
    }
  });

  it('Adam: the first step is the rate against the sign of the gradient', () => {
    const one = learned();
    one.gradient.set([1, -2]);
    adam([{ parameter: one, rate: 1, decay: 0 }]).step(0.125);
    closeTo(one.data, [1 - 0.125, -1 + 0.125], 'first step', 1e-6);
  });

  it('Adam: moments and decoupled decay over several steps', () => {
    for (const [rate, decay] of [
      [1, 0],
      [0.5, 0.2],
    ]) {
      const one = learned();
      const optimizer = adam([{ parameter: one, rate, decay }]);
      const actual = along(one, () => optimizer.step(0.1));
      const expected = [1, -1].map((x, i) => adamw(x, columns[i], 0.1 * rate, decay));
      closeTo(actual, expected, `decay ${decay}`, 1e-6);
    }
  });

  it('goes on from its state as if nothing had been', () => {
    for (const create of [sgd, adam]) {
      const [whole, parts] = [learned(), learned()];
      const optimizer = create([{ parameter: whole, rate: 1, decay: 0.01 }]);
      let current = create([{ parameter: parts, rate: 1, decay: 0.01 }]);
      for (const gradient of GRADIENTS) {
        whole.gradient.set(gradient);
        parts.gradient.set(gradient);
        optimizer.step(0.1);
        current.step(0.1);
        const next = create([{ parameter: parts, rate: 1, decay: 0.01 }]);
        next.state.forEach((values, i) => {
          values.set(current.state[i]);
        });
        next.steps = current.steps;
        current = next;
      }
      assert.deepEqual(parts.data, whole.data);
    }
  });

  it('clips gradients by their common norm and tells what it was', () => {
    const [a, b] = [learned(), learned()];
    a.gradient.set([3, 0]);
    b.gradient.set([0, -4]);
    assert.equal(clipGradients([a, b], 5), 5);
    assert.deepEqual([...a.gradient, ...b.gradient], [3, 0, 0, -4]);
    assert.equal(clipGradients([a, b], 2.5), 5);
    assert.deepEqual([...a.gradient, ...b.gradient], [1.5, 0, 0, -2]);
  });

  it('cosine: rises in a line, then falls along the curve', () => {
    for (const progress of [0, 0.1, 0.25, 0.5, 0.7, 0.9, 1])
      assert.ok(Math.abs(cosine(progress) - (1 + Math.cos(Math.PI * progress)) / 2) < 1e-9, `${progress}`);
    assert.equal(cosine(0, 0.2), 0);
    assert.equal(cosine(0.05, 0.2), 0.25);
    assert.equal(cosine(0.2, 0.2), 1);
    assert.ok(Math.abs(cosine(0.6, 0.2) - 0.5) < 1e-9);
    assert.ok(Math.abs(cosine(1, 0.2)) < 1e-9);
  });
});
