import { finish, outputBytes, partialWords } from './epilogue';
import { roundUp } from './shape';
import { COLUMNS } from './weights';

/** Two taps of eight channels, interleaved so that one dot product takes both. */
@inline
function firstChannels(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
function lastChannels(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** All pixels of an int16 tile, eight channels and four pixels at a time; weights int16 [pair][channel][2]. */
export function depthwisePixels(
  channels: i32,
  tile: usize,
  offsets: usize,
  pixels: i32,
  taps: usize,
  pairs: i32,
  weights: usize,
  bias: usize,
  multipliers: usize,
  out: usize,
): void {
  const row = roundUp(channels, COLUMNS) << 2;
  const outStride = <usize>channels * outputBytes;
  for (let channel = 0; channel < channels; channel += COLUMNS) {
    const count = min(COLUMNS, channels - channel);
    const at = <usize>channel << 2;
    const bias0 = partialWords(bias ? bias + at : 0, 0, count);
    const bias1 = partialWords(bias ? bias + at : 0, 4, count);
    const scale0 = partialWords(multipliers ? multipliers + at : 0, 0, count);
    const scale1 = partialWords(multipliers ? multipliers + at : 0, 4, count);
    const a = tile + (<usize>channel << 1);
    let to = out + <usize>channel * outputBytes;
    let p = 0;
    for (; p + 4 <= pixels; p += 4) {
      const o = offsets + (<usize>p << 2);
      const a0 = a + load<u32>(o);
      const a1 = a + load<u32>(o, 4);
      const a2 = a + load<u32>(o, 8);
      const a3 = a + load<u32>(o, 12);
      let c00 = bias0, c01 = bias1, c10 = bias0, c11 = bias1;
      let c20 = bias0, c21 = bias1, c30 = bias0, c31 = bias1;
      let w = weights + at;
      let tap = taps;
      for (let i = 0; i < pairs; i++) {
        const first = load<u32>(tap);
        const second = load<u32>(tap, 4);
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        let x = v128.load(a0 + first);
        let y = v128.load(a0 + second);
        c00 = i32x4.add(c00, i32x4.dot_i16x8_s(firstChannels(x, y), w0));
        c01 = i32x4.add(c01, i32x4.dot_i16x8_s(lastChannels(x, y), w1));
        x = v128.load(a1 + first);
        y = v128.load(a1 + second);
        c10 = i32x4.add(c10, i32x4.dot_i16x8_s(firstChannels(x, y), w0));
        c11 = i32x4.add(c11, i32x4.dot_i16x8_s(lastChannels(x, y), w1));
        x = v128.load(a2 + first);
        y = v128.load(a2 + second);
        c20 = i32x4.add(c20, i32x4.dot_i16x8_s(firstChannels(x, y), w0));
        c21 = i32x4.add(c21, i32x4.dot_i16x8_s(lastChannels(x, y), w1));
        x = v128.load(a3 + first);
        y = v128.load(a3 + second);
        c30 = i32x4.add(c30, i32x4.dot_i16x8_s(firstChannels(x, y), w0));
        c31 = i32x4.add(c31, i32x4.dot_i16x8_s(lastChannels(x, y), w1));
        w += row;
        tap += 8;
      }
      finish(to, count, c00, c01, scale0, scale1);
      finish(to + outStride, count, c10, c11, scale0, scale1);
      finish(to + 2 * outStride, count, c20, c21, scale0, scale1);
      finish(to + 3 * outStride, count, c30, c31, scale0, scale1);
      to += 4 * outStride;
    }
    for (; p < pixels; p++) {
      const a0 = a + load<u32>(offsets + (<usize>p << 2));
      let c0 = bias0, c1 = bias1;
      for (let i = 0; i < pairs; i++) {
        const tap = taps + (<usize>i << 3);
        const w = weights + at + <usize>i * row;
        const x = v128.load(a0 + load<u32>(tap));
        const y = v128.load(a0 + load<u32>(tap, 4));
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(firstChannels(x, y), v128.load(w)));
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(lastChannels(x, y), v128.load(w, 16)));
      }
      finish(to, count, c0, c1, scale0, scale1);
      to += outStride;
    }
  }
}
