import { type StridedCopy, simplify } from '../../engine/strided-copy.ts';
import type { Call } from './recorder.ts';

type PlaneCall = Extract<Call, { verb: 'copyPlane' }>;

/**
 * Calls that copy planes of one shape, in the order in which nested loops visit them -> those loops as strided copies:
 * one where the calls are regular, else one per call.
 */
export function stridedCopies(calls: readonly PlaneCall[]): StridedCopy[] {
  if (calls.length === 0) return [];
  const [, , rows, columns, , fromRow, fromColumn, , toRow, toColumn] = calls[0].values;
  let starts = calls.map(({ values }) => ({ from: values[4], to: values[7] }));
  const [shape, fromStrides, toStrides] = [
    [rows, columns],
    [fromRow, fromColumn],
    [toRow, toColumn],
  ];
  while (starts.length > 1) {
    const [from, to] = [starts[1].from - starts[0].from, starts[1].to - starts[0].to];
    const follows = (i: number) =>
      starts[i].from - starts[i - 1].from === from && starts[i].to - starts[i - 1].to === to;
    let length = 2;
    while (length < starts.length && follows(length)) length++;
    const regular = starts.length % length === 0 && starts.every((_, i) => i % length === 0 || follows(i));
    if (!regular) return calls.flatMap((call) => stridedCopies([call]));
    shape.unshift(length);
    fromStrides.unshift(from);
    toStrides.unshift(to);
    starts = starts.filter((_, i) => i % length === 0);
  }
  const [{ from, to }] = starts;
  return [simplify({ shape, fromOffset: from, fromStrides, toOffset: to, toStrides })];
}
