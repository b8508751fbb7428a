import { partialWords } from './epilogue';
import { finishFloat } from './float-epilogue';
import { roundUp } from './shape';
import { COLUMNS } from './weights';

/** All pixels of a float tile, eight channels and four pixels at a time; weights [tap][channel]. */
export function depthwiseFloatPixels(
  channels: i32,
  tile: usize,
  offsets: usize,
  pixels: i32,
  taps: usize,
  count: i32,
  weights: usize,
  bias: usize,
  out: usize,
): void {
  const row = roundUp(channels, COLUMNS) << 2;
  const outStride = <usize>channels << 2;
  const zero = f32x4.splat(0);
  for (let channel = 0; channel < channels; channel += COLUMNS) {
    const columns = min(COLUMNS, channels - channel);
    const at = <usize>channel << 2;
    const bias0 = partialWords(bias ? bias + at : 0, 0, columns);
    const bias1 = partialWords(bias ? bias + at : 0, 4, columns);
    const a = tile + at;
    let to = out + at;
    let p = 0;
    for (; p + 4 <= pixels; p += 4) {
      const o = offsets + (<usize>p << 2);
      const a0 = a + load<u32>(o);
      const a1 = a + load<u32>(o, 4);
      const a2 = a + load<u32>(o, 8);
      const a3 = a + load<u32>(o, 12);
      let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
      let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
      let w = weights + at;
      for (let tap = 0; tap < count; tap++) {
        const shift = load<u32>(taps + (<usize>tap << 2));
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        c00 = f32x4.add(c00, f32x4.mul(v128.load(a0 + shift), w0));
        c01 = f32x4.add(c01, f32x4.mul(v128.load(a0 + shift, 16), w1));
        c10 = f32x4.add(c10, f32x4.mul(v128.load(a1 + shift), w0));
        c11 = f32x4.add(c11, f32x4.mul(v128.load(a1 + shift, 16), w1));
        c20 = f32x4.add(c20, f32x4.mul(v128.load(a2 + shift), w0));
        c21 = f32x4.add(c21, f32x4.mul(v128.load(a2 + shift, 16), w1));
        c30 = f32x4.add(c30, f32x4.mul(v128.load(a3 + shift), w0));
        c31 = f32x4.add(c31, f32x4.mul(v128.load(a3 + shift, 16), w1));
        w += row;
      }
      finishFloat(to, columns, c00, c01, bias0, bias1);
      finishFloat(to + outStride, columns, c10, c11, bias0, bias1);
      finishFloat(to + 2 * outStride, columns, c20, c21, bias0, bias1);
      finishFloat(to + 3 * outStride, columns, c30, c31, bias0, bias1);
      to += 4 * outStride;
    }
    for (; p < pixels; p++) {
      const start = a + load<u32>(offsets + (<usize>p << 2));
      let c0 = zero, c1 = zero;
      for (let tap = 0; tap < count; tap++) {
        const x = start + load<u32>(taps + (<usize>tap << 2));
        const w = weights + at + <usize>tap * row;
        c0 = f32x4.add(c0, f32x4.mul(v128.load(x), v128.load(w)));
        c1 = f32x4.add(c1, f32x4.mul(v128.load(x, 16), v128.load(w, 16)));
      }
      finishFloat(to, columns, c0, c1, bias0, bias1);
      to += outStride;
    }
  }
}
