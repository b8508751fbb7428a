import type { LayerWidths } from '../allocate/allocate.ts';
import { quantizedValues, quantizerOf } from '../engine/index.ts';
import type { Dtype, Graph, Layer, Node } from '../graph/graph.ts';
import { OPERATORS, type StaticType, sizeOf } from '../graph/index.ts';

/**
 * What lies in memory at one step: values whose width is that of a layer that reads them, and bytes that no width
 * changes. The peak of activations is the largest part.
 */
export interface Part {
  /** Node that runs. */
  step: string;
  fixedBytes: number;
  /** Layer name -> elements of each value that is as wide as the layer's input. */
  elements: ReadonlyMap<string, readonly number[]>;
}

/** Bits of a value that no layer reads: inputs of Add, Concat and pools. */
const OTHER_BITS = 8;
/** A step whose values have several readers each becomes one part per choice of readers, up to so many. */
const MOST_CHOICES = 64;
/** Above so many parts, those that another covers are no longer looked for: the time is quadratic. */
const MOST_COMPARED = 2000;

/** Bytes of an element that is not quantized. */
const BYTES: Readonly<Record<Dtype, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
  string: 0,
};

/** Output and first input are the same bytes. */
const VIEWS = new Set(['Flatten', 'Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);

/** One place in memory while a step runs. */
interface Slot {
  elements: number;
  /** Layers that read it; the widest decides. */
  readers: readonly string[];
  /** Of what is not quantized; 0 otherwise. */
  bytes: number;
}

/**
 * The cuts of the schedule, in the order of the graph: what lies in memory while each node runs. Views (Flatten,
 * Reshape) lie where their input does, and so does a Transpose next to the network's inputs or outputs, whose layout
 * the device may choose; element-wise operators and Add write over an input that nobody reads later. A value is as
 * wide as the widest layer that reads it, through moves such as MaxPool: where there are several, one part stands for
 * each of them being the widest. Without a reader among layers it has 8 bits; what is not quantized keeps its type.
 * Parts that another one covers whatever the widths are left out. `floatBytes` is the peak of the float network.
 */
export function activationParts(
  graph: Graph,
  types: ReadonlyMap<string, StaticType>,
  layers: readonly Layer[],
): { parts: Part[]; floatBytes: number } {
  const places = new Places(graph, types, layers);
  const cuts = graph.nodes.map((node, index) => ({ step: node.name, slots: places.during(node, index) }));
  const parts = cuts.flatMap(({ step, slots }) => choices(step, slots));
  const floats = cuts.map(({ slots }) =>
    slots.reduce((sum, { elements, bytes }) => sum + (bytes || elements * BYTES.float32), 0),
  );
  return { parts: uncovered(parts), floatBytes: floats.reduce((most, bytes) => Math.max(most, bytes), 0) };
}

/** Bytes of one layer's values in a part, at the width of its input. */
export function partBytes({ elements }: Part, layer: string, { activations }: LayerWidths): number {
  let bytes = 0;
  for (const count of elements.get(layer) ?? []) bytes += Math.ceil((count * activations) / 8);
  return bytes;
}

/** Where values lie and how long. */
class Places {
  readonly #graph: Graph;
  readonly #types: ReadonlyMap<string, StaticType>;
  /** Value -> the value whose bytes it shares. */
  readonly #roots = new Map<string, string>();
  /** Root -> first and last step that needs it. */
  readonly #first = new Map<string, number>();
  readonly #last = new Map<string, number>();
  /** Owner of a quantizer -> layers that read values with it. */
  readonly #readers = new Map<string, string[]>();
  readonly #quantized: ReadonlySet<string>;

  constructor(graph: Graph, types: ReadonlyMap<string, StaticType>, layers: readonly Layer[]) {
    this.#graph = graph;
    this.#types = types;
    this.#quantized = new Set(quantizedValues(graph).map(({ value }) => value));
    for (const { name, input } of layers) {
      const owner = quantizerOf(graph, input);
      this.#readers.set(owner, [...(this.#readers.get(owner) ?? []), name]);
    }
    this.#findRoots();
    this.#findLifetimes();
  }

  #findRoots(): void {
    const inputs = new Set(this.#graph.inputs.map(({ name }) => name));
    const outputs = new Set(this.#graph.outputs.map(({ name }) => name));
    for (const node of this.#graph.nodes) {
      const [from] = node.inputs;
      const atBorder = node.op === 'Transpose' && (inputs.has(from) || outputs.has(node.outputs[0]));
      if (VIEWS.has(node.op) || atBorder) this.#roots.set(node.outputs[0], this.#root(from));
    }
  }

  #root(value: string): string {
    return this.#roots.get(value) ?? value;
  }

  #findLifetimes(): void {
    const use = (value: string, step: number) => {
      const root = this.#root(value);
      if (root === '' || this.#graph.constants.has(root)) return;
      if (!this.#first.has(root)) this.#first.set(root, step);
      this.#last.set(root, Math.max(step, this.#last.get(root) ?? 0));
    };
    for (const { name } of this.#graph.inputs) use(name, 0);
    this.#graph.nodes.forEach(({ inputs, outputs }, step) => {
      for (const value of [...inputs, ...outputs]) use(value, step);
    });
    for (const { name } of this.#graph.outputs) use(name, this.#graph.nodes.length);
  }

  /** What lies in memory while a node runs. */
  during(node: Node, step: number): Slot[] {
    const slots = new Map<string, Slot>();
    for (const [root, first] of this.#first)
      if (first <= step && step <= this.#last.get(root)!) slots.set(root, this.#slot(root));
    const over = this.#writtenOver(node, step);
    if (over !== null) {
      const output = this.#root(node.outputs[0]);
      slots.set(output, joined(slots.get(output)!, slots.get(over)!));
      slots.delete(over);
    }
    return [...slots.values()];
  }

  #slot(root: string): Slot {
    const type = this.#types.get(root);
    const elements = type ? sizeOf(type.shape) : 0;
    const owner = quantizerOf(this.#graph, root);
    if (type && this.#quantized.has(owner))
      return { elements, readers: this.#readers.get(owner) ?? [], bytes: 0 };
    return { elements, readers: [], bytes: type ? elements * BYTES[type.dtype] : 0 };
  }

  /** The input that the node's output may take the place of; rather one that no width makes smaller. */
  #writtenOver(node: Node, step: number): string | null {
    if (OPERATORS.get(node.op)?.layout !== 'elementwise' || this.#roots.has(node.outputs[0])) return null;
    const output = this.#slot(node.outputs[0]);
    const free = node.inputs
      .map((input) => this.#root(input))
      .filter((root) => {
        if (this.#last.get(root) !== step) return false;
        const { elements, bytes } = this.#slot(root);
        return elements === output.elements && bytes === output.bytes;
      });
    return free.find((root) => this.#slot(root).readers.length === 0) ?? free[0] ?? null;
  }
}

/** Two values in one place: as wide as the wider, and 8 bits where one of them has no reader. */
function joined(a: Slot, b: Slot): Slot {
  const fixed = a.readers.length === 0 || b.readers.length === 0;
  return { ...a, readers: fixed ? [] : [...new Set([...a.readers, ...b.readers])] };
}

/** One part per choice of the widest readers. */
function choices(step: string, slots: readonly Slot[]): Part[] {
  let fixedBytes = 0;
  const open: Slot[] = [];
  for (const slot of slots.toSorted((a, b) => b.elements - a.elements)) {
    const combinations = open.reduce((product, { readers }) => product * readers.length, 1);
    if (slot.bytes > 0) fixedBytes += slot.bytes;
    else if (slot.readers.length === 0 || combinations * slot.readers.length > MOST_CHOICES)
      fixedBytes += Math.ceil((slot.elements * OTHER_BITS) / 8);
    else open.push(slot);
  }
  let chosen: Map<string, number[]>[] = [new Map()];
  for (const { elements, readers } of open)
    chosen = chosen.flatMap((before) =>
      readers.map((reader) => new Map([...before, [reader, [...(before.get(reader) ?? []), elements]]])),
    );
  return chosen.map((elements) => ({ step, fixedBytes, elements }));
}

function uncovered(parts: readonly Part[]): Part[] {
  if (parts.length > MOST_COMPARED) return [...parts];
  const covered = new Set<number>();
  parts.forEach((part, i) => {
    const by = parts.findIndex((other, j) => j !== i && !covered.has(j) && covers(other, part));
    if (by >= 0) covered.add(i);
  });
  return parts.filter((_, i) => !covered.has(i));
}

/** Whether `a` takes at least what `b` does, whatever the widths. */
function covers(a: Part, b: Part): boolean {
  if (a.fixedBytes < b.fixedBytes) return false;
  for (const [layer, counts] of b.elements) {
    const mine = (a.elements.get(layer) ?? []).toSorted((x, y) => y - x);
    const theirs = counts.toSorted((x, y) => y - x);
    if (!theirs.every((count, i) => (mine[i] ?? 0) >= count)) return false;
  }
  return true;
}
