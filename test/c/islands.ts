import type { Graph } from '../../lib/graph/graph.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import { Network } from '../engine/network.ts';
import { quantizationFor } from './networks.ts';

type Quantized = { graph: Graph; quantization: Quantization };

const N = 'batch';
const BEHIND = 'quantize it, or cut the network before it.';

/** Networks that C refuses: what they are, themselves, and the sentence. */
export function floatIslands(kernels: Kernels): [what: string, network: Quantized, message: string][] {
  const made = (graph: Graph): Quantized => ({
    graph,
    quantization: quantizationFor(
      graph,
      kernels,
      () => 8,
      () => 8,
    ),
  });
  const softmax = made(tailed('Softmax', { axis: 1 }));
  const plain = made(tailed('Identity', {}));
  const { activations, layers } = plain.quantization;
  const without = {
    ...plain,
    quantization: { activations, layers: new Map([...layers].filter(([name]) => name !== 'b')) },
  };
  const levels = new Map(
    [...activations].map(([name, q]) => [name, { ...q, scale: name === 'a' ? 1e-45 : q.scale }]),
  );
  return [
    [
      'an operator without a kernel',
      softmax,
      `Expected a network that runs in integers for C but received node last (Softmax), that C has no form for: ${BEHIND}`,
    ],
    [
      'a layer without integers',
      without,
      `Expected a network that runs in integers for C but received node b (Conv), which runs in float: ${BEHIND}`,
    ],
    [
      'a multiplier beyond float32',
      { ...plain, quantization: { activations: levels, layers } },
      'Expected finite numbers for C but received Infinity for a multiplier of node a.',
    ],
    [
      'an output that is no float32',
      made(typed()),
      'Expected a float32 output for C but received int64 for last.',
    ],
  ];
}

function tailed(op: string, attributes: Record<string, number>): Graph {
  const net = new Network(41);
  net.type('x', [N, 4, 4, 2]);
  net.conv('a', 'x', [3, 3, 3, 2], [N, 4, 4, 3]);
  net.conv('b', 'a', [3, 3, 3, 3], [N, 4, 4, 3]);
  net.node('Flatten', 'flat', ['b'], [N, 48], { axis: 1 });
  net.node(op, 'last', ['flat'], [N, 48], attributes);
  return net.graph(['x'], ['last']);
}

function typed(): Graph {
  const net = new Network(42);
  net.type('x', [N, 4, 4, 2]);
  net.conv('a', 'x', [3, 3, 3, 2], [N, 4, 4, 3]);
  net.node('ArgMax', 'last', ['a'], [N, 4, 4, 1], { axis: 3, keepdims: 1, select_last_index: 0 });
  net.type('last', [N, 4, 4, 1], 'int64');
  return net.graph(['x'], ['last']);
}
