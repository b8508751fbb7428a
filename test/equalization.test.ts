import assert from 'node:assert/strict';
import { channelStatistics } from '../lib/analysis/index.ts';
import {
  type ChannelStatistics,
  type Equalization,
  type EqualizeOptions,
  equalize,
  equalizedValues,
  type Graph,
  importGraph,
  type Tensor,
  withOrigins,
} from '../lib/graph/index.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { evaluateGraph, floats, type ModelParts, modelBytes, node, wave } from './models/build.ts';
import { separable, uneven } from './models/separable.ts';

/** Differences of outputs, relative to the largest, that float32 rounding explains. */
const SAME = 1e-5;

const imported = (parts: ModelParts) => importGraph(modelBytes(parts)).graph;

/** Statistics of all values over one batch, channels on axis 1. */
function statisticsOf(graph: Graph, x: Tensor): Map<string, ChannelStatistics> {
  const values = evaluateGraph(graph, { x });
  return new Map(
    equalizedValues(graph).map((value) => {
      const { shape, data } = values.get(value)!;
      const inner = shape.slice(2).reduce((product, size) => product * size, 1);
      const channels = Array.from({ length: shape[1] }, (_, channel) =>
        (data as Float32Array).filter((_, i) => Math.floor(i / inner) % shape[1] === channel),
      );
      const mean = (of: (value: number) => number) =>
        Float64Array.from(channels, (own) => own.reduce((sum, v) => sum + of(v), 0) / own.length);
      return [
        value,
        {
          min: Float64Array.from(channels, (own) => Math.min(...own)),
          max: Float64Array.from(channels, (own) => Math.max(...own)),
          mean: mean((v) => v),
          power: mean((v) => v * v),
        },
      ];
    }),
  );
}

interface Case {
  graph: Graph;
  x: Tensor;
  made: Equalization;
}

async function equalized(parts: ModelParts, options: EqualizeOptions = { centre: true }): Promise<Case> {
  const graph = imported(parts);
  const x = wave([2, 3, 5, 5], 0.4);
  return { graph, x, made: await equalize(graph, statisticsOf(graph, x), options) };
}

/** The largest difference of any output on inputs that calibration did not see, relative to the largest output. */
function difference({ graph, x, made }: Case): number {
  const fresh: Tensor = { ...x, data: (x.data as Float32Array).map((value, i) => 3 * value + Math.cos(i)) };
  let worst = 0;
  for (const { name } of graph.outputs) {
    const [before, after] = [graph, made.graph].map(
      (own) => evaluateGraph(own, { x: fresh }).get(name)!.data as Float32Array,
    );
    const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.ok(largest > 0);
    before.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - after[i]) / largest);
    });
  }
  return worst;
}

/** Largest over smallest of the largest values of channels. */
function spread(graph: Graph, value: string, x: Tensor): number {
  const { min, max } = statisticsOf(graph, x).get(value)!;
  const ranges = [...max].map((own, i) => Math.max(own, -min[i])).filter((own) => own > 0);
  return Math.max(...ranges) / Math.min(...ranges);
}

const names = (values: ReadonlyMap<string, unknown>) => [...values.keys()].sort();

describe('equalization: hand-made chains', () => {
  it('scales what a depthwise layer with asymmetric pads reads, evens ranges out, keeps the function', async () => {
    const made = await equalized(separable('Relu'));
    assert.ok(difference(made) < SAME);
    assert.deepEqual(names(made.made.factors), ['a1']);
    assert.deepEqual(names(made.made.shifts), ['c3']);
    const [before, after] = [made.graph, made.made.graph].map((own) => spread(own, 'a1', made.x));
    assert.ok(after < before / 4, `${before} -> ${after}`);
  });

  it('multiplies values by the factors that it reports', async () => {
    const { graph, x, made } = await equalized(separable('Relu'));
    const [before, after] = [graph, made.graph].map((own) => evaluateGraph(own, { x }));
    for (const value of ['a1', 'a2', 'c3']) {
      const { shape, data } = before.get(value)!;
      const inner = shape[2] * shape[3];
      const got = after.get(value)!.data as Float32Array;
      (data as Float32Array).forEach((old, i) => {
        const channel = Math.floor(i / inner) % shape[1];
        const wanted =
          (old - (made.shifts.get(value)?.[channel] ?? 0)) * (made.factors.get(value)?.[channel] ?? 1);
        assert.ok(Math.abs(got[i] - wanted) <= 1e-4 * (1 + Math.abs(wanted)), `${value} ${i}`);
      });
    }
  });

  it('ends with what its pace rejects with', async () => {
    const graph = imported(separable('Relu'));
    const stop = new Error('stop');
    const pace = () => Promise.reject(stop);
    await assert.rejects(equalize(graph, null, { scales: 'weights', pace }), stop);
  });

  it('leaves channels alone that Clip(0, 6) bounds', async () => {
    const made = await equalized(separable('Clip'));
    assert.deepEqual(names(made.made.factors), []);
    assert.deepEqual(names(made.made.shifts), ['c3']);
    assert.ok(difference(made) < SAME);
  });

  it('works without activation functions; a padded reader keeps its values where they are', async () => {
    const made = await equalized(separable('none'));
    assert.ok(difference(made) < SAME);
    assert.ok(!made.made.shifts.has('c1'), 'read by a padded layer');
    assert.ok(made.made.shifts.has('c2') || made.made.shifts.has('a2'));
  });

  it('scales everything by the weights alone where asked', async () => {
    const graph = imported(separable('Relu'));
    const x = wave([2, 3, 5, 5], 0.4);
    const made = await equalize(graph, null, { scales: 'weights' });
    assert.deepEqual(names(made.factors), ['a1', 'a2', 'a4', 'c3', 'f', 'p']);
    assert.deepEqual(names(made.shifts), []);
    assert.ok(difference({ graph, x, made }) < SAME);
    // Converged: ranges of the rows that make a channel and of the columns that read it are alike.
    const largest = (name: string, channel: number, of: 'row' | 'column') => {
      const { shape, data } = made.graph.constants.get(name)!;
      const per = shape.slice(1).reduce((product, size) => product * size, 1);
      return (data as Float32Array)
        .filter((_, i) => (of === 'row' ? Math.floor(i / per) : i % per) === channel)
        .reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    };
    const ratios = [0, 1, 2, 3].map(
      (channel) => largest('w4', channel, 'column') / largest('w3', channel, 'row'),
    );
    for (const ratio of ratios) assert.ok(Math.abs(ratio / ratios[0] - 1) < 0.05, `${ratios}`);
  });

  it('scales the parties of a residual alike and gives all of them a mean of 0', async () => {
    const parts: ModelParts = {
      nodes: [
        node('Conv', ['x', 'w1', 'b1'], ['t1']),
        node('Conv', ['t1', 'w2', 'b2'], ['e'], {}),
        node('Relu', ['e'], ['r']),
        node('Conv', ['r', 'w3', 'b3'], ['t2']),
        node('Add', ['t1', 't2'], ['s']),
        node('Conv', ['s', 'w4'], ['y']),
      ],
      inputs: { x: ['batch', 3, 5, 5] },
      outputs: ['y'],
      constants: {
        w1: uneven([4, 3, 1, 1], 0.1),
        b1: wave([4], 1),
        w2: uneven([6, 4, 1, 1], 0.2),
        b2: wave([6], 2),
        w3: uneven([4, 6, 1, 1], 0.3),
        b3: wave([4], 3),
        w4: uneven([3, 4, 1, 1], 0.4),
      },
    };
    const made = await equalized(parts, { scales: 'weights', centre: true });
    assert.ok(difference(made) < SAME);
    const [a, b, sum] = ['t1', 't2', 's'].map((value) => made.made.factors.get(value)!);
    assert.deepEqual(a, sum);
    assert.deepEqual(b, sum);
    const after = statisticsOf(made.made.graph, made.x);
    for (const value of ['t1', 't2', 's']) {
      const { mean, max, min } = after.get(value)!;
      for (const [i, own] of mean.entries())
        assert.ok(Math.abs(own) < 1e-5 * (max[i] - min[i]), `${value} ${i}: ${own}`);
    }
  });

  it('ends chains at outputs, at operators that mix channels and at values that such operators read', async () => {
    const parts: ModelParts = {
      nodes: [
        node('Conv', ['x', 'w1'], ['c1']),
        node('Relu', ['c1'], ['seen']),
        node('Conv', ['seen', 'w2'], ['c2'], { group: 6 }),
        node('Softmax', ['c2'], ['mixed'], { axis: 1 }),
        node('Conv', ['mixed', 'w2'], ['y'], { group: 6 }),
      ],
      inputs: { x: ['batch', 3, 5, 5] },
      outputs: ['y', 'seen'],
      constants: { w1: uneven([6, 3, 1, 1], 0.1), w2: uneven([6, 1, 1, 1], 0.2) },
    };
    const made = await equalized(parts);
    assert.deepEqual(names(made.made.factors), []);
    assert.deepEqual(names(made.made.shifts), []);
    assert.deepEqual(made.made.graph, made.graph);
  });

  it('follows channels through Concat, MaxPool, grouped layers and a channel Pad', async () => {
    const parts: ModelParts = {
      nodes: [
        node('Conv', ['x', 'w1', 'b1'], ['c1']),
        node('Relu', ['c1'], ['left']),
        node('Conv', ['x', 'w2', 'b2'], ['c2']),
        node('Relu', ['c2'], ['right']),
        node('Concat', ['left', 'right'], ['both'], { axis: 1 }),
        node('MaxPool', ['both'], ['pooled'], { kernel_shape: [2, 2] }),
        node('Conv', ['pooled', 'w3', 'b3'], ['c3'], { group: 6 }),
        node('Relu', ['c3'], ['a3']),
        node('Conv', ['a3', 'w4', 'b4'], ['c4'], { group: 2 }),
        node('Relu', ['c4'], ['y']),
      ],
      inputs: { x: ['batch', 3, 5, 5] },
      outputs: ['y'],
      constants: {
        w1: uneven([4, 3, 1, 1], 0.1),
        b1: wave([4], 1),
        w2: uneven([2, 3, 1, 1], 0.2),
        b2: wave([2], 2),
        w3: uneven([6, 1, 3, 3], 0.3),
        b3: wave([6], 3),
        w4: uneven([4, 3, 1, 1], 0.4),
        b4: wave([4], 4),
      },
    };
    const made = await equalized(parts);
    assert.ok(difference(made) < SAME);
    assert.deepEqual(names(made.made.factors), ['both', 'left', 'pooled', 'right']);
    const [left, right, both] = ['left', 'right', 'both'].map((value) => [...made.made.factors.get(value)!]);
    assert.deepEqual(both, [...left, ...right]);
  });
});

describe('equalization: constant channels', () => {
  /** Rows 0 and 2 of the first layer and of the depthwise one have no weights to speak of. */
  function dying(pads: number[]): ModelParts {
    const parts = separable('Relu');
    const dead = (tensor: Tensor): Tensor => {
      const per = tensor.data.length / tensor.shape[0];
      const data = (tensor.data as Float32Array).map((value, i) =>
        [0, 2].includes(Math.floor(i / per)) ? value * 1e-9 : value,
      );
      return { ...tensor, data };
    };
    const constants = parts.constants!;
    return {
      ...parts,
      nodes: parts.nodes.map((own) =>
        own.outputs[0] === 'c2' ? node('Conv', ['a1', 'w2', 'b2'], ['c2'], { group: 6, pads }) : own,
      ),
      constants: {
        ...constants,
        w1: dead(constants['w1']),
        b1: floats([6], 0.7, 1, -0.5, 0.2, 0.1, -1),
        w2: dead(constants['w2']),
        b2: floats([6], 0.9, 1, -0.5, 0.2, 0.1, -1),
      },
    };
  }

  it('go into the biases of readers that see no padding', async () => {
    const made = await equalized(dying([0, 0, 0, 0]), { scales: 'none' });
    assert.ok(difference(made) < SAME);
    assert.ok(Math.abs(made.made.shifts.get('a1')![0] - 0.7) < 1e-6);
    const values = evaluateGraph(made.made.graph, { x: made.x });
    const first = (value: string) => {
      const { shape, data } = values.get(value)!;
      return (data as Float32Array).slice(0, shape[2] * shape[3]);
    };
    for (const value of ['a1', 'a2'])
      assert.ok(
        first(value).every((own) => own === 0),
        value,
      );
    const w3 = made.made.graph.constants.get('w3')!.data as Float32Array;
    for (let row = 0; row < 4; row++) assert.deepEqual([w3[row * 6], w3[row * 6 + 2]], [0, 0]);
  });

  it('stay where a reader pads with zeros, but for those that are 0 already', async () => {
    const made = await equalized(dying([0, 0, 1, 1]), { scales: 'none' });
    assert.ok(difference(made) < SAME);
    assert.ok(!made.made.shifts.has('a1'));
    assert.ok(Math.abs(made.made.shifts.get('a2')![0] - 0.9) < 1e-6);
    const w1 = made.made.graph.constants.get('w1')!.data as Float32Array;
    assert.ok(w1.subarray(0, 27).some((value) => value !== 0));
    assert.ok(w1.subarray(54, 81).every((value) => value === 0));
  });
});

describe('equalization: statistics per channel', () => {
  /** A Concat with the network's input, which stays in ONNX's layout. */
  const mixed: ModelParts = {
    nodes: [
      node('Conv', ['x', 'w1'], ['c']),
      node('Concat', ['x', 'c'], ['both'], { axis: 1 }),
      node('Conv', ['both', 'w2'], ['y'], { group: 6 }),
    ],
    inputs: { x: ['batch', 3, 5, 5] },
    outputs: ['y'],
    constants: { w1: uneven([3, 3, 1, 1], 0.1), w2: uneven([6, 1, 3, 3], 0.2) },
  };

  for (const [layout, parts] of [
    ['one layout', separable('Relu')],
    ['both layouts', mixed],
  ] as const)
    it(`are those of the values, whatever the batches, in ${layout}`, async () => {
      const graph = imported(parts);
      const x = wave([7, 3, 5, 5], 0.4);
      const data = {
        name: 'waves',
        size: 7,
        shape: [3, 5, 5],
        labelled: false,
        fingerprint: async () => '',
        async *batches({ size }: { size: number }) {
          for (let from = 0; from < 7; from += size) {
            const to = Math.min(from + size, 7);
            const part = (x.data as Float32Array).slice(from * 75, to * 75);
            yield { x: part, count: to - from, labels: null, indices: new Int32Array(to - from) };
          }
        },
      };
      const wanted = statisticsOf(graph, x);
      const options = { samples: 7, batch: 3 };
      const values = equalizedValues(graph);
      const got = await channelStatistics(withOrigins(graph), values, createReference(), data, options);
      assert.deepEqual(names(got), names(wanted));
      for (const [value, known] of wanted)
        for (const key of ['min', 'max', 'mean', 'power'] as const)
          known[key].forEach((own, i) => {
            const here = got.get(value)![key][i];
            assert.ok(
              Math.abs(here - own) <= 1e-4 * (1 + Math.abs(own)),
              `${value} ${key} ${i}: ${here} ${own}`,
            );
          });
      const aborted = AbortSignal.abort(new Error('stop'));
      await assert.rejects(
        channelStatistics(withOrigins(graph), values, createReference(), data, {
          ...options,
          signal: aborted,
        }),
        /stop/,
      );
    });
});
