import { SigmaQuantError } from '../errors.ts';
import type { Node, Tensor } from '../graph/graph.ts';
import type { StaticType } from '../graph/types.ts';
import type { Region } from '../kernels/kernels.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { planMemory } from './memory-plan.ts';
import type { Model } from './model.ts';
import {
  type ByteSlot,
  byteLength,
  byteSlot,
  type FloatSlot,
  floatSlot,
  type Holder,
  type Slot,
  type Stored,
  sizeOf,
} from './storage.ts';

/** One value that is fed or fetched. */
export interface PlanPort {
  name: string;
  stored: Stored;
  /** Null where the shape is known only when it runs. */
  type: StaticType | null;
}

/** One thing to do. */
export interface Step {
  run(): void;
  /** What it is done for. */
  readonly node: Node | null;
  /** Where it reads and writes. */
  readonly uses: readonly Slot[];
  /** Nothing but calls of the kernels on slots, the same each time: it can be recorded. */
  readonly onlyCalls: boolean;
}

/** What runs, in order, and where everything lies. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly feeds: readonly PlanPort[];
  readonly fetches: readonly PlanPort[];
  /** Bytes of arena that it needs, and what it would need without reuse. */
  readonly planned: number;
  readonly withoutReuse: number;
  /** Takes all views from a region of at least `planned` bytes. */
  place(region: Region): void;
}

/**
 * Collects the steps of one plan. The step makers ask it where inputs are and where outputs go; quantizing and
 * dequantizing between them is its business.
 */
export class PlanBuilder {
  readonly model: Model;
  readonly #types: ReadonlyMap<string, StaticType>;
  /** Reads of each value that are still to come, of nodes and fetches. */
  readonly #reads: ReadonlyMap<string, number>;
  readonly #stored = new Map<string, Stored>();
  /** Reads to come of what lies in a slot, under whatever name. */
  readonly #pending = new Map<Slot, number>();
  readonly #dequantized = new Map<string, FloatSlot>();
  /** Float results that this node's quantizers wait for. */
  #unquantized: { name: string; slot: FloatSlot }[] = [];
  readonly #steps: Step[] = [];
  #node: Node | null = null;

  constructor(model: Model, types: ReadonlyMap<string, StaticType>, reads: ReadonlyMap<string, number>) {
    this.model = model;
    this.#types = types;
    this.#reads = reads;
  }

  get kernels() {
    return this.model.kernels;
  }

  // ---- what is known of values ----

  constant(name: string): Tensor | undefined {
    return this.model.graph.constants.get(name);
  }

  type(name: string): StaticType | null {
    return this.constant(name) ?? this.#types.get(name) ?? null;
  }

  shape(name: string): readonly number[] | null {
    return this.type(name)?.shape ?? null;
  }

  quantizer(name: string): Quantizer | undefined {
    return this.model.quantizer(name);
  }

  isRead(name: string): boolean {
    return this.#reads.has(name);
  }

  // ---- reading ----

  /** Where a value lies, as it is stored. */
  stored(name: string): Stored {
    const found = this.#stored.get(name);
    if (found) return found;
    const tensor = this.constant(name);
    if (!tensor)
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected a feed for ${name} but received none, and nothing in the graph makes it.`,
      );
    let stored: Stored;
    if (tensor.dtype === 'float32') {
      stored = floatSlot(tensor.data.length, true);
      stored.data = tensor.data as Float32Array;
    } else stored = { dtype: 'tensor', tensor };
    this.#stored.set(name, stored);
    return stored;
  }

  /** The slot of a value; null for what lies outside the arena. */
  slot(name: string): Slot | null {
    const stored = this.stored(name);
    return stored.dtype === 'tensor' ? null : stored;
  }

  /** The value in float, dequantized if need be; null for what lies outside the arena. */
  float(name: string): FloatSlot | null {
    const slot = this.slot(name);
    if (slot?.dtype !== 'uint8') return slot;
    let float = this.#dequantized.get(name);
    if (!float) {
      float = this.dequantize(slot, this.quantizer(name)!);
      this.#dequantized.set(name, float);
    }
    return float;
  }

  // ---- writing ----

  /** Gives a value its place. */
  define(name: string, stored: Stored): void {
    this.#stored.set(name, stored);
    if (stored.dtype !== 'tensor')
      this.#pending.set(stored, (this.#pending.get(stored) ?? 0) + (this.#reads.get(name) ?? 0));
  }

  /** True if nobody reads `slot` after `node`, so that the node may write over it. */
  dies(slot: Slot, node: Node): boolean {
    if (slot.borrowed) return false;
    const now = node.inputs.filter((input) => this.#stored.get(input) === slot).length;
    return this.#pending.get(slot) === now;
  }

  /** A float place for a result, `over` another that dies if given; quantized after the node if it must be. */
  floatOutput(node: Node, index = 0, over: FloatSlot | null = null): FloatSlot {
    const name = node.outputs[index];
    const length = sizeOf(this.shape(name)!);
    const reused = over?.length === length && this.dies(over, node) ? over : null;
    const slot = reused ?? floatSlot(length);
    if (this.quantizer(name)) this.#unquantized.push({ name, slot });
    else this.define(name, slot);
    return slot;
  }

  byteOutput(node: Node, index = 0, over: ByteSlot | null = null): ByteSlot {
    const name = node.outputs[index];
    const length = sizeOf(this.shape(name)!);
    const slot = over?.length === length && this.dies(over, node) ? over : byteSlot(length);
    this.define(name, slot);
    return slot;
  }

  /** A place of the input's kind, for operators that only move values. */
  outputLike(input: Slot, node: Node, index = 0): Slot {
    return input.dtype === 'uint8' ? this.byteOutput(node, index) : this.floatOutput(node, index);
  }

  holder(name: string): Holder {
    const holder: Holder = { dtype: 'tensor', tensor: null };
    this.define(name, holder);
    return holder;
  }

  // ---- steps ----

  /** What is emitted from here on is done for this node. */
  begin(node: Node): void {
    this.#node = node;
  }

  /** Adds a step that reads or writes these slots. */
  emit(uses: readonly Slot[], run: () => void, onlyCalls = true): void {
    this.#steps.push({ run, node: this.#node, uses, onlyCalls });
  }

  dequantize(from: ByteSlot, { scale, zeroPoint }: Quantizer): FloatSlot {
    const to = floatSlot(from.length);
    const { kernels } = this;
    this.emit([from, to], () => kernels.dequantize(from.data, scale, zeroPoint, to.data));
    return to;
  }

  quantize(from: FloatSlot, { scale, zeroPoint, low, high }: Quantizer, to: ByteSlot): void {
    const { kernels } = this;
    this.emit([from, to], () => kernels.quantize(from.data, scale, zeroPoint, low, high, to.data));
  }

  /** After a node: quantizes what it left in float, and counts what it has read. */
  finish(node: Node): void {
    for (const { name, slot } of this.#unquantized) {
      const to = byteSlot(slot.length);
      this.quantize(slot, this.quantizer(name)!, to);
      this.define(name, to);
    }
    this.#unquantized = [];
    for (const input of node.inputs) {
      const stored = this.#stored.get(input);
      if (stored && stored.dtype !== 'tensor' && this.#pending.has(stored))
        this.#pending.set(stored, this.#pending.get(stored)! - 1);
    }
  }

  /** Plans the memory. */
  build(feeds: readonly PlanPort[], fetches: readonly PlanPort[]): Plan {
    const end = this.#steps.length;
    const lifetimes = new Map<Slot, { byteLength: number; first: number; last: number }>();
    const use = (slot: Slot, step: number) => {
      if (slot.borrowed) return;
      const lifetime = lifetimes.get(slot);
      if (lifetime) lifetime.last = step;
      else lifetimes.set(slot, { byteLength: byteLength(slot), first: step, last: step });
    };
    this.#steps.forEach(({ uses }, step) => {
      for (const slot of uses) use(slot, step);
    });
    for (const { stored } of fetches) if (stored.dtype !== 'tensor') use(stored, end);
    const { offsets, planned, withoutReuse } = planMemory([...lifetimes.values()]);
    const slots = [...lifetimes.keys()];
    slots.forEach((slot, i) => {
      slot.offset = offsets[i];
    });
    return {
      steps: this.#steps,
      feeds,
      fetches,
      planned,
      withoutReuse,
      place(region) {
        for (const slot of slots)
          if (slot.dtype === 'float32') slot.data = region.float32(slot.offset, slot.length);
          else slot.data = region.bytes(slot.offset, slot.length);
      },
    };
  }
}
