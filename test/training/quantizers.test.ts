import assert from 'node:assert/strict';
import { createKernels } from '../../lib/kernels/index.ts';
import { roundHalfEven } from '../../lib/kernels/math.ts';
import { learnedSteps, parameter, softRounding, tapeOf } from '../../lib/training/index.ts';
import { floats, normal, random } from '../contract/support.ts';
import { closeTo, graphOf, node, noPause } from './support.ts';

const STEP = 1e-5;

/** Central differences of f by each element of x. */
function differences(x: Float64Array, f: () => number): Float64Array {
  return x.map((at, i) => {
    const [more, less] = [at + STEP, at - STEP].map((moved) => {
      x[i] = moved;
      return f();
    });
    x[i] = at;
    return (more - less) / (2 * STEP);
  });
}

/**
 * What straight through means, as a smooth function of value and step near (value0, step0): the level stays away from
 * value / step by what rounding moved it, and at the limit where it is cut.
 */
function surrogate(value0: number, step0: number, low: number, high: number) {
  const rounded = roundHalfEven(Math.fround(value0 / step0));
  const moved = rounded - value0 / step0;
  return (value: number, step: number) => {
    if (rounded < low) return step * low;
    return rounded > high ? step * high : step * (value / step + moved);
  };
}

const [CHANNELS, DEPTH] = [3, 20];
const weights = floats(CHANNELS * DEPTH, normal(random(8)));
const slopes = floats(CHANNELS * DEPTH, normal(random(9)));

describe('training: quantizers', () => {
  for (const bits of [2, 3, 4, 8])
    it(`learned steps of ${bits} bits: gradients of the straight-through surrogate`, () => {
      const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
      const scales = Float32Array.of(2.5 / 2 ** bits, 4 / 2 ** bits, 1.5 / 2 ** bits);
      const latent = parameter(weights.slice());
      const learned = learnedSteps(latent, scales.slice(), bits);
      const q = learned.integers();
      assert.ok(q.includes(low) && q.includes(high) && q.some((level) => level > low && level < high));
      assert.deepEqual(
        learned.quantize(),
        Float32Array.from(q, (level, i) => level * scales[Math.floor(i / DEPTH)]),
      );
      learned.backward(slopes);
      const [w, s] = [Float64Array.from(weights), Float64Array.from(scales)];
      const functions = Array.from(weights, (weight, i) =>
        surrogate(weight, scales[Math.floor(i / DEPTH)], low, high),
      );
      const loss = () =>
        functions.reduce((sum, f, i) => sum + slopes[i] * f(w[i], s[Math.floor(i / DEPTH)]), 0);
      closeTo(latent.gradient, differences(w, loss), 'weights');
      const damping = 1 / Math.sqrt(DEPTH * high);
      closeTo(
        learned.scales.gradient,
        differences(s, loss).map((slope) => slope * damping),
        'steps',
      );
    });

  it('learned steps that became too small, or negative, are held', () => {
    const learned = learnedSteps(parameter(Float32Array.of(1, 2)), Float32Array.of(-1, 0.5), 4);
    assert.deepEqual([...learned.integers()], [7, 4]);
    assert.deepEqual([...learned.scales.data], [2 ** -40, 0.5]);
  });

  it('learned steps of activations: gradients of the straight-through surrogate through a tape', async () => {
    const kernels = await createKernels();
    const x = floats(4 * 50, normal(random(12)));
    for (const [low, high, zeroPoint, scale] of [
      [0, 255, 100, 0.01],
      [0, 15, 0, 0.1],
      [-8, 7, 0, 0.25],
    ]) {
      const step = parameter(Float32Array.of(scale));
      const graph = graphOf(
        [node('Identity', ['x'], {}, 'q'), node('Mul', ['q', 'c'])],
        { x: [4, 50] },
        new Map([['c', constant(50)]]),
      );
      const tape = tapeOf(graph, kernels, 4, {
        parameters: new Map(),
        activations: new Map([['q', { scale: step, zeroPoint, low, high }]]),
        outputs: ['y'],
        watch: ['x'],
      });
      tape.input('x.fed').set(x);
      await tape.run('forward', noPause);
      tape.seed('y').set(x.map((_, i) => slopes[i % slopes.length]));
      await tape.run('backward', noPause);
      const g = Float64Array.from(x, (_, i) => slopes[i % slopes.length] * Number(constant(50).data[i % 50]));
      const s = Float64Array.of(step.data[0]);
      const functions = Array.from(x, (value) => surrogate(value, s[0], low - zeroPoint, high - zeroPoint));
      const w = Float64Array.from(x);
      const loss = () => functions.reduce((sum, f, i) => sum + g[i] * f(w[i], s[0]), 0);
      closeTo(tape.watched('x'), differences(w, loss), `values of ${low}..${high}`);
      closeTo(step.gradient, differences(s, loss), `step of ${low}..${high}`);
      tape.dispose();
    }
    kernels.dispose();
  });
});

const constant = (length: number) => ({
  dtype: 'float32' as const,
  shape: [length],
  data: floats(length, normal(random(13))),
});

/** A start for soft rounding: nearest integers of 3 bits, one of them off by one. */
function start() {
  const scales = Float32Array.of(0.5, 0.75, 0.4);
  const q = Int8Array.from(weights, (weight, i) =>
    Math.min(Math.max(roundHalfEven(weight / scales[Math.floor(i / DEPTH)]), -4), 3),
  );
  q[0] += q[0] < 3 ? 1 : -1;
  return { bits: 3, q, scales, bias: new Float32Array(CHANNELS) };
}

describe('training: soft rounding', () => {
  it('starts at the integers that it was given and stays in their range', () => {
    const given = start();
    const soft = softRounding(weights, given);
    const made = soft.quantize();
    made.forEach((value, i) => {
      const level = value / given.scales[Math.floor(i / DEPTH)];
      assert.ok(level > -4.001 && level < 3.001 && Math.abs(level - given.q[i]) < 1, `[${i}] ${level}`);
    });
    // Half way between the exact weight and the given integer: nearest ones stay.
    assert.deepEqual(soft.integers().subarray(1), given.q.subarray(1));
  });

  it('its gradients are the slopes of what it makes, which is smooth', () => {
    const soft = softRounding(weights, start());
    soft.backward(slopes);
    const loss = () => soft.quantize().reduce((sum, value, i) => sum + slopes[i] * value, 0);
    // In float32: the step is larger, and so is the error.
    const numeric = (data: Float32Array, i: number) => {
      const at = data[i];
      const [more, less] = [at + 2 ** -7, at - 2 ** -7].map((moved) => {
        data[i] = moved;
        return loss();
      });
      data[i] = at;
      return (more - less) / 2 ** -6;
    };
    const positions = soft.positions.data.slice().map((_, i) => numeric(soft.positions.data, i));
    closeTo(soft.positions.gradient, positions, 'positions', 2e-3);
    const damping = 1 / Math.sqrt(DEPTH * 3);
    const scales = soft.scales.data.slice().map((_, n) => numeric(soft.scales.data, n) * damping);
    closeTo(soft.scales.gradient, scales, 'scales', 2e-3);
  });

  it('pulls every position to the nearer integer once annealing has begun', () => {
    const soft = softRounding(weights, start());
    const flat = new Float32Array(weights.length);
    soft.anneal(0);
    soft.backward(slopes);
    soft.anneal(1);
    soft.positions.gradient.fill(0);
    soft.backward(flat);
    const shares = soft.quantize().map((value, i) => {
      const level = value / soft.scales.data[Math.floor(i / DEPTH)];
      return level - Math.floor(level);
    });
    let [up, down] = [0, 0];
    soft.positions.gradient.forEach((slope, i) => {
      // Descent goes against the slope. At full annealing the pull grows with the distance from the middle.
      if (shares[i] > 0.51 && shares[i] < 0.99) {
        assert.ok(slope < 0, `[${i}] ${slope} at ${shares[i]}`);
        up++;
      } else if (shares[i] > 0.01 && shares[i] < 0.49) {
        assert.ok(slope > 0, `[${i}] ${slope} at ${shares[i]}`);
        down++;
      }
    });
    assert.ok(up > 5 && down > 5, `${up} up, ${down} down`);
  });
});
