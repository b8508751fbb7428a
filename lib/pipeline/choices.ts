import type { Tie, Widths } from '../allocate/allocate.ts';
import { atLeast } from '../allocate/dials.ts';
import { quantizerOf } from '../engine/index.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import type { Graph, Layer, Node } from '../graph/graph.ts';
import { END_BITS, offeredActivations, offeredBits, type SearchOptions } from './options.ts';

/** What widths a layer may take, weights and input, ascending; fixed before any search. */
export interface LayerChoice {
  name: string;
  bits: readonly number[];
  activations: readonly number[];
}

export interface Choices {
  layers: readonly LayerChoice[];
  ties: readonly Tie[];
}

/** One width for all weights, each layer at its nearest that is as wide; inputs as wide as they may be. */
export function uniformWidths({ layers }: Choices, bits: number): Widths {
  return new Map(
    layers.map(({ name, bits: offered, activations }) => [
      name,
      { weights: atLeast(offered, bits), activations: activations.at(-1)! },
    ]),
  );
}

/** Longest pattern that is compiled. */
const PATTERN_LENGTH = 200;
/** Operators that hand on what one layer makes, so that it still meets others in an Add. */
const PASSING = new Set([
  'Relu',
  'Clip',
  'Identity',
  'LeakyRelu',
  'PRelu',
  'Sigmoid',
  'HardSwish',
  'MaxPool',
]);

/**
 * Offered widths: a pin wins, then 8 bits for the first and the last layer unless freed, then `bits` without what is
 * banned. Layers that read one value agree in its width, those of a group in that of their weights.
 * Throws INVALID_ARGUMENT for a pin, ban or group that names no layer, and for those that leave a layer without a width.
 */
export function choicesOf(graph: Graph, layers: readonly Layer[], options: SearchOptions): Choices {
  const bits = offeredBits(options.bits);
  const activations = offeredActivations(options.activationBits);
  const pins = rulesOf(options.pins, layers, 'pin');
  const bans = rulesOf(options.bans, layers, 'ban');
  const readers = sharedInputs(graph, layers);
  const isEnd = ({ name }: Pick<Layer, 'name'>) =>
    !options.freeEnds && (name === layers[0]?.name || name === layers.at(-1)?.name);
  const choices = layers.map((layer): LayerChoice => {
    const { name } = layer;
    const pinned = pins.filter(({ names }) => names.has(name)).map(({ value }) => value);
    const banned = bans.filter(({ names }) => names.has(name)).flatMap(({ value }) => value);
    const offered = offeredTo(name, pinned, isEnd(layer) ? [END_BITS] : bits, banned);
    // The input of an end is not narrowed by another layer that reads it too.
    const tie = readers.find((tied) => tied.includes(layer)) ?? [layer];
    return { name, bits: offered, activations: tie.some(isEnd) ? [END_BITS] : activations };
  });
  const ties: Tie[] = [
    ...readers.map((tied): Tie => ({ of: 'activations', layers: tied.map(({ name }) => name) })),
    ...groupsOf(graph, layers, options.groups ?? []).map((names): Tie => ({ of: 'weights', layers: names })),
  ];
  return { layers: choices, ties };
}

function offeredTo(
  name: string,
  pinned: readonly number[],
  bits: readonly number[],
  banned: readonly number[],
) {
  const different = [...new Set(pinned)];
  if (different.length > 1) refuse('one width', `the pins of layer ${name}`, different.join(' and '));
  const offered = (different.length > 0 ? different : bits).filter((width) => !banned.includes(width));
  if (offered.length === 0)
    refuse(
      'a width that is not banned',
      `layer ${name}`,
      `${different.length > 0 ? `a pin to ${different[0]}` : bits.join(', ')} with bans on ${banned.join(', ')}`,
    );
  return offered;
}

/** Layers by name or by a pattern between slashes. */
function rulesOf<T>(
  rules: Readonly<Record<string, T>> | undefined,
  layers: readonly Layer[],
  what: string,
): { names: Set<string>; value: T }[] {
  return Object.entries(rules ?? {}).map(([text, value]) => {
    const matches = matcherOf(text, what);
    const names = new Set(layers.map(({ name }) => name).filter(matches));
    if (names.size === 0)
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected a layer's name, or a pattern such as /^layer1/ that fits one, for ${what} but received ${JSON.stringify(text)} (inspect lists them).`,
      );
    return { names, value };
  });
}

function matcherOf(text: string, what: string): (name: string) => boolean {
  const pattern = /^\/(.+)\/$/.exec(text)?.[1];
  if (pattern === undefined) return (name) => name === text;
  if (pattern.length > PATTERN_LENGTH)
    refuse(`a pattern of at most ${PATTERN_LENGTH} characters`, what, pattern.length);
  try {
    const expression = new RegExp(pattern);
    return (name) => name === text || expression.test(name);
  } catch (error) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a regular expression for ${what} but received ${text}.`,
      {
        cause: error,
      },
    );
  }
}

/** Layers whose inputs have one quantizer, where there are several. */
function sharedInputs(graph: Graph, layers: readonly Layer[]): Layer[][] {
  const byOwner = new Map<string, Layer[]>();
  for (const layer of layers) {
    const owner = quantizerOf(graph, layer.input) ?? layer.input;
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), layer]);
  }
  return [...byOwner.values()].filter(({ length }) => length > 1);
}

/** Names of layers that share a width; groups that have a layer in common become one. */
function groupsOf(
  graph: Graph,
  layers: readonly Layer[],
  groups: NonNullable<SearchOptions['groups']>,
): string[][] {
  const sets = groups.flatMap((group): string[][] => {
    if (group === 'add') return joined(graph, layers, 'Add');
    if (group === 'concat') return joined(graph, layers, 'Concat');
    if (typeof group === 'string') refuse('add, concat or a list of layers', 'group', group);
    for (const name of group)
      if (!layers.some((layer) => layer.name === name))
        refuse("layers' names (inspect lists them)", 'group', name);
    return [[...group]];
  });
  const merged: Set<string>[] = [];
  for (const names of sets) {
    const touching = merged.filter((other) => names.some((name) => other.has(name)));
    for (const other of touching) merged.splice(merged.indexOf(other), 1);
    merged.push(new Set([...names, ...touching.flatMap((other) => [...other])]));
  }
  return merged.filter(({ size }) => size > 1).map((names) => [...names]);
}

/** Per node of the operator, the layers whose outputs meet in it. */
function joined(graph: Graph, layers: readonly Layer[], op: string): string[][] {
  const makers = new Map<string, Node>(
    graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)),
  );
  const byNode = new Set(layers.map(({ name }) => name));
  const sources = (value: string): string[] => {
    const node = makers.get(value);
    if (node === undefined) return [];
    if (byNode.has(node.name)) return [node.name];
    if (node.op === op) return node.inputs.flatMap(sources);
    return PASSING.has(node.op) ? sources(node.inputs[0]) : [];
  };
  return graph.nodes
    .filter((node) => node.op === op)
    .map(({ inputs }) => [...new Set(inputs.flatMap(sources))]);
}
