import { own as edge } from './own';
import { Shape, roundUp } from './shape';

/**
 * Second moments of patches. A round of patches is gathered as float64 rows, then every 4x4 tile of the matrix takes
 * all of them in order: each element adds its products one by one, as the contract says. Where the matrix given is
 * symmetric (zeros, or an earlier sum), the lower triangle is a copy of the upper.
 */
const ROUND: i32 = 32;
const TILE: i32 = 4;

@inline
function depthOf(s: Shape): i32 {
  return s.kernelHeight * s.kernelWidth * (s.inChannels / s.groups);
}

@inline
function paddedDepth(s: Shape): usize {
  return roundUp(depthOf(s), TILE);
}

export function gramScratch(s: Shape): usize {
  return <usize>ROUND * paddedDepth(s) * 8;
}

/** The patch of one output position and group as float64, zeros where the input ends. */
function gather(s: Shape, x: usize, position: i32, group: i32, to: usize): void {
  const channels = s.inChannels / s.groups;
  const column = position % s.outWidth;
  const row = (position / s.outWidth) % s.outHeight;
  const image = position / (s.outWidth * s.outHeight);
  memory.fill(to, 0, paddedDepth(s) << 3);
  for (let ky = 0; ky < s.kernelHeight; ky++) {
    const y = row * s.strideHeight - s.padTop + ky * s.dilationHeight;
    for (let kx = 0; kx < s.kernelWidth; kx++) {
      const sx = column * s.strideWidth - s.padLeft + kx * s.dilationWidth;
      if (y >= 0 && y < s.inHeight && sx >= 0 && sx < s.inWidth) {
        const pixel = (<usize>image * s.inHeight + y) * s.inWidth + sx;
        const from = x + ((pixel * s.inChannels + group * channels) << 2);
        let c = 0;
        for (; c + 2 <= channels; c += 2)
          v128.store(to + (<usize>c << 3), f64x2.promote_low_f32x4(v128.load64_zero(from + (<usize>c << 2))));
        if (c < channels) store<f64>(to + (<usize>c << 3), <f64>load<f32>(from + (<usize>c << 2)));
      }
      to += <usize>channels << 3;
    }
  }
}

/** Adds the products of `count` patches to the 4x4 tile at `tile` (row stride in bytes). */
function tileProducts(patches: usize, stride: usize, count: i32, i: i32, j: i32, tile: usize, row: usize): void {
  const r1 = tile + row;
  const r2 = r1 + row;
  const r3 = r2 + row;
  let c00 = v128.load(tile), c01 = v128.load(tile, 16);
  let c10 = v128.load(r1), c11 = v128.load(r1, 16);
  let c20 = v128.load(r2), c21 = v128.load(r2, 16);
  let c30 = v128.load(r3), c31 = v128.load(r3, 16);
  let a = patches + (<usize>i << 3);
  let b = patches + (<usize>j << 3);
  for (let p = 0; p < count; p++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load_splat<f64>(a);
    c00 = f64x2.add(c00, f64x2.mul(x, b0));
    c01 = f64x2.add(c01, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a, 8);
    c10 = f64x2.add(c10, f64x2.mul(x, b0));
    c11 = f64x2.add(c11, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a, 16);
    c20 = f64x2.add(c20, f64x2.mul(x, b0));
    c21 = f64x2.add(c21, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a, 24);
    c30 = f64x2.add(c30, f64x2.mul(x, b0));
    c31 = f64x2.add(c31, f64x2.mul(x, b1));
    a += stride;
    b += stride;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(r1, c10);
  v128.store(r1, c11, 16);
  v128.store(r2, c20);
  v128.store(r2, c21, 16);
  v128.store(r3, c30);
  v128.store(r3, c31, 16);
}

/** A tile that reaches beyond the matrix is worked on in a copy. */
function edgeTile(patches: usize, stride: usize, count: i32, i: i32, j: i32, k: i32, matrix: usize): void {
  const rows = min(TILE, k - i);
  const bytes = <usize>min(TILE, k - j) << 3;
  const from = matrix + ((<usize>i * k + j) << 3);
  for (let r = 0; r < rows; r++) memory.copy(edge + (r << 5), from + ((<usize>r * k) << 3), bytes);
  tileProducts(patches, stride, count, i, j, edge, 32);
  for (let r = 0; r < rows; r++) memory.copy(from + ((<usize>r * k) << 3), edge + (r << 5), bytes);
}

function isSymmetric(matrix: usize, k: i32): bool {
  for (let i = 0; i < k; i++)
    for (let j = 0; j < i; j++)
      if (load<u64>(matrix + ((<usize>i * k + j) << 3)) != load<u64>(matrix + ((<usize>j * k + i) << 3))) return false;
  return true;
}

function mirror(matrix: usize, k: i32): void {
  for (let i = 0; i < k; i++)
    for (let j = 0; j < i; j++)
      store<f64>(matrix + ((<usize>i * k + j) << 3), load<f64>(matrix + ((<usize>j * k + i) << 3)));
}

export function gram(s: Shape, x: usize, first: i32, step: i32, into: usize, scratch: usize): void {
  const k = depthOf(s);
  const positions = s.batch * s.outHeight * s.outWidth;
  const stride = paddedDepth(s) << 3;
  for (let group = 0; group < s.groups; group++) {
    const matrix = into + ((<usize>group * k * k) << 3);
    const symmetric = isSymmetric(matrix, k);
    for (let position: i64 = first; position < positions; ) {
      let count = 0;
      for (; count < ROUND && position < positions; position += step)
        gather(s, x, <i32>position, group, scratch + stride * count++);
      for (let i = 0; i < k; i += TILE)
        for (let j = symmetric ? i : 0; j < k; j += TILE)
          if (i + TILE <= k && j + TILE <= k)
            tileProducts(scratch, stride, count, i, j, matrix + ((<usize>i * k + j) << 3), <usize>k << 3);
          else edgeTile(scratch, stride, count, i, j, k, matrix);
    }
    if (symmetric) mirror(matrix, k);
  }
}
