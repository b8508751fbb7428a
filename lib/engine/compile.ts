import { refuse, SigmaQuantError } from '../errors.ts';
import {
  type Graph,
  inferTypes,
  type StaticType,
  type Tensor,
  type TensorData,
  unsupportedNodes,
} from '../graph/index.ts';
import type { Kernels, Region } from '../kernels/kernels.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import type { Compile, CompileOptions, Executor } from './engine.ts';
import { Model } from './model.ts';
import type { Plan, PlanPort } from './plan.ts';
import { batchOf, type Feeds, planFor } from './planning.ts';
import { isSampleWise, samplesAtOnce, sliceOf, wholeOf } from './slices.ts';
import { forget, type Stored, sizeOf } from './storage.ts';

/** Plans kept: enough for the prefix and suffix of every layer of a deep network. */
const PLAN_LIMIT = 512;
/** Batch sizes whose types are kept. */
const TYPES_LIMIT = 16;

/** Graph must be channels-last. Throws UNSUPPORTED_OPERATOR naming the node. */
export const compile: Compile = (graph, kernels, options = {}) => {
  if (graph.layout !== 'channels-last') refuse('a graph in channels-last form', 'graph', graph.layout);
  const [unknown] = unsupportedNodes(graph);
  if (unknown)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected an operator that can be executed but received ${unknown.op} (node ${unknown.name}).`,
    );
  return new PlannedExecutor(graph, kernels, options);
};

class PlannedExecutor implements Executor {
  readonly graph: Graph;
  readonly floatNodes: readonly string[];
  readonly #model: Model;
  readonly #kernels: Kernels;
  readonly #quantization: Quantization | undefined;
  readonly #plans = new Map<string, Plan>();
  /** Per plan of a whole batch, how many samples run at a time. */
  readonly #counts = new Map<string, number>();
  readonly #types = new Map<number, ReadonlyMap<string, StaticType>>();
  /** The one piece of arena that all plans share, grown to the largest. */
  #region: Region | null = null;
  /** The plan whose views are of this region at this epoch. */
  #placed = new WeakSet<Plan>();
  #epoch = -1;

  constructor(graph: Graph, kernels: Kernels, { quantization }: CompileOptions) {
    this.graph = graph;
    this.#kernels = kernels;
    this.#quantization = quantization;
    this.#model = new Model(graph, kernels, quantization);
    this.floatNodes = quantization ? this.#model.floatNodes() : [];
  }

  run(feeds: Feeds, fetches: readonly string[], into?: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
    const batch = batchOf(this.graph, feeds);
    const count = this.#samplesAtOnce(batch, feeds, fetches);
    if (count === batch || !this.#fits(batch, feeds, into)) return this.#runWhole(feeds, fetches, into);
    const results = new Map<string, Tensor>();
    for (let first = 0; first < batch; first += count) {
      const some = Math.min(count, batch - first);
      const part = ([name, tensor]: [string, Tensor]): [string, Tensor] => [
        name,
        sliceOf(tensor, batch, first, some),
      ];
      const room = first === 0 ? into : results;
      const partRoom = room && new Map([...room].map(part));
      const parts = this.#runWhole(new Map([...feeds].map(part)), fetches, partRoom);
      for (const [name, tensor] of parts) {
        if (results.has(name)) continue;
        const whole = into?.get(name) ?? wholeOf(tensor, batch);
        if (!into?.has(name))
          (sliceOf(whole, batch, 0, some).data as Float32Array).set(tensor.data as Float32Array);
        results.set(name, whole);
      }
    }
    return results;
  }

  /** How many samples of the batch to run at a time. */
  #samplesAtOnce(batch: number, feeds: Feeds, fetches: readonly string[]): number {
    if (batch < 2) return batch;
    const key = keyOf(batch, feeds, fetches);
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = samplesAtOnce(batch, this.#plan(feeds, fetches).planned);
      const [all, some] = [this.#typesOf(batch), this.#typesOf(count)];
      if (!isSampleWise(this.graph, feeds, fetches, [batch, all], [count, some])) count = batch;
      if (this.#counts.size >= PLAN_LIMIT) this.#counts.clear();
      this.#counts.set(key, count);
    }
    return count;
  }

  /** Whether all tensors are as long as they should be; the whole run tells what is wrong with one that is not. */
  #fits(batch: number, feeds: Feeds, into: ReadonlyMap<string, Tensor> | undefined): boolean {
    const types = this.#typesOf(batch);
    return [...feeds, ...(into ?? [])].every(([name, { shape, data }]) => {
      const expected = types.get(name)?.shape;
      return expected && String(shape) === String(expected) && data.length === sizeOf(expected);
    });
  }

  #runWhole(
    feeds: Feeds,
    fetches: readonly string[],
    into: ReadonlyMap<string, Tensor> | undefined,
  ): Map<string, Tensor> {
    const plan = this.#plan(feeds, fetches);
    for (const { name, stored, type } of plan.feeds) feed(name, stored, type, feeds.get(name)!);
    this.#place(plan);
    const { arena } = this.#kernels;
    for (const step of plan.steps) {
      step();
      if (arena.epoch !== this.#epoch) this.#place(plan); // the backend's own scratch made the arena move
    }
    const results = new Map(plan.fetches.map((port) => [port.name, collect(port, into?.get(port.name))]));
    for (const { stored } of plan.feeds) forget(stored);
    return results;
  }

  #plan(feeds: Feeds, fetches: readonly string[]): Plan {
    const batch = batchOf(this.graph, feeds);
    const key = keyOf(batch, feeds, fetches);
    let plan = this.#plans.get(key);
    if (plan) this.#plans.delete(key);
    else plan = planFor(this.#model, this.#typesOf(batch), feeds, fetches);
    this.#plans.set(key, plan); // most recently used last
    if (this.#plans.size > PLAN_LIMIT) this.#plans.delete(this.#plans.keys().next().value!);
    return plan;
  }

  #typesOf(batch: number): ReadonlyMap<string, StaticType> {
    let types = this.#types.get(batch);
    if (!types) {
      if (this.#types.size >= TYPES_LIMIT) this.#types.clear();
      this.#types.set(batch, (types = inferTypes(this.graph, batch)));
    }
    return types;
  }

  /** Makes the region large enough and the plan's and the weights' views good. */
  #place(plan: Plan): void {
    const { arena } = this.#kernels;
    if (!this.#region || this.#region.byteLength < plan.planned) {
      this.#region?.release();
      this.#region = null;
      this.#region = arena.allocate(plan.planned);
      this.#placed = new WeakSet();
    }
    if (arena.epoch !== this.#epoch) {
      this.#epoch = arena.epoch;
      this.#placed = new WeakSet();
      this.#model.refresh();
    }
    if (this.#placed.has(plan)) return;
    plan.place(this.#region);
    this.#placed.add(plan);
  }

  replaceWeights(layer: string, weights: Float32Array | null, bias?: Float32Array | null): void {
    if (this.#quantization) refuse('a float executor', 'replaceWeights', 'a quantized one');
    this.#model.replaceFloat(layer, weights, bias);
  }

  replaceLayer(layer: string, quantization: Quantization): void {
    if (!this.#quantization) refuse('a quantized executor', 'replaceLayer', 'a float one');
    const replacement: QuantizedLayer | undefined = quantization.layers.get(layer);
    if (!replacement) refuse(`a quantization of ${layer}`, 'quantization', undefined);
    this.#model.replaceIntegers(layer, replacement);
  }

  memory(batch: number): { planned: number; withoutReuse: number } {
    const types = this.#typesOf(batch);
    const feeds = new Map(
      this.graph.inputs.map(({ name, dtype }): [string, Tensor] => [
        name,
        { dtype, shape: types.get(name)?.shape ?? [], data: new Float32Array(0) },
      ]),
    );
    const fetches = this.graph.outputs.map(({ name }) => name);
    const { planned, withoutReuse } = planFor(this.#model, types, feeds, fetches);
    return { planned, withoutReuse };
  }

  dispose(): void {
    this.#region?.release();
    this.#region = null;
    this.#plans.clear();
    this.#model.dispose();
  }
}

/** What a plan is made for. */
function keyOf(batch: number, feeds: Feeds, fetches: readonly string[]): string {
  const fed = [...feeds].map(([name, { dtype }]) => `${name}\t${dtype}`);
  return [batch, ...fed, '', ...fetches].join('\n');
}

/** Lends the caller's tensor to the plan. */
function feed(name: string, stored: Stored, type: StaticType | null, tensor: Tensor): void {
  const { shape, dtype } = tensor;
  if (type && (shape.length !== type.shape.length || shape.some((length, i) => length !== type.shape[i])))
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected shape [${type.shape}] for ${name} but received [${shape}].`,
    );
  if (stored.dtype === 'tensor') {
    stored.tensor = tensor;
    return;
  }
  const elements = dtype === 'float32' ? Float32Array : Uint8Array;
  if (dtype !== stored.dtype || !(tensor.data instanceof elements) || tensor.data.length !== stored.length)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected ${stored.length} elements of ${stored.dtype} for ${name} but received ${tensor.data.length} of ${dtype}.`,
    );
  stored.data = tensor.data as Float32Array & Uint8Array;
}

/** A copy that the caller owns, in the caller's buffer where one is given. */
function collect({ name, stored, type }: PlanPort, target: Tensor | undefined): Tensor {
  const source: Tensor =
    stored.dtype === 'tensor'
      ? stored.tensor!
      : { dtype: stored.dtype, shape: type!.shape, data: stored.data };
  if (!target) return { ...source, shape: [...source.shape], data: source.data.slice() as TensorData };
  if (target.dtype !== source.dtype || target.data.length !== source.data.length)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected room for ${source.data.length} elements of ${source.dtype} for ${name} but received ${target.data.length} of ${target.dtype}.`,
    );
  (target.data as Float32Array).set(source.data as Float32Array);
  return target;
}
