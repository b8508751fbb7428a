import { clampOf } from '../../engine/geometry.ts';
import type { FloatSlot } from '../../engine/storage.ts';
import type { Node } from '../../graph/graph.ts';
import { sizeOf } from '../../graph/index.ts';
import type { Backward, TapeBuilder } from '../tape.ts';
import { maskClamp } from './clamp.ts';

/** out[i] reads a[places[i]]; null where the shapes are the same. */
function broadcast(from: readonly number[], to: readonly number[]): Int32Array | null {
  if (String(from) === String(to)) return null;
  const padded = [...new Array<number>(to.length - from.length).fill(1), ...from];
  const strides = padded.map((size, axis) => (size === 1 ? 0 : sizeOf(padded.slice(axis + 1))));
  const places = new Int32Array(sizeOf(to));
  const index = new Array<number>(to.length).fill(0);
  for (let i = 0, at = 0; i < places.length; i++) {
    places[i] = at;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      index[axis]++;
      at += strides[axis];
      if (index[axis] < to[axis]) break;
      at -= strides[axis] * to[axis];
      index[axis] = 0;
    }
  }
  return places;
}

export function add(tape: TapeBuilder, node: Node): Backward {
  const [a, b] = node.inputs.map((name) => tape.value(name));
  const y = tape.output(node);
  const [low, high] = clampOf(node);
  const [placesA, placesB] = node.inputs.map((name) =>
    broadcast(tape.shape(name), tape.shape(node.outputs[0])),
  );
  if (!placesA && !placesB)
    tape.emitElements([a, b, y], () => tape.kernels.add(a.data, b.data, low, high, y.data));
  else
    tape.emitElements([a, b, y], () => {
      for (let i = 0; i < y.length; i++) {
        const sum = Math.fround(a.data[placesA ? placesA[i] : i] + b.data[placesB ? placesB[i] : i]);
        y.data[i] = Math.min(Math.max(sum, low), high);
      }
    });
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    maskClamp(tape, y, g, low, high);
    // Whoever takes the slot itself comes last: what is added to it later must not reach the other.
    passBroadcast(tape, node.inputs[1], placesB, g);
    if (placesA) passBroadcast(tape, node.inputs[0], placesA, g);
    else tape.adopt(node.inputs[0], g);
  };
}

/** The output's gradient, or its sums over what was repeated. */
function passBroadcast(tape: TapeBuilder, name: string, places: Int32Array | null, g: FloatSlot): void {
  tape.contribute(name, [g], g.length, (out) => {
    if (!places) out.set(g.data);
    else sumInto(out, places, (i) => g.data[i]);
  });
}

/** Summed in float64, in ascending order. */
function sumInto(out: Float32Array, places: Int32Array, term: (i: number) => number): void {
  const sums = new Float64Array(out.length);
  for (let i = 0; i < places.length; i++) sums[places[i]] += term(i);
  out.set(sums);
}

export function multiply(tape: TapeBuilder, node: Node): Backward {
  const slots = node.inputs.map((name) => tape.value(name));
  const y = tape.output(node);
  const places = node.inputs.map((name) => broadcast(tape.shape(name), tape.shape(node.outputs[0])));
  const at = (input: number, i: number) => slots[input].data[places[input]?.[i] ?? i];
  tape.emitElements([...slots, y], () => {
    for (let i = 0; i < y.length; i++) y.data[i] = at(0, i) * at(1, i);
  });
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    for (const input of [0, 1]) {
      const other = 1 - input;
      const term = (i: number) => g.data[i] * at(other, i);
      tape.contribute(node.inputs[input], [g, slots[other]], g.length * 8, (out) => {
        const repeated = places[input];
        if (repeated) sumInto(out, repeated, term);
        else for (let i = 0; i < out.length; i++) out[i] = term(i);
      });
    }
  };
}
