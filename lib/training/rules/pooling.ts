import { windowShape } from '../../engine/geometry.ts';
import { SigmaQuantError } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import { sizeOf } from '../../graph/index.ts';
import type { ConvShape } from '../../kernels/kernels.ts';
import type { Backward, TapeBuilder } from '../tape.ts';

function poolShape(tape: TapeBuilder, node: Node): ConvShape {
  const [input, output] = [tape.shape(node.inputs[0]), tape.shape(node.outputs[0])];
  const kernel = node.attributes['kernel_shape'] as readonly number[];
  const shape = windowShape(node, input, output, kernel, input.at(-1)!);
  if (shape && node.outputs.length === 1) return shape;
  throw new SigmaQuantError(
    'UNSUPPORTED_OPERATOR',
    `Expected a pool over one or two axes with one output but received input shape [${input}] (node ${node.name}).`,
  );
}

/** Every output pixel with the first elements of the input pixels under its window, taps row by row. */
function forEachWindow(s: ConvShape, visit: (out: number, inside: readonly number[]) => void): void {
  for (let image = 0; image < s.batch; image++)
    for (let oy = 0; oy < s.outHeight; oy++)
      for (let ox = 0; ox < s.outWidth; ox++) {
        const inside: number[] = [];
        for (let ky = 0; ky < s.kernelHeight; ky++)
          for (let kx = 0; kx < s.kernelWidth; kx++) {
            const y = oy * s.strideHeight - s.padTop + ky * s.dilationHeight;
            const x = ox * s.strideWidth - s.padLeft + kx * s.dilationWidth;
            if (y >= 0 && y < s.inHeight && x >= 0 && x < s.inWidth)
              inside.push(((image * s.inHeight + y) * s.inWidth + x) * s.inChannels);
          }
        visit(((image * s.outHeight + oy) * s.outWidth + ox) * s.outChannels, inside);
      }
}

/** The gradient goes to the first of the largest. */
export function maxPool(tape: TapeBuilder, node: Node): Backward {
  const shape = poolShape(tape, node);
  const [x, y] = [tape.value(node.inputs[0]), tape.output(node)];
  tape.emitElements([x, y], () => tape.kernels.maxPool(x.data, shape, y.data));
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    tape.contribute(node.inputs[0], [x, g], x.length * shape.kernelHeight * shape.kernelWidth, (out) => {
      out.fill(0);
      forEachWindow(shape, (to, inside) => {
        for (let c = 0; c < shape.inChannels; c++) {
          let best = inside[0] + c;
          for (const from of inside) if (x.data[from + c] > x.data[best]) best = from + c;
          out[best] += g.data[to + c];
        }
      });
    });
  };
}

export function averagePool(tape: TapeBuilder, node: Node): Backward {
  const countPadding = node.attributes['count_include_pad'] === 1;
  if (countPadding && node.attributes['ceil_mode'] === 1)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected an average pool without both ceil_mode and count_include_pad (node ${node.name}).`,
    );
  return average(tape, node, poolShape(tape, node), countPadding);
}

/** An average pool whose window is the whole picture. */
export function globalAveragePool(tape: TapeBuilder, node: Node): Backward {
  const input = tape.shape(node.inputs[0]);
  const [pixels, channels] = [sizeOf(input.slice(1, -1)), input.at(-1)!];
  const flat = windowShape(
    { ...node, attributes: {} },
    [input[0], 1, pixels, channels],
    [input[0], 1, 1, channels],
    [1, pixels],
    channels,
  )!;
  return average(tape, node, flat, false);
}

function average(tape: TapeBuilder, node: Node, shape: ConvShape, countPadding: boolean): Backward {
  const [x, y] = [tape.value(node.inputs[0]), tape.output(node)];
  const whole = shape.kernelHeight * shape.kernelWidth;
  tape.emitElements([x, y], () => tape.kernels.averagePool(x.data, shape, countPadding, y.data));
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    tape.contribute(node.inputs[0], [g], x.length * 8, (out) => {
      out.fill(0);
      forEachWindow(shape, (to, inside) => {
        const share = 1 / (countPadding ? whole : inside.length);
        for (const from of inside)
          for (let c = 0; c < shape.inChannels; c++) out[from + c] += g.data[to + c] * share;
      });
    });
  };
}
