import { compile, quantizedValues } from '../../lib/engine/index.ts';
import { packedModel } from '../../lib/export/sqnt.ts';
import type { Graph, Tensor } from '../../lib/graph/index.ts';
import { createReference } from '../../lib/kernels/reference.ts';
import type { Quantization, QuantizedLayer } from '../../lib/quant/quantizer.ts';
import { rangeQuantizer } from '../../lib/quant/ranges.ts';
import { writeSqnt } from '../../lib/sqnt/index.ts';
import { random } from '../contract/support.ts';
import { Network } from '../engine/network.ts';
import { integers } from '../engine/support.ts';
import { ORIGIN } from '../sqnt/models.ts';

const N = 'batch';

/** Uniform in [-1, 1). */
export function floats(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => next() * 2 - 1);
}

/** left and right [batch,4,3,5] -> scores [batch,3] and mask [batch,4,3,6], the second by way of a float Sigmoid. */
export function twins(): Graph {
  const net = new Network(5);
  for (const name of ['left', 'right']) {
    net.type(name, [N, 4, 3, 5]);
    net.conv(`${name}.conv`, name, [6, 3, 3, 5], [N, 4, 3, 6]);
  }
  net.node('Add', 'sum', ['left.conv', 'right.conv'], [N, 4, 3, 6]);
  net.node('Sigmoid', 'mask', ['sum'], [N, 4, 3, 6]);
  net.node('GlobalAveragePool', 'global', ['sum'], [N, 1, 1, 6]);
  net.node('Flatten', 'features', ['global'], [N, 6], { axis: 1 });
  const w = net.constant('scores.w', [3, 6]);
  const b = net.constant('scores.b', [3]);
  net.node('Linear', 'scores', ['features', w, b], [N, 3]);
  return net.graph(['left', 'right'], ['scores', 'mask']);
}

/** image [batch,size,size,16] through `depth` convolutions of 32 channels -> last [batch,size,size,32]: work for a while. */
export function tower(size: number, depth: number): Graph {
  const net = new Network(9);
  let [value, channels] = [net.type('image', [N, size, size, 16]), 16];
  for (let i = 0; i < depth; i++) {
    const name = i === depth - 1 ? 'last' : `conv${i}`;
    value = net.conv(name, value, [32, 3, 3, channels], [N, size, size, 32]);
    channels = 32;
  }
  return net.graph(['image'], ['last']);
}

/** Each branch pads one number to half a gigabyte, and all of them are alive before the first is read again. */
export function glutton(branches: number): Graph {
  const net = new Network(3);
  net.type('x', [1, 1, 1, 1]);
  const parts = Array.from({ length: branches }, (_, i) =>
    net.node('Pad', `pad${i}`, ['x'], [1, 8192, 16384, 1], {
      pads: [0, i, 0, 0, 0, 8191 - i, 16383, 0],
      mode: 'constant',
      value: 1,
    }),
  );
  parts.reduce((sum, part, i) => net.node('Mul', `mul${i}`, [sum, part], [1, 8192, 16384, 1]));
  const last = `mul${branches - 1}`;
  return net.graph(['x'], [last]);
}

/** Integers of mixed widths, and quantizers of the ranges that one random sample of every input shows. */
export function quantized(graph: Graph): Quantization {
  const kernels = createReference();
  const executor = compile(graph, kernels);
  const wanted = quantizedValues(graph);
  const feeds = new Map(
    graph.inputs.map(({ name, dtype, shape }, i): [string, Tensor] => {
      const sizes = shape.map((size) => (typeof size === 'string' ? 1 : size));
      return [
        name,
        {
          dtype,
          shape: sizes,
          data: floats(
            sizes.reduce((a, b) => a * b, 1),
            i + 1,
          ),
        },
      ];
    }),
  );
  const values = executor.run(
    feeds,
    wanted.map(({ value }) => value),
  );
  const activations = wanted.map(({ value, nonNegativeByConstruction }) => {
    const data = values.get(value)!.data as Float32Array;
    const least = nonNegativeByConstruction ? 0 : data.reduce((a, b) => Math.min(a, b), 0);
    return [
      value,
      rangeQuantizer(
        least,
        data.reduce((a, b) => Math.max(a, b), 0.1),
        8,
      ),
    ] as const;
  });
  const layers = new Map<string, QuantizedLayer>();
  for (const { name, op, inputs } of graph.nodes) {
    if (op !== 'Conv' && op !== 'Linear') continue;
    const [w, b] = inputs.slice(1).map((input) => graph.constants.get(input)!);
    layers.set(name, integers(w, b.data as Float32Array, 2 + ((layers.size * 3) % 7)));
  }
  executor.dispose();
  return { activations: new Map(activations), layers };
}

export function fileOf(graph: Graph, quantization = quantized(graph)): Uint8Array {
  return writeSqnt(packedModel(graph, quantization, ORIGIN));
}
