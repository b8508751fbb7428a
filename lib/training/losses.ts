import { exp, log } from '../kernels/math.ts';

/** A loss over rows of class scores: the mean over rows, and its gradient, written to `gradient` [rows][classes]. */
export type Loss = (logits: Float32Array, classes: number, gradient: Float32Array) => number;

/** Softmax of one row into p; returns log Σ exp. float64. */
function softmax(
  logits: Float32Array,
  from: number,
  classes: number,
  temperature: number,
  p: Float64Array,
): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) most = Math.max(most, logits[from + c] / temperature);
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += p[c] = exp(logits[from + c] / temperature - most);
  for (let c = 0; c < classes; c++) p[c] /= sum;
  return most + log(sum);
}

/**
 * Softmax cross-entropy with label smoothing (Szegedy et al. 2016): the target is 1 - smoothing at the label and
 * smoothing / classes everywhere.
 */
export function crossEntropy(labels: ArrayLike<number>, smoothing = 0): Loss {
  return (logits, classes, gradient) => {
    const rows = logits.length / classes;
    const p = new Float64Array(classes);
    let loss = 0;
    for (let row = 0; row < rows; row++) {
      const from = row * classes;
      const total = softmax(logits, from, classes, 1, p);
      for (let c = 0; c < classes; c++) {
        const target = smoothing / classes + (c === labels[row] ? 1 - smoothing : 0);
        if (target > 0) loss += target * (total - logits[from + c]);
        gradient[from + c] = (p[c] - target) / rows;
      }
    }
    return loss / rows;
  };
}

/** Distillation (Hinton et al. 2015): T² KL(teacher ‖ student) of softmaxes at temperature T. */
export function distillation(teacher: Float32Array, temperature = 1): Loss {
  return (logits, classes, gradient) => {
    const rows = logits.length / classes;
    const [p, q] = [new Float64Array(classes), new Float64Array(classes)];
    let loss = 0;
    for (let row = 0; row < rows; row++) {
      const from = row * classes;
      const [totalP, totalQ] = [
        softmax(teacher, from, classes, temperature, p),
        softmax(logits, from, classes, temperature, q),
      ];
      for (let c = 0; c < classes; c++) {
        const difference = (teacher[from + c] - logits[from + c]) / temperature - totalP + totalQ;
        loss += p[c] * difference;
        gradient[from + c] = (temperature * (q[c] - p[c])) / rows;
      }
    }
    return (temperature * temperature * loss) / rows;
  };
}

/** (1 - share) * first + share * second. */
export function blend(first: Loss, second: Loss, share: number): Loss {
  return (logits, classes, gradient) => {
    const other = new Float32Array(gradient.length);
    const [a, b] = [first(logits, classes, gradient), second(logits, classes, other)];
    for (let i = 0; i < gradient.length; i++) gradient[i] = (1 - share) * gradient[i] + share * other[i];
    return (1 - share) * a + share * b;
  };
}

/** Half the mean over rows of Σ (y - target)², for outputs that are not classes. */
export function squaredError(target: Float32Array): Loss {
  return (y, width, gradient) => {
    const rows = y.length / width;
    let loss = 0;
    for (let i = 0; i < y.length; i++) {
      const difference = y[i] - target[i];
      loss += difference * difference;
      gradient[i] = difference / rows;
    }
    return loss / (2 * rows);
  };
}
