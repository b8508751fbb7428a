import { refuse } from '../errors.ts';
import type { Graph, Layer, Node, Tensor, ValueType } from '../graph/graph.ts';
import { layers as layersOf, sizeOf } from '../graph/index.ts';
import type { StepFeature, StepKind } from '../hardware/device.ts';
import { costedNetwork, parseShape } from '../hardware/index.ts';
import { bitWidth } from '../quant/bitwidth.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { STEP_SHAPES } from './device-shapes.ts';

/** A network of one node, to be timed. */
export interface DeviceCase {
  kind: StepKind;
  /** Of the weights; null for what has none and for float. */
  bits: number | null;
  features: Readonly<Record<StepFeature, number>>;
  graph: Graph;
  /** Null for float. */
  quantization: Quantization | null;
  /** The node whose time counts. */
  node: string;
}

/** Activations of a case: every byte value occurs. */
const BYTE: Quantizer = { bits: 8, scale: 1 / 64, zeroPoint: 0, low: 0, high: 255 };
/** Another scale, so that Concat and Add have something to convert. */
const OTHER: Quantizer = { ...BYTE, scale: 1 / 48 };
const NODE = 'node';

/** A layer of the given shape (see layerShape) and width, null for float; its integers take every value. */
export function layerCase(shape: string, bits: number | null): DeviceCase {
  const geometry = parseShape(shape) ?? refuse('the shape of a layer', 'shape', shape);
  const { op, channels, groups, outChannels, pixels } = geometry;
  const [, kernel, strides, image] = /(\S+)\/(\S+) \d+->\d+ (\S+)$/.exec(shape)?.map(extents) ?? [];
  const graph =
    op === 'Linear'
      ? graphOf(
          { op: 'Linear', attributes: {} },
          { x: [pixels, channels] },
          [pixels, outChannels],
          [outChannels, channels],
        )
      : graphOf(
          { op: 'Conv', attributes: windowOf(kernel, strides, image, groups) },
          { x: [1, ...image.map((size, i) => size * strides[i]), channels * groups] },
          [1, ...image, outChannels],
          [outChannels, ...kernel, channels],
        );
  const layers = layersOf(graph);
  const [{ kind, features }] = costedNetwork(graph, layers).layers;
  const quantization = bits === null ? null : quantizationOf(graph, [[NODE, integers(layers[0], bits)]]);
  return { kind, bits, features, graph, quantization, node: NODE };
}

function integers({ weights: { length }, outChannels }: Layer, bits: number): QuantizedLayer {
  const { low, levels } = bitWidth(bits);
  return {
    bits,
    q: Int8Array.from({ length }, (_, i) => low + (((i * 2_654_435_761) >>> 8) % levels)),
    scales: new Float32Array(outChannels).fill(1 / 256),
    bias: new Float32Array(outChannels),
  };
}

/** Everything that stands between layers, once per shape. */
export function stepCases(): DeviceCase[] {
  return STEP_SHAPES.map(({ op, image: [height, width, channels], size = 0 }) => {
    const input = [1, height, width, channels];
    const [inputs, output, attributes] = stepOf(op, input, size);
    const graph = graphOf({ op, attributes }, inputs, output);
    const step = costedNetwork(graph, []).steps.find(({ node }) => node === NODE)!;
    const { kind, features } = step;
    return { kind, bits: null, features, graph, quantization: quantizationOf(graph, []), node: NODE };
  });
}

/** So many tiny layers, one after the other, each reading what the one before wrote. */
export function chainOf(length: number): { graph: Graph; quantization: Quantization; fetch: string } {
  const { graph, quantization: one } = layerCase('conv 1x1/1x1 16->16 1x1', 8);
  const quantization = one!;
  const [node] = graph.nodes;
  const type = graph.types.get('y')!;
  const nodes = Array.from(
    { length },
    (_, i): Node => ({
      ...node,
      name: `${NODE}${i}`,
      inputs: [i === 0 ? 'x' : `y${i - 1}`, 'w'],
      outputs: [`y${i}`],
    }),
  );
  const layer = quantization.layers.get(NODE)!;
  return {
    graph: {
      ...graph,
      nodes,
      types: new Map([
        ...graph.types,
        ...nodes.map(({ outputs }): [string, ValueType] => [outputs[0], type]),
      ]),
    },
    quantization: {
      activations: new Map([
        ...quantization.activations,
        ...nodes.map(({ outputs }): [string, Quantizer] => [outputs[0], BYTE]),
      ]),
      layers: new Map(nodes.map(({ name }) => [name, layer])),
    },
    fetch: `y${length - 1}`,
  };
}

type Shapes = Record<string, readonly number[]>;

function stepOf(op: string, shape: readonly number[], size: number): [Shapes, number[], Node['attributes']] {
  const [, height, width, channels] = shape;
  const pads = [0, 0, 0, 0];
  switch (op) {
    case 'Add':
      return [{ x: shape, z: shape }, [...shape], {}];
    case 'Concat':
      return [{ x: shape, z: shape }, [1, height, width, 2 * channels], { axis: 3 }];
    case 'GlobalAveragePool':
      return [{ x: shape }, [1, 1, 1, channels], {}];
    case 'Transpose':
      return [{ x: [1, channels, height, width] }, [...shape], { perm: [0, 2, 3, 1] }];
    default: {
      const image = [height, width].map((extent) => Math.floor((extent - size) / 2) + 1);
      const attributes = {
        kernel_shape: [size, size],
        strides: [2, 2],
        dilations: [1, 1],
        pads,
        ceil_mode: 0,
        ...(op === 'AveragePool' && { count_include_pad: 0 }),
      };
      return [{ x: shape }, [1, ...image, channels], attributes];
    }
  }
}

/** Strides divide the input; padding as much as the kernel needs. */
function windowOf(
  kernel: readonly number[],
  strides: readonly number[],
  image: readonly number[],
  group: number,
): Node['attributes'] {
  const total = kernel.map((size, i) => Math.max(0, size - strides[i]));
  const before = total.map((pad) => Math.floor(pad / 2));
  return {
    strides,
    dilations: image.map(() => 1),
    pads: [...before, ...total.map((pad, i) => pad - before[i])],
    group,
    clamp: [0, Number.POSITIVE_INFINITY],
  };
}

function graphOf(
  { op, attributes }: Pick<Node, 'op' | 'attributes'>,
  inputs: Shapes,
  output: readonly number[],
  weights?: readonly number[],
): Graph {
  const typed = (shape: readonly number[]): ValueType => ({ dtype: 'float32', shape });
  const constants = new Map<string, Tensor>();
  if (weights)
    constants.set('w', { dtype: 'float32', shape: weights, data: new Float32Array(sizeOf(weights)) });
  return {
    name: op,
    opset: 13,
    inputs: Object.entries(inputs).map(([name, shape]) => ({ name, ...typed(shape) })),
    outputs: [],
    nodes: [
      {
        name: NODE,
        op,
        inputs: [...Object.keys(inputs), ...(weights ? ['w'] : [])],
        outputs: ['y'],
        attributes,
      },
    ],
    constants,
    types: new Map([
      ...Object.entries(inputs).map(([name, shape]): [string, ValueType] => [name, typed(shape)]),
      ['y', typed(output)],
    ]),
    rawSigma: new Map(),
    layout: 'channels-last',
  };
}

function quantizationOf(graph: Graph, layers: readonly [string, QuantizedLayer][]): Quantization {
  const activations = new Map<string, Quantizer>(graph.inputs.map(({ name }) => [name, BYTE]));
  if (graph.inputs.length > 1) activations.set(graph.inputs[1].name, OTHER);
  activations.set('y', BYTE);
  return { activations, layers: new Map(layers) };
}

/** `3x3` as numbers. */
function extents(text: string): number[] {
  return text.split('x').map(Number);
}
