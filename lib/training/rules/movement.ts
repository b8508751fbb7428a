import { SigmaQuantError } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import { evaluateNode, sizeOf } from '../../graph/index.ts';
import type { Backward, TapeBuilder } from '../tape.ts';

/** The same elements under another shape. */
export function view(tape: TapeBuilder, node: Node): Backward {
  tape.alias(node, tape.value(node.inputs[0]));
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (g) tape.adopt(node.inputs[0], g);
  };
}

export function concat(tape: TapeBuilder, node: Node): Backward {
  const parts = node.inputs.map((name) => tape.value(name));
  const y = tape.output(node);
  const shape = tape.shape(node.outputs[0]);
  const axis = node.attributes['axis'] as number;
  const outer = sizeOf(shape.slice(0, axis));
  const widths = parts.map(({ length }) => length / outer);
  const row = y.length / outer;
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((sum, width) => sum + width, 0));
  tape.emitElements([...parts, y], () => {
    parts.forEach(({ data }, i) => {
      tape.kernels.copyPlane(data, y.data, outer, widths[i], 0, widths[i], 1, starts[i], row, 1);
    });
  });
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    node.inputs.forEach((name, i) => {
      tape.contribute(name, [g], g.length, (out) => {
        tape.kernels.copyPlane(g.data, out, outer, widths[i], starts[i], row, 1, 0, widths[i], 1);
      });
    });
  };
}

/** Elements that lie together before and after. */
interface Runs {
  /** First input element, first output element and length of each. */
  spans: Int32Array;
  /** Whether every output element is among them. */
  whole: boolean;
}

/** Where each output element comes from: the operator itself says so, of the numbers 1, 2, ..., with zeros for none. */
function runsOf(tape: TapeBuilder, node: Node): Runs {
  const shape = tape.shape(node.inputs[0]);
  const numbered = Float64Array.from({ length: sizeOf(shape) }, (_, i) => i + 1);
  const inputs = node.inputs.map((name, i) =>
    i === 0 ? { dtype: 'float64' as const, shape, data: numbered } : (tape.graph.constants.get(name) ?? null),
  );
  const places = evaluateNode(tape.graph, node, inputs)[0].data as Float64Array;
  const spans: number[] = [];
  let moved = 0;
  for (let to = 0; to < places.length; ) {
    let end = to + 1;
    if (places[to] > 0) {
      while (end < places.length && places[end] === places[end - 1] + 1) end++;
      spans.push(places[to] - 1, to, end - to);
      moved += end - to;
    }
    to = end;
  }
  return { spans: Int32Array.from(spans), whole: moved === places.length };
}

/** Anything that only moves elements and fills the rest with zeros. */
export function moved(tape: TapeBuilder, node: Node): Backward {
  const [x, y] = [tape.value(node.inputs[0]), tape.output(node)];
  const { spans, whole } = runsOf(tape, node);
  tape.emitElements([x, y], () => {
    const [from, to] = [x.data, y.data];
    if (!whole) to.fill(0);
    for (let span = 0; span < spans.length; span += 3) {
      const [first, target, length] = [spans[span], spans[span + 1], spans[span + 2]];
      for (let i = 0; i < length; i++) to[target + i] = from[first + i];
    }
  });
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    tape.contribute(node.inputs[0], [g], g.length * 8, (out) => {
      const from = g.data;
      out.fill(0);
      for (let span = 0; span < spans.length; span += 3) {
        const [first, target, length] = [spans[span], spans[span + 1], spans[span + 2]];
        for (let i = 0; i < length; i++) out[first + i] += from[target + i];
      }
    });
  };
}

export function pad(tape: TapeBuilder, node: Node): Backward {
  const value = node.attributes['value'];
  if (node.attributes['mode'] === 'constant' && value !== 0 && value !== undefined)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected padding with zeros or from the input but received ${value} (node ${node.name}).`,
    );
  return moved(tape, node);
}
