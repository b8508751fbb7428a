import { byteSlot, type FloatSlot, floatSlot, type Slot } from '../engine/storage.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { inferTypes, type StaticType, sizeOf } from '../graph/index.ts';
import type { Kernels, Region } from '../kernels/kernels.ts';
import { type Schedule, schedule } from './schedule.ts';
import type { Parameter, TapeOptions } from './training.ts';

/** One thing that a training step does. */
export interface TapeStep {
  readonly node: string;
  /** Of the node in execution order; -1 for what is done to the graph's inputs. */
  readonly position: number;
  readonly phase: 'forward' | 'backward';
  /** Of a forward step: not to be run again where its values are made again. */
  readonly once: boolean;
  /** Where it reads and writes. */
  readonly uses: readonly Slot[];
  /** About how many multiply-adds. */
  readonly work: number;
  run(): void;
}

/** Emits the backward steps of what was emitted forward. */
export type Backward = () => void;

/** The backward half of a node, or of a quantizer behind it. */
interface Emission {
  node: Node | null;
  position: number;
  emit: Backward;
}

/** Emits the forward steps of a node; returns what emits its backward steps. */
export type GradientRule = (tape: TapeBuilder, node: Node) => Backward;

/** An element costs about as much as so many multiply-adds. */
const ELEMENT_WORK = 8;

/**
 * Collects the steps of one training step. Rules ask it where values and their gradients lie; adding up what several
 * readers contribute, and quantizing between nodes, is its business.
 */
export class TapeBuilder {
  readonly graph: Graph;
  readonly kernels: Kernels;
  readonly options: TapeOptions;
  readonly #types: ReadonlyMap<string, StaticType>;
  readonly #values = new Map<string, FloatSlot>();
  /** Where inputs of the graph lie before they are quantized. */
  readonly #fed = new Map<string, FloatSlot>();
  readonly #gradients = new Map<string, FloatSlot>();
  /** Values whose gradient somebody needs. */
  readonly #wanted = new Set<string>();
  readonly #steps: TapeStep[] = [];
  #node: Node | null = null;
  #position = -1;
  #phase: TapeStep['phase'] = 'forward';

  constructor(graph: Graph, kernels: Kernels, batch: number, options: TapeOptions) {
    this.graph = graph;
    this.kernels = kernels;
    this.options = options;
    this.#types = inferTypes(graph, batch);
  }

  get steps(): readonly TapeStep[] {
    return this.#steps;
  }

  shape(name: string): readonly number[] {
    const type = this.graph.constants.get(name) ?? this.#types.get(name);
    return type!.shape;
  }

  parameter(name: string | undefined): Parameter | null {
    return (name && this.options.parameters.get(name)) || null;
  }

  /** A parameter's data, or those of a constant; undefined for a value that is computed. */
  constant(name: string | undefined): Float32Array | undefined {
    if (!name) return undefined;
    return this.parameter(name)?.data ?? (this.graph.constants.get(name)?.data as Float32Array | undefined);
  }

  /** Where the value lies that readers see: quantized, where it is. */
  value(name: string): FloatSlot {
    const known = this.#values.get(name);
    if (known) return known;
    const constant = this.constant(name);
    const slot = floatSlot(constant?.length ?? sizeOf(this.shape(name)), constant !== undefined);
    if (constant) slot.data = constant;
    this.#values.set(name, slot);
    return slot;
  }

  /** A place for a node's output. */
  output(node: Node): FloatSlot {
    const slot = floatSlot(sizeOf(this.shape(node.outputs[0])));
    this.#values.set(node.outputs[0], slot);
    return slot;
  }

  /** The output is what already lies there, under another shape. */
  alias(node: Node, slot: FloatSlot): void {
    this.#values.set(node.outputs[0], slot);
  }

  /** A place for the length of one step, or for what its backward half needs. */
  scratch(length: number): FloatSlot {
    return floatSlot(length);
  }

  bytes(length: number) {
    return byteSlot(length);
  }

  needs(name: string): boolean {
    return this.#wanted.has(name);
  }

  want(name: string): void {
    this.#wanted.add(name);
  }

  /** The gradient of a value that a node made; undefined where nothing that is trained depends on it. */
  gradient(name: string): FloatSlot | undefined {
    return this.#gradients.get(name);
  }

  /** A gradient of `name` that `run` computes; added to what others gave. */
  contribute(name: string, uses: readonly Slot[], work: number, run: (out: Float32Array) => void): void {
    if (!this.needs(name)) return;
    const slot = floatSlot(sizeOf(this.shape(name)));
    this.emit([...uses, slot], work, () => run(slot.data));
    this.adopt(name, slot);
  }

  /** Takes a slot that nobody reads any more as a gradient of `name`. */
  adopt(name: string, slot: FloatSlot): void {
    if (!this.needs(name)) return;
    const given = this.#gradients.get(name);
    if (!given) this.#gradients.set(name, slot);
    else
      this.emitElements([given, slot], () => {
        this.kernels.add(
          given.data,
          slot.data,
          Number.NEGATIVE_INFINITY,
          Number.POSITIVE_INFINITY,
          given.data,
        );
      });
  }

  emit(uses: readonly Slot[], work: number, run: () => void, { once = false } = {}): void {
    const [node, position, phase] = [this.#node?.name ?? '', this.#position, this.#phase];
    this.#steps.push({ node, position, phase, once, uses, work, run });
  }

  emitElements(uses: readonly Slot[], run: () => void): void {
    const elements = uses.reduce((sum, { length }) => sum + length, 0);
    this.emit(uses, elements * ELEMENT_WORK, run);
  }

  /** All nodes forward, then all of them backward. */
  build(nodes: readonly Node[], ruleOf: (node: Node) => GradientRule): Tape {
    const backward: Emission[] = [];
    for (const { name } of this.graph.inputs) {
      this.#fed.set(name, this.value(name));
      this.#quantize(name, backward);
    }
    for (const [position, node] of nodes.entries()) {
      [this.#node, this.#position] = [node, position];
      for (const output of node.outputs)
        if (this.#trains(node) || this.options.watch?.includes(output)) this.want(output);
      backward.push({ node, position, emit: ruleOf(node)(this, node) });
      for (const output of node.outputs) this.#quantize(output, backward);
    }
    const forward = this.#steps.splice(0);
    const { outputs } = this.options;
    const seeds = new Map(
      outputs.filter((name) => this.needs(name)).map((name) => [name, floatSlot(sizeOf(this.shape(name)))]),
    );
    for (const [name, slot] of seeds) this.#gradients.set(name, slot);
    this.#phase = 'backward';
    const watched = new Map<string, FloatSlot>();
    for (const { node, position, emit } of backward.toReversed()) {
      [this.#node, this.#position] = [node, position];
      for (const name of node?.outputs ?? []) this.#watch(name, watched);
      emit();
    }
    const read = new Map(outputs.map((name) => [name, this.value(name)]));
    const emitted = {
      forward,
      backward: this.#steps,
      between: [...seeds.values(), ...read.values()],
      fed: [...this.#fed.values()],
      kept: [...watched.values()],
    };
    const { memory = Number.POSITIVE_INFINITY } = this.options;
    const made = schedule(emitted, this.graph, nodes, outputs, memory);
    return new Tape(this.kernels, { ...made, inputs: this.#fed, outputs: read, seeds, watched });
  }

  /** Whether anything that is trained lies in or before the node. */
  #trains(node: Node): boolean {
    return (
      node.inputs.some((input) => this.needs(input) || this.parameter(input) !== null) ||
      this.options.weights?.has(node.name) === true
    );
  }

  #quantize(name: string, backward: Emission[]): void {
    const quantizer = this.options.activations?.get(name);
    const raw = this.#values.get(name);
    if (!quantizer || !raw) return;
    const { kernels } = this;
    const { scale, zeroPoint, low, high } = quantizer;
    const [levels, out] = [byteSlot(raw.length), floatSlot(raw.length)];
    this.emitElements([raw, levels, out], () => {
      kernels.quantize(raw.data, scale.data[0], zeroPoint, low, high, levels.data);
      kernels.dequantize(levels.data, scale.data[0], zeroPoint, out.data);
    });
    this.#values.set(name, out);
    if (scale.trained) this.want(name);
    const emit = () => {
      const g = this.gradient(name);
      if (!g) return;
      this.emitElements([raw, g], () => {
        scale.gradient[0] += kernels.quantizeGradient(
          raw.data,
          g.data,
          scale.data[0],
          zeroPoint,
          low,
          high,
          g.data,
        );
      });
    };
    backward.push({ node: this.#node, position: this.#position, emit });
  }

  /** Keeps a copy: rules may work in the gradient's place. */
  #watch(name: string, watched: Map<string, FloatSlot>): void {
    const gradient = this.gradient(name);
    if (!gradient || watched.has(name) || !this.options.watch?.includes(name)) return;
    const copy = floatSlot(gradient.length);
    this.emitElements([gradient, copy], () => copy.data.set(gradient.data));
    watched.set(name, copy);
  }
}

interface TapePlan extends Schedule {
  inputs: ReadonlyMap<string, FloatSlot>;
  outputs: ReadonlyMap<string, FloatSlot>;
  /** Where the gradients of the outputs are written before the backward half. */
  seeds: ReadonlyMap<string, FloatSlot>;
  /** Copies of gradients that were asked for. */
  watched: ReadonlyMap<string, FloatSlot>;
}

/** A recorded training step: plain data that is run any number of times in one piece of arena. */
export class Tape {
  readonly #kernels: Kernels;
  readonly #plan: TapePlan;
  readonly #slots: ReadonlySet<Slot>;
  #region: Region | null = null;
  #epoch = -1;

  constructor(kernels: Kernels, plan: TapePlan) {
    this.#kernels = kernels;
    this.#plan = plan;
    const all = [...plan.placements.values()].flat();
    this.#slots = new Set(all.map(({ slot }) => slot));
    // The first of its places: what is fed is written before any step runs.
    for (const { slot, offset } of all.toReversed()) slot.offset = offset;
  }

  get steps(): readonly TapeStep[] {
    return this.#plan.steps;
  }

  get planned(): number {
    return this.#plan.planned;
  }

  get withoutReuse(): number {
    return this.#plan.withoutReuse;
  }

  input(name: string): Float32Array {
    this.#place();
    return this.#plan.inputs.get(name)!.data;
  }

  /** Of the forward half; valid until the backward half runs. */
  output(name: string): Float32Array {
    return this.#plan.outputs.get(name)!.data;
  }

  /** Where the gradient of the loss by an output belongs. */
  seed(name: string): Float32Array {
    return this.#plan.seeds.get(name)!.data;
  }

  /** The gradient by a value among the options' `watch`. */
  watched(name: string): Float32Array {
    return this.#plan.watched.get(name)!.data;
  }

  /** `pace` is awaited between steps. */
  async run(phase: TapeStep['phase'], pace: (work: number) => Promise<void>): Promise<void> {
    this.#place();
    const { steps, forward, placements } = this.#plan;
    const [first, last] = phase === 'forward' ? [0, forward] : [forward, steps.length];
    for (let i = first; i < last; i++) {
      for (const { slot, offset } of placements.get(i) ?? []) {
        if (slot.offset === offset) continue;
        slot.offset = offset;
        this.#view(slot);
      }
      steps[i].run();
      this.#place();
      await pace(steps[i].work);
    }
  }

  /** Takes all views again if the arena moved. */
  #place(): void {
    const { arena } = this.#kernels;
    this.#region ??= arena.allocate(this.#plan.planned);
    if (arena.epoch === this.#epoch) return;
    this.#epoch = arena.epoch;
    for (const slot of this.#slots) this.#view(slot);
  }

  #view(slot: Slot): void {
    const region = this.#region!;
    if (slot.dtype === 'float32') slot.data = region.float32(slot.offset, slot.length);
    else slot.data = region.bytes(slot.offset, slot.length);
  }

  dispose(): void {
    this.#region?.release();
    this.#region = null;
    this.#epoch = -1;
  }
}
