export function peak(): number {
  return 0;
}

export function read(x: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum = (sum + x[i]) | 0;
  return sum;
}

/** As words: copying floats may quiet a NaN. */
export function copy(x: Float32Array, out: Float32Array): void {
  const words = (view: Float32Array) => new Int32Array(view.buffer, view.byteOffset, view.length);
  words(out).set(words(x));
}
