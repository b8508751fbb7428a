import { compile, quantizedValues } from '../../lib/engine/index.ts';
import { packedModel } from '../../lib/export/sqnt.ts';
import { type Graph, layers as layersOf, type Tensor } from '../../lib/graph/index.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import type { Quantization, Quantizer } from '../../lib/quant/quantizer.ts';
import { rangeQuantizer } from '../../lib/quant/ranges.ts';
import type { PackedModel, PackedTensor } from '../../lib/sqnt/index.ts';
import { random } from '../contract/support.ts';
import { image, sampler } from '../engine/network.ts';
import { integers, quantizationOf } from '../engine/support.ts';

export const ORIGIN: Pick<PackedModel, 'preprocessing' | 'provenance'> = {
  preprocessing: { resize: [8, 7], crop: [6, 7], scale: 1 / 255, mean: [0.5, 0.25, -0.125], std: 2 },
  provenance: {
    tool: 'sigmaquant',
    version: '1.2.3',
    source: { name: 'sampler', sha256: '0123456789abcdef'.repeat(4) },
  },
};

/** The little network of the engine's tests with integers of mixed widths. */
export function sampleNetwork(): { graph: Graph; quantization: Quantization; model: PackedModel } {
  const graph = sampler();
  const { activations, layers } = quantizationOf(graph, image(1));
  // A zero point of -0 is not worth a byte.
  const positive = [...activations].map(
    ([value, q]) => [value, { ...q, zeroPoint: q.zeroPoint + 0 }] as const,
  );
  const quantization = { activations: new Map(positive), layers };
  return { graph, quantization, model: packedModel(graph, quantization, ORIGIN) };
}

const tensor = (
  dtype: PackedTensor['dtype'],
  data: PackedTensor['data'],
  shape?: number[],
): PackedTensor => ({
  dtype,
  shape: shape ?? [data.length],
  data,
});

/** Every type, every kind of attribute, absent inputs and names of all sorts: what the format holds, whoever runs it. */
export function everything(): PackedModel {
  const { model } = sampleNetwork();
  const constants = new Map<string, PackedTensor>([
    ['float32', tensor('float32', Float32Array.of(1.5, -0, Infinity, Number.NaN), [2, 1, 2])],
    ['float64', tensor('float64', Float64Array.of(Math.PI))],
    ['float16', tensor('float16', Uint16Array.of(0x3c00, 0xffff))],
    ['bfloat16', tensor('bfloat16', Uint16Array.of(0x3f80))],
    ['int8', tensor('int8', Int8Array.of(-128, 127))],
    ['uint8', tensor('uint8', Uint8Array.of(0, 255))],
    ['int16', tensor('int16', Int16Array.of(-32768))],
    ['uint16', tensor('uint16', Uint16Array.of(65535))],
    ['int32', tensor('int32', Int32Array.of(-(2 ** 31)))],
    ['uint32', tensor('uint32', Uint32Array.of(2 ** 32 - 1))],
    ['int64', tensor('int64', BigInt64Array.of(-(2n ** 63n), 5n))],
    ['uint64', tensor('uint64', BigUint64Array.of(2n ** 64n - 1n))],
    ['bool', tensor('bool', Uint8Array.of(1, 0, 1))],
    ['string', tensor('string', ['', 'ångström', '\ufeffmark', '\u{1f600}'])],
    ['scalar', tensor('float32', Float32Array.of(7), [])],
    ['empty', tensor('float32', new Float32Array(0), [0, 3])],
  ]);
  const attributes = {
    whole: -(2 ** 40),
    zero: -0,
    single: 0.5,
    double: 0.1,
    infinite: [0, Infinity],
    huge: 9.2e18,
    text: '',
    texts: ['b', 'a', 'b'],
    nothing: [],
    numbers: [1, -2, 3],
    tensor: tensor('int64', BigInt64Array.of(1n)),
    ['__proto__']: [1],
  };
  return {
    ...model,
    inputs: [...model.inputs, { name: 'flags', dtype: 'bool', shape: ['batch', 0, 'größe', 3] }],
    outputs: [...model.outputs, { name: 'second', dtype: 'string', shape: [] }],
    constants: new Map([...constants, ...model.constants]),
    nodes: [
      ...model.nodes,
      {
        name: '',
        op: 'Custom.Operator',
        inputs: ['', 'flags', 'string'],
        outputs: ['', 'second'],
        attributes,
      },
      { name: 'again', op: 'Custom.Operator', inputs: [], outputs: [], attributes: { ...attributes } },
    ],
    preprocessing: { mean: 0.5, std: [0.25] },
  };
}

export function randomImage(graph: Graph, seed = 17): Tensor {
  const next = random(seed);
  const shape = graph.inputs[0].shape.map((length) => (typeof length === 'string' ? 1 : length));
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next() * 4 - 2);
  return { dtype: 'float32', shape, data };
}

/** Plain max-abs integers for every layer, and quantizers of the ranges that one input shows. */
export function plainQuantization(
  graph: Graph,
  kernels: Kernels,
  input: Tensor,
  bitsOf: (layer: number) => number,
): Quantization {
  const float = compile(graph, kernels);
  const wanted = quantizedValues(graph);
  const values = float.run(
    new Map([[graph.inputs[0].name, input]]),
    wanted.map(({ value }) => value),
  );
  float.dispose();
  const activations = new Map<string, Quantizer>();
  for (const { value, nonNegativeByConstruction } of wanted) {
    const data = values.get(value)!.data as Float32Array;
    const least = nonNegativeByConstruction ? 0 : data.reduce((a, b) => Math.min(a, b), 0);
    const most = data.reduce((a, b) => Math.max(a, b), 0);
    activations.set(value, rangeQuantizer(least, most, 8));
  }
  const layers = layersOf(graph).map(({ name, node, bias }, i) => {
    const weights = graph.constants.get(node.inputs[1])!;
    return [name, integers(weights, bias ?? new Float32Array(weights.shape[0]), bitsOf(i))] as const;
  });
  return { activations, layers: new Map(layers) };
}
