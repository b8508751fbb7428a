import { refuse } from '../errors.ts';
import { malformedAt } from './layout.ts';
import type { PackedAttribute, PackedNode, PackedTensor } from './model.ts';
import { readNumbers, writeNumbers } from './numbers.ts';
import { readText, type Sink, type Source, writeText } from './sections.ts';
import { readTensor, writeTensor } from './tensors.ts';

/** Kinds of attributes, by their number in the file. */
const KINDS = ['number', 'text', 'numbers', 'texts', 'tensor'] as const;
type Kind = (typeof KINDS)[number];

interface Entry {
  key: string;
  value: PackedAttribute;
}

/**
 * Nodes share most of their attributes, so each pair of a key and a value stands once in a table, in order of first
 * use, and nodes hold indices. Tensors are never shared.
 */
export interface AttributeTable {
  entries: readonly Entry[];
  /** Per node, indices of its attributes by ascending key. */
  ofNode: ReadonlyMap<PackedNode, readonly number[]>;
}

export function attributeTable(nodes: readonly PackedNode[]): AttributeTable {
  const entries: Entry[] = [];
  const known = new Map<string, number>();
  const place = (key: string, value: PackedAttribute): number => {
    const identity = kindOf(value, key) === 'tensor' ? null : identityOf(key, value);
    const found = identity === null ? undefined : known.get(identity);
    if (found !== undefined) return found;
    if (identity !== null) known.set(identity, entries.length);
    return entries.push({ key, value }) - 1;
  };
  const ofNode = new Map<PackedNode, readonly number[]>();
  for (const node of nodes) {
    const keys = Object.keys(node.attributes).sort();
    ofNode.set(
      node,
      keys.map((key) => place(key, node.attributes[key])),
    );
  }
  return { entries, ofNode };
}

function identityOf(key: string, value: PackedAttribute): string {
  // JSON has neither infinities nor -0.
  return JSON.stringify([key, value], (_, item) =>
    typeof item === 'number' ? [Object.is(item, -0) ? '-0' : String(item)] : item,
  );
}

function kindOf(value: PackedAttribute, key: string): Kind {
  if (typeof value === 'number') return 'number';
  if (typeof value === 'string') return 'text';
  if (Array.isArray(value)) return value.some((item) => typeof item === 'string') ? 'texts' : 'numbers';
  if (typeof value === 'object' && 'dtype' in value) return 'tensor';
  refuse('a number, a text, a list of either or a tensor', `attribute ${key}`, value);
}

/** Every text that the table refers to. */
export function textsOf({ entries }: AttributeTable): string[] {
  return entries.flatMap(({ key, value }) => {
    const kind = kindOf(value, key);
    if (kind === 'text') return [key, value as string];
    return kind === 'texts' ? [key, ...(value as readonly string[])] : [key];
  });
}

export function writeAttributes(sink: Sink, { entries }: AttributeTable): void {
  const { manifest } = sink;
  manifest.count(entries.length);
  for (const { key, value } of entries) {
    const kind = kindOf(value, key);
    writeText(sink, key);
    manifest.byte(KINDS.indexOf(kind));
    if (kind === 'number') writeNumbers(manifest, [value as number]);
    else if (kind === 'text') writeText(sink, value as string);
    else if (kind === 'tensor') writeTensor(sink, value as PackedTensor, `attribute ${key}`);
    else {
      const list = value as readonly (number | string)[];
      manifest.count(list.length);
      if (kind === 'numbers') writeNumbers(manifest, list as readonly number[]);
      else for (const text of list) writeText(sink, text as string);
    }
  }
}

export function readAttributes(source: Source): Entry[] {
  const entries: Entry[] = [];
  const count = source.manifest.countOf('attributes', 3);
  for (let i = 0; i < count; i++) {
    const key = readText(source, 'a key of an attribute');
    entries.push({ key, value: readValue(source, `attribute ${JSON.stringify(key)}`) });
  }
  return entries;
}

function readValue(source: Source, what: string): PackedAttribute {
  const { manifest } = source;
  const kind = KINDS[manifest.byte(`the kind of ${what}`, 0, KINDS.length - 1)];
  if (kind === 'number') return readNumbers(manifest, 1, what)[0];
  if (kind === 'text') return readText(source, what);
  if (kind === 'tensor') return readTensor(source, what);
  const count = manifest.countOf(`items of ${what}`);
  if (kind === 'numbers') return readNumbers(manifest, count, what);
  return Array.from({ length: count }, () => readText(source, what));
}

/** The attributes of one node from its indices. */
export function readAttributesOf(
  { manifest }: Source,
  entries: readonly Entry[],
  what: string,
): PackedNode['attributes'] {
  const count = manifest.countOf(`attributes of ${what}`);
  const own: [string, PackedAttribute][] = [];
  for (let i = 0; i < count; i++) {
    const at = manifest.at;
    const index = manifest.count(`an attribute of ${what}`, Number.MAX_SAFE_INTEGER);
    if (index >= entries.length)
      malformedAt(at, `an attribute of ${what} among ${entries.length}`, `index ${index}`);
    const { key, value } = entries[index];
    if (i > 0 && key <= own[i - 1][0])
      malformedAt(at, `a key that follows ${JSON.stringify(own[i - 1][0])} in ${what}`, JSON.stringify(key));
    own.push([key, value]);
  }
  return Object.fromEntries(own);
}
