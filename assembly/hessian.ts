import { own as errors } from './own';
import { roundDouble } from './rounding';

/** Rows that share one reading of the factor. */
const ROWS: i32 = 4;

/** Takes error * u[j][i] from the weights i > j of one row. */
@inline
function compensate(weights: usize, u: usize, error: f64, from: i32, k: i32): void {
  const e = f64x2.splat(error);
  let i = from;
  for (; i + 2 <= k; i += 2) {
    const at = weights + (<usize>i << 3);
    v128.store(at, f64x2.sub(v128.load(at), f64x2.mul(e, v128.load(u + (<usize>i << 3)))));
  }
  if (i < k) {
    const at = weights + (<usize>i << 3);
    store<f64>(at, load<f64>(at) - error * load<f64>(u + (<usize>i << 3)));
  }
}

export function roundWithHessian(
  w: usize,
  scales: usize,
  u: usize,
  k: i32,
  first: i32,
  last: i32,
  low: i32,
  high: i32,
  q: usize,
): void {
  for (let start = first; start < last; start += ROWS) {
    const rows = min(ROWS, last - start);
    for (let j = 0; j < k; j++) {
      const factor = u + ((<usize>j * k) << 3);
      for (let r = 0; r < rows; r++) {
        const row = <usize>(start + r);
        const scale = <f64>load<f32>(scales + (row << 2));
        const at = w + ((row * k + j) << 3);
        const weight = load<f64>(at);
        const level = roundDouble(min(max(weight / scale, <f64>low), <f64>high));
        store<i8>(q + row * k + j, <i8>level);
        const error = (weight - level * scale) / load<f64>(factor + (<usize>j << 3));
        store<f64>(errors + (r << 3), error);
        store<f64>(at, error);
      }
      for (let r = 0; r < rows; r++)
        compensate(w + ((<usize>(start + r) * k) << 3), factor, load<f64>(errors + (r << 3)), j + 1, k);
    }
  }
}
