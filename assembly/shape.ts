/** Mirrors ConvShape of lib/kernels/kernels.ts; lib/kernels/wasm.ts writes the fields in this order. */
@unmanaged
export class Shape {
  batch: i32;
  inHeight: i32;
  inWidth: i32;
  inChannels: i32;
  outHeight: i32;
  outWidth: i32;
  outChannels: i32;
  kernelHeight: i32;
  kernelWidth: i32;
  strideHeight: i32;
  strideWidth: i32;
  dilationHeight: i32;
  dilationWidth: i32;
  padTop: i32;
  padLeft: i32;
  groups: i32;
}

/** One input channel per group and several groups: vectorized over channels, with a packed layout of its own. */
@inline
export function isDepthwise(channels: i32, groups: i32): bool {
  return channels == 1 && groups > 1;
}

@inline
export function roundUp(x: usize, multiple: usize): usize {
  return ((x + multiple - 1) / multiple) * multiple;
}
