import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { compile } from '../../lib/engine/index.ts';
import { evaluateNode, type Graph, importGraph, type Tensor, toChannelsLast } from '../../lib/graph/index.ts';
import { random } from '../contract/support.ts';
import { availableKernels, close, one, quantizationFrom } from './support.ts';

const models = new URL('../../../shared/testbed/models/', import.meta.url);
const NETWORKS = ['resnet20-cifar10', 'resnet20-cifar10-bn', 'dscnn-kws', 'mobilenetv1-025-vww'];

const available = await availableKernels();

function sample(graph: Graph): Tensor {
  const next = random(17);
  const shape = graph.inputs[0].shape.map((length) => (typeof length === 'string' ? 1 : length));
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next() * 4 - 2);
  return { dtype: 'float32', shape, data };
}

/** All values, node by node. */
function evaluateAll(graph: Graph, input: Tensor): Map<string, Tensor> {
  const values = new Map<string, Tensor>([...graph.constants, [graph.inputs[0].name, input]]);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => values.get(name) ?? null);
    evaluateNode(graph, node, inputs).forEach((tensor, i) => {
      values.set(node.outputs[i], tensor);
    });
  }
  return values;
}

describe('engine: networks of the test bed', () => {
  before(function () {
    if (existsSync(models)) return;
    console.log('    skipped: ../shared/testbed is absent');
    this.skip();
  });

  for (const name of NETWORKS) {
    it(`${name}: as its ONNX form evaluates, and the same integers on every backend`, () => {
      const { graph } = importGraph(readFileSync(new URL(`${name}.onnx`, models)));
      const input = sample(graph);
      const expected = evaluateAll(graph, input).get('logits')!;
      const network = toChannelsLast(graph);
      const feeds = one(network.inputs[0].name, input);
      const quantization = quantizationFrom(network, evaluateAll(network, input), () => 8);
      // The reference takes seconds for the larger networks.
      const fast = available.filter(({ backend }) => backend !== 'reference' || name === 'dscnn-kws');
      let integers: Tensor | undefined;
      for (const kernels of fast) {
        const float = compile(network, kernels);
        close(float.run(feeds, ['logits']).get('logits')!, expected.data as Float32Array, kernels.backend);
        float.dispose();
        const quantized = compile(network, kernels, { quantization });
        assert.deepEqual(quantized.floatNodes, []);
        const logits = quantized.run(feeds, ['logits']).get('logits')!;
        integers ??= logits;
        assert.deepEqual(logits, integers, kernels.backend);
        quantized.dispose();
      }
      assert.ok(fast.length > 0);
    });
  }
});
