import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Attribute, Tensor } from '../../lib/graph/graph.ts';
import { crossEntropy, type NormState, parameter, sgd, tapeOf, trainable } from '../../lib/training/index.ts';
import { closeTo, floatTensor, graphOf, node, noPause, onEveryBackend } from '../training/support.ts';

/** What gradients.py beside this file stores: PyTorch's results in float64, channels last. */
interface Stored {
  shape: number[];
  data: number[];
}
type Tensors = Record<string, Stored>;
interface Results {
  operators: {
    op: string;
    attributes: Record<string, Attribute>;
    /** x, then the learned ones in the order of the node's inputs. */
    tensors: Tensors;
    output: Stored;
    seed: Stored;
    gradients: Tensors;
  }[];
  steps: {
    x: Stored;
    labels: number[];
    start: Tensors;
    losses: number[];
    end: Tensors;
    mean: Stored;
    variance: Stored;
  };
}

const results: Results = JSON.parse(readFileSync(new URL('gradients.json', import.meta.url), 'utf8'));
const tensor = ({ shape, data }: Stored): Tensor => floatTensor(shape, Float32Array.from(data));
const filled = (length: number, value: number) => floatTensor([length], new Float32Array(length).fill(value));

describe('conformance: gradients stored by PyTorch', () => {
  onEveryBackend((kernels) => {
    for (const [i, { op, attributes, tensors, output, seed, gradients }] of results.operators.entries())
      it(`${op} (${i + 1})`, async () => {
        const { x, ...learned } = tensors;
        const constants = new Map(Object.entries(learned).map(([name, stored]) => [name, tensor(stored)]));
        const parameters = new Map(
          Object.entries(learned).map(([name, { data }]) => [name, parameter(Float32Array.from(data))]),
        );
        const inputs = Object.keys(tensors);
        const norms = new Map<string, NormState>();
        if (op === 'BatchNormalization') {
          const channels = x.shape.at(-1)!;
          for (const [name, value] of [
            ['mean', 0],
            ['variance', 1],
          ] as const) {
            constants.set(name, filled(channels, value));
            inputs.push(name);
          }
          norms.set(`${op}.y`, { mean: new Float32Array(channels), variance: new Float32Array(channels) });
        }
        const graph = graphOf([node(op, inputs, attributes)], { x: x.shape }, constants);
        const tape = tapeOf(graph, kernels(), x.shape[0], {
          parameters,
          norms,
          outputs: ['y'],
          watch: ['x'],
        });
        tape.input('x.fed').set(x.data);
        await tape.run('forward', noPause);
        closeTo(tape.output('y'), output.data, 'output');
        tape.seed('y').set(seed.data);
        await tape.run('backward', noPause);
        for (const [name, { data }] of Object.entries(gradients))
          closeTo(parameters.get(name)?.gradient ?? tape.watched(name), data, `gradient by ${name}`);
        tape.dispose();
      });

    it('five steps of SGD with batch normalization: losses, parameters and running statistics', async () => {
      const { x, labels, start, losses, end, mean, variance } = results.steps;
      const channels = start['scale'].shape[0];
      const constants = new Map(Object.entries(start).map(([name, stored]) => [name, tensor(stored)]));
      constants.set('mean', filled(channels, 0)).set('variance', filled(channels, 1));
      const window = {
        kernel_shape: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [1, 1, 1, 1],
        group: 1,
      };
      const nodes = [
        node('Conv', ['x', 'w1'], window, 'c'),
        node('BatchNormalization', ['c', 'scale', 'shift', 'mean', 'variance'], { epsilon: 1e-5 }, 'n'),
        node('Relu', ['n'], {}, 'r'),
        node('GlobalAveragePool', ['r'], {}, 'p'),
        node('Flatten', ['p'], { axis: 1 }, 'f'),
        node('Linear', ['f', 'w2', 'b2']),
      ];
      const { graph, parameters, norms } = trainable(graphOf(nodes, { x: x.shape }, constants));
      const tape = tapeOf(graph, kernels(), labels.length, { parameters, norms, outputs: ['y'] });
      const optimizer = sgd(
        [...parameters.values()].map((one) => ({ parameter: one, rate: 1, decay: 0.01 })),
      );
      const loss = crossEntropy(labels, 0.1);
      for (const [step, expected] of losses.entries()) {
        tape.input('x.fed').set(x.data);
        await tape.run('forward', noPause);
        const logits = tape.output('y');
        const actual = loss(logits, logits.length / labels.length, tape.seed('y'));
        assert.ok(
          Math.abs(actual - expected) < 1e-5,
          `loss of step ${step + 1}: ${actual} against ${expected}`,
        );
        for (const { gradient } of parameters.values()) gradient.fill(0);
        await tape.run('backward', noPause);
        optimizer.step(0.1);
      }
      for (const [name, { data }] of Object.entries(end))
        closeTo(parameters.get(name)!.data, data, name, 1e-4);
      const [state] = norms.values();
      closeTo(state.mean, mean.data, 'running mean', 1e-4);
      closeTo(state.variance, variance.data, 'running variance', 1e-4);
      tape.dispose();
    });
  });
});
