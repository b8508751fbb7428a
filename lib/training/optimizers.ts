import type { Parameter } from './training.ts';

/** Changes parameters by their gradients. State lies in flat arrays, so that a checkpoint can hold it. */
export interface Optimizer {
  /** One step at this rate; gradients are left as they are. */
  step(rate: number): void;
  /** [...of every parameter]; read for a checkpoint, and written back by `restore`. */
  readonly state: readonly Float32Array[];
  steps: number;
}

/** A parameter with what its optimizer does to it. */
export interface Trained {
  parameter: Parameter;
  /** Multiplies the rate. */
  rate: number;
  /** Decoupled weight decay, per unit of rate. */
  decay: number;
}

/** Stochastic gradient descent with Nesterov momentum. */
export function sgd(trained: readonly Trained[], momentum = 0.9): Optimizer {
  const velocity = trained.map(({ parameter }) => new Float32Array(parameter.data.length));
  return {
    state: velocity,
    steps: 0,
    step(rate) {
      this.steps++;
      trained.forEach(({ parameter: { data, gradient }, rate: factor, decay }, p) => {
        const v = velocity[p];
        for (let i = 0; i < data.length; i++) {
          const g = gradient[i] + decay * data[i];
          v[i] = momentum * v[i] + g;
          data[i] -= rate * factor * (g + momentum * v[i]);
        }
      });
    },
  };
}

/** Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019). */
export function adam(trained: readonly Trained[], beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8): Optimizer {
  const state = trained.flatMap(({ parameter: { data } }) => [
    new Float32Array(data.length),
    new Float32Array(data.length),
  ]);
  return {
    state,
    steps: 0,
    step(rate) {
      this.steps++;
      const [first, second] = [1 - beta1 ** this.steps, 1 - beta2 ** this.steps];
      trained.forEach(({ parameter: { data, gradient }, rate: factor, decay }, p) => {
        const [m, v] = [state[2 * p], state[2 * p + 1]];
        for (let i = 0; i < data.length; i++) {
          const g = gradient[i];
          m[i] += (1 - beta1) * (g - m[i]);
          v[i] += (1 - beta2) * (g * g - v[i]);
          const direction = m[i] / first / (Math.sqrt(v[i] / second) + epsilon);
          data[i] -= rate * factor * (direction + decay * data[i]);
        }
      });
    },
  };
}

/** Scales all gradients so that their common norm is at most `limit`; returns the norm before. */
export function clipGradients(parameters: readonly Parameter[], limit: number): number {
  let sum = 0;
  for (const { gradient } of parameters) for (const g of gradient) sum += g * g;
  const norm = Math.sqrt(sum);
  if (norm > limit)
    for (const { gradient } of parameters)
      for (let i = 0; i < gradient.length; i++) gradient[i] *= limit / norm;
  return norm;
}

/** A cosine from 1 down to 0 after a linear rise over the first `warmup` share (Loshchilov and Hutter 2017). */
export function cosine(progress: number, warmup = 0): number {
  if (progress < warmup) return progress / warmup;
  return cosineOf((progress - warmup) / (1 - warmup));
}

/** (1 + cos πt) / 2 by its series: the platform's cosine may differ in the last bit. */
function cosineOf(t: number): number {
  const x = Math.PI * (t < 0.5 ? t : 1 - t);
  let [term, sum] = [1, 1];
  for (let n = 2; n <= 20; n += 2) sum += term *= -(x * x) / (n * (n - 1));
  return t < 0.5 ? (1 + sum) / 2 : (1 - sum) / 2;
}
