import assert from 'node:assert/strict';
import type { Graph, Layer } from '../lib/graph/graph.ts';
import { importGraph, layers as layersOf } from '../lib/graph/index.ts';
import type { FileNode } from '../lib/onnx/index.ts';
import { choicesOf } from '../lib/pipeline/choices.ts';
import type { SearchOptions } from '../lib/pipeline/options.ts';
import { tinyModel } from './support/network.ts';

/** A stem, two convolutions of what it makes whose sum a fourth reads. */
function residualGraph(): Graph {
  const conv = (name: string, weights: string, input: string): FileNode => ({
    name,
    op: 'Conv',
    inputs: [input, `${weights}.w`, `${weights}.b`],
    outputs: [`${name}.y`],
    attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
  });
  const simple = (op: string, inputs: string[], output: string): FileNode => ({
    name: output,
    op,
    inputs,
    outputs: [output],
    attributes: {},
  });
  const nodes = [
    conv('stem', 'conv1', 'image'),
    simple('Relu', ['stem.y'], 'active'),
    conv('left', 'conv2', 'active'),
    conv('right', 'conv2', 'active'),
    simple('Relu', ['right.y'], 'kept'),
    simple('Add', ['left.y', 'kept'], 'sum'),
    conv('head', 'conv4', 'sum'),
    simple('GlobalAveragePool', ['head.y'], 'pooled'),
    simple('Flatten', ['pooled'], 'logits'),
  ];
  const outputs = [{ name: 'logits', dtype: 'float32' as const, shape: ['batch', 16] }];
  return importGraph(tinyModel(() => ({ nodes, outputs }))).graph;
}

const graph = residualGraph();
const layers: Layer[] = layersOf(graph);
const of = (options: Partial<SearchOptions>) => choicesOf(graph, layers, { model: 'm.onnx', ...options });
const bitsOf = (options: Partial<SearchOptions>) =>
  Object.fromEntries(of(options).layers.map(({ name, bits }) => [name, bits.join()]));

describe('choices of widths', () => {
  it('pin, ban and offer, by name and by pattern', () => {
    assert.deepEqual(bitsOf({ bits: [4, 2, 4] }), { stem: '8', left: '2,4', right: '2,4', head: '8' });
    assert.deepEqual(bitsOf({ bits: [2, 4], freeEnds: true }).stem, '2,4');
    assert.deepEqual(bitsOf({ bits: [2, 4], pins: { left: 3 } }).left, '3');
    assert.deepEqual(bitsOf({ bits: [2, 4], pins: { '/^(left|right)$/': 6 } }), {
      stem: '8',
      left: '6',
      right: '6',
      head: '8',
    });
    assert.deepEqual(bitsOf({ bits: [2, 3, 4], bans: { '/t$/': [2], left: [3] } }), {
      stem: '8',
      left: '4',
      right: '3,4',
      head: '8',
    });
  });

  it('offer widths for inputs, ends excepted, and tie layers that read one value', () => {
    const { layers: choices, ties } = of({ activationBits: [8, 4] });
    assert.deepEqual(
      choices.map(({ name, activations }) => [name, activations]),
      [
        ['stem', [8]],
        ['left', [4, 8]],
        ['right', [4, 8]],
        ['head', [8]],
      ],
    );
    assert.deepEqual(ties, [{ of: 'activations', layers: ['left', 'right'] }]);
  });

  it('tie layers that meet in an addition, and lists of layers, overlapping ones into one', () => {
    const weights = (options: Partial<SearchOptions>) =>
      of(options)
        .ties.filter(({ of: what }) => what === 'weights')
        .map(({ layers: names }) => [...names].sort());
    assert.deepEqual(weights({ groups: ['add'] }), [['left', 'right']]);
    assert.deepEqual(weights({ groups: ['concat'] }), []);
    assert.deepEqual(weights({ groups: ['add', ['left', 'stem']] }), [['left', 'right', 'stem']]);
  });

  const refused: [string, Partial<SearchOptions>, RegExp][] = [
    ['a pin of no layer', { pins: { middle: 4 } }, /layer's name.*"middle".*inspect lists them/],
    ['a pattern that fits none', { bans: { '/^x/': [4] } }, /pattern.*fits one, for ban/],
    ['a pattern that is none', { pins: { '/(/': 4 } }, /regular expression for pin/],
    [
      'two pins of one layer',
      { pins: { left: 4, '/^l/': 6 } },
      /one width for the pins of layer left.*4 and 6/,
    ],
    [
      'a pin that is banned',
      { pins: { left: 4 }, bans: { left: [4] } },
      /layer left.*a pin to 4 with bans on 4/,
    ],
    ['bans on everything', { bits: [2, 3], bans: { left: [2, 3] } }, /layer left.*2, 3 with bans on 2, 3/],
    ['a group of strangers', { groups: [['left', 'middle']] }, /layers' names.*group.*middle/],
    ['an unknown kind of group', { groups: ['mul' as 'add'] }, /add, concat or a list of layers/],
  ];
  for (const [title, options, message] of refused)
    it(`refuse ${title}`, () => assert.throws(() => of(options), message));
});
