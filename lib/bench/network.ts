import type { Graph, Layer } from '../graph/graph.ts';
import { layers } from '../graph/index.ts';
import { inferTypes } from '../graph/types.ts';
import type { ConvShape } from '../kernels/kernels.ts';
import { matrixSubject, windowName } from './shapes.ts';
import type { NamedSubject } from './trial.ts';

/** Shapes of a network's layers (of the onnx form) for one sample, each once, in the order of execution. */
export function networkSubjects(graph: Graph): { subjects: NamedSubject[]; skipped: string[] } {
  const types = inferTypes(graph, 1);
  const found = new Map<string, NamedSubject>();
  const skipped: string[] = [];
  for (const layer of layers(graph)) {
    const input = types.get(layer.input)?.shape;
    const output = types.get(layer.output)?.shape;
    const kernel = graph.constants.get(layer.node.inputs[1])!.shape.slice(2);
    const subject = input && output && subjectOf(layer, kernel, input, output);
    if (subject) found.set(subject.name, subject);
    else skipped.push(layer.name);
  }
  return { subjects: [...found.values()], skipped };
}

function subjectOf(
  layer: Layer,
  kernel: readonly number[],
  input: readonly number[],
  output: readonly number[],
): NamedSubject | null {
  if (layer.op === 'Linear') {
    const rows = output.slice(0, -1).reduce((product, size) => product * size, 1);
    return matrixSubject(rows, layer.outChannels, layer.channels);
  }
  const shape = windowShape(layer, kernel, input, output);
  return shape && { name: windowName(shape), subject: { kind: 'window', shape } };
}

/** Channels-first shapes, one or two spatial dimensions; null for others. */
function windowShape(
  layer: Layer,
  kernel: readonly number[],
  input: readonly number[],
  output: readonly number[],
): ConvShape | null {
  const spatial = input.length - 2;
  if (spatial !== 1 && spatial !== 2) return null;
  const attribute = (name: string) => layer.node.attributes[name] as readonly number[] | undefined;
  const pair = (list: readonly number[] | undefined, otherwise: number): [number, number] => {
    const [first = otherwise, second = otherwise] = list ?? [];
    return spatial === 1 ? [1, first] : [first, second];
  };
  const [kernelHeight, kernelWidth] = pair(kernel, 1);
  const [strideHeight, strideWidth] = pair(attribute('strides'), 1);
  const [dilationHeight, dilationWidth] = pair(attribute('dilations'), 1);
  const [padTop, padLeft] = spatial === 1 ? [0, attribute('pads')?.[0] ?? 0] : pair(attribute('pads'), 0);
  const [inHeight, inWidth] = pair(input.slice(2), 1);
  const [outHeight, outWidth] = pair(output.slice(2), 1);
  return {
    batch: input[0],
    inHeight,
    inWidth,
    inChannels: input[1],
    outHeight,
    outWidth,
    outChannels: output[1],
    kernelHeight,
    kernelWidth,
    strideHeight,
    strideWidth,
    dilationHeight,
    dilationWidth,
    padTop,
    padLeft,
    groups: layer.groups,
  };
}
