import { limitFloats } from './rounding';

/** Of the call that is running; there is one thread. */
let least: f32 = 0;
let most: f32 = 0;

const partial = memory.data(32, 16);

export function setRange(low: f32, high: f32): void {
  least = low;
  most = high;
}

@inline
function limited(sum: v128, bias: v128): v128 {
  return limitFloats(f32x4.add(sum, bias), f32x4.splat(least), f32x4.splat(most));
}

/** Writes `count` (1..8) outputs of one pixel. */
@inline
export function finishFloat(out: usize, count: i32, low: v128, high: v128, biasLow: v128, biasHigh: v128): void {
  const to = count == 8 ? out : partial;
  v128.store(to, limited(low, biasLow));
  v128.store(to, limited(high, biasHigh), 16);
  if (count != 8) memory.copy(out, partial, <usize>count << 2);
}
