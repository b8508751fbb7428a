import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import {
  evaluateNode,
  type Graph,
  importGraph,
  inferTypes,
  layers,
  type Tensor,
  toChannelsLast,
  unsupportedNodes,
} from '../lib/graph/index.ts';

const testbed = new URL('../../shared/testbed/', import.meta.url);

/** Runs a graph node by node. */
function evaluateGraph(graph: Graph, feeds: Readonly<Record<string, Tensor>>): Map<string, Tensor> {
  const values = new Map<string, Tensor>([...graph.constants, ...Object.entries(feeds)]);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => (name === '' ? null : values.get(name)!));
    evaluateNode(graph, node, inputs).forEach((tensor, i) => {
      if (node.outputs[i]) values.set(node.outputs[i], tensor);
    });
  }
  return values;
}

function samples(shape: readonly number[]): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * 0.37)) };
}

function count(graph: Graph, op: string): number {
  return graph.nodes.filter((node) => node.op === op).length;
}

/** parameters and MACs as the test bed's README gives them, and layers. */
const NETWORKS: readonly [string, number, number, number][] = [
  ['resnet20-cifar10', 269_034, 40_551_040, 20],
  ['resnet20-cifar10-bn', 269_034, 40_551_040, 20],
  ['resnet8-cifar10', 77_706, 12_501_632, 10],
  ['dscnn-kws', 22_604, 2_656_768, 10],
  ['mobilenetv1-025-vww', 210_850, 7_489_664, 28],
  ['squeezenet11-imagenet', 1_235_496, 349_151_936, 26],
  ['mobilenetv2-imagenet', 3_487_816, 300_774_272, 53],
];

describe('graph: networks of the test bed', () => {
  before(function () {
    if (existsSync(testbed)) return;
    console.log('    skipped: ../shared/testbed is absent');
    this.skip();
  });

  for (const [name, parameters, macs, count_] of NETWORKS)
    it(`imports ${name}`, () => {
      const { graph } = importGraph(readFileSync(new URL(`models/${name}.onnx`, testbed)));
      assert.deepEqual(unsupportedNodes(graph), []);
      const last = toChannelsLast(graph);
      assert.equal(count(last, 'Transpose'), 1);
      assert.deepEqual(last.outputs, graph.outputs);
      for (const form of [graph, last]) {
        const found = layers(form);
        assert.equal(found.length, count_);
        assert.equal(
          found.reduce((sum, layer) => sum + layer.parameters, 0),
          parameters,
        );
        assert.equal(
          found.reduce((sum, layer) => sum + layer.macs, 0),
          macs,
        );
        assert.equal(count(form, 'Relu') + count(form, 'Clip') + count(form, 'BatchNormalization'), 0);
      }
      assert.deepEqual(
        layers(last).map(({ weights }) => weights),
        layers(graph).map(({ weights }) => weights),
      );
      assert.equal(graph.rawSigma.size, name.endsWith('-bn') ? 19 : 0);
      assert.equal(inferTypes(last, 3).get(last.outputs[0].name)!.shape[0], 3);
    });

  it('computes the same in both forms, and with batch-norm folded or not', () => {
    const logits = (file: string, foldBatchNorm: boolean) => {
      const bytes = readFileSync(new URL(`models/${file}.onnx`, testbed));
      const { graph } = importGraph(bytes, { foldBatchNorm });
      const x = samples([1, ...graph.inputs[0].shape.slice(1)] as number[]);
      return [graph, toChannelsLast(graph)].map((form) => {
        const values = evaluateGraph(form, { [form.inputs[0].name]: x });
        return values.get(form.outputs[0].name)!.data as Float32Array;
      });
    };
    const [plain, turned] = logits('resnet20-cifar10', true);
    assert.deepEqual(turned, plain);
    const [unfolded, unfoldedTurned] = logits('resnet20-cifar10-bn', false);
    assert.deepEqual(unfoldedTurned, unfolded);
    plain.forEach((value, i) => {
      assert.ok(Math.abs(value - unfolded[i]) < 1e-3, `logit ${i}: ${value} and ${unfolded[i]}`);
    });
  });
});
