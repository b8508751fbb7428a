import type { Graph } from '../graph/graph.ts';

/** A layer's integers [out][taps][channels] as ONNX's [out][channels][taps]. */
export function outermostFirst(source: Int8Array, outChannels: number, channels: number): Int8Array {
  const taps = source.length / (outChannels * channels);
  const q = new Int8Array(source.length);
  let i = 0;
  for (let out = 0; out < outChannels; out++)
    for (let channel = 0; channel < channels; channel++)
      for (let tap = 0; tap < taps; tap++) q[i++] = source[(out * taps + tap) * channels + channel];
  return q;
}

/** [rows][columns] -> [columns][rows] */
export function transposed<T extends Float32Array | Int8Array>(source: T, rows: number, columns: number): T {
  const target = source.slice() as T;
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) target[j * rows + i] = source[i * columns + j];
  return target;
}

/** Number of dimensions of a value; 2 where nobody knows. */
export function rankOf(graph: Graph, value: string): number {
  return (graph.types.get(value) ?? graph.inputs.find(({ name }) => name === value))?.shape.length ?? 2;
}
