import { type AttributeTable, readAttributes, readAttributesOf } from './attributes.ts';
import { NO_LAYER, readLayer, writeLayer } from './layers.ts';
import { malformedAt } from './layout.ts';
import type { PackedModel, PackedNode, ShapedLayer } from './model.ts';
import { readText, type Sink, type Source, writeText } from './sections.ts';

export function writeNodes(sink: Sink, model: PackedModel, { ofNode }: AttributeTable): void {
  const { manifest } = sink;
  manifest.count(model.nodes.length);
  for (const node of model.nodes) {
    writeText(sink, node.name);
    writeText(sink, node.op);
    for (const names of [node.inputs, node.outputs]) {
      manifest.count(names.length);
      for (const name of names) writeText(sink, name);
    }
    const attributes = ofNode.get(node)!;
    manifest.count(attributes.length);
    for (const index of attributes) manifest.count(index);
    const layer = model.layers.get(node.name);
    if (layer) writeLayer(sink, node.name, layer);
    else manifest.byte(NO_LAYER);
  }
}

export interface Nodes {
  nodes: PackedNode[];
  layers: Map<string, ShapedLayer>;
}

/** A value name and the byte that named it. */
interface Mention {
  name: string;
  at: number;
}

/** Least bytes of a node: name, operator, counts of inputs, outputs and attributes, width. */
const NODE_BYTES = 6;

/**
 * Nodes in execution order. `known` holds the graph's inputs and constants, to which outputs are added: each input of
 * a node must be among them, '', or the weights or bias of a layer (constants that the file holds as integers), and each
 * output must be new.
 */
export function readNodes(
  source: Source,
  known: Set<string>,
  constants: ReadonlyMap<string, unknown>,
): Nodes {
  const entries = readAttributes(source);
  const count = source.manifest.countOf('nodes', NODE_BYTES);
  const layers = new Map<string, ShapedLayer>();
  const weights = new Set<string>();
  const names = new Set<string>();
  const nodes: PackedNode[] = [];
  for (let i = 0; i < count; i++) {
    const { at } = source.manifest;
    const name = readText(source, 'the name of a node');
    if (names.has(name)) malformedAt(at, 'a name that no other node has', JSON.stringify(name));
    names.add(name);
    const op = readText(source, 'an operator');
    const what = `node ${name} (${op})`;
    const inputs = readMentions(source, `inputs of ${what}`);
    const outputs = readMentions(source, `outputs of ${what}`);
    const attributes = readAttributesOf(source, entries, what);
    const layer = readLayer(source, what);
    if (layer) {
      layers.set(name, layer);
      const [, first, bias] = inputs;
      if (!first || first.name === '')
        malformedAt(first?.at ?? at, `a second input for ${what}, whose weights are integers,`, 'none');
      for (const { name: own, at: place } of bias ? [first, bias] : [first]) {
        if (own === '' || constants.has(own)) continue;
        if (known.has(own))
          malformedAt(place, `a constant as weights or bias of ${what}`, JSON.stringify(own));
        weights.add(own);
      }
    }
    for (const input of inputs)
      if (input.name !== '' && !known.has(input.name) && !weights.has(input.name))
        malformedAt(input.at, `a value made before ${what}`, JSON.stringify(input.name));
    for (const output of outputs) {
      if (output.name === '') continue;
      if (known.has(output.name) || weights.has(output.name))
        malformedAt(output.at, `a new name for an output of ${what}`, JSON.stringify(output.name));
      known.add(output.name);
    }
    nodes.push({ name, op, inputs: inputs.map(nameOf), outputs: outputs.map(nameOf), attributes });
  }
  return { nodes, layers };
}

const nameOf = ({ name }: Mention) => name;

function readMentions(source: Source, what: string): Mention[] {
  const count = source.manifest.countOf(what);
  const mentions: Mention[] = [];
  for (let i = 0; i < count; i++) {
    const { at } = source.manifest;
    mentions.push({ at, name: readText(source, `a name among ${what}`) });
  }
  return mentions;
}
