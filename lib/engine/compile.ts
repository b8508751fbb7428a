import { refuse, SigmaQuantError } from '../errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { unsupportedNodes } from '../graph/ops.ts';
import { inferTypes, type StaticType } from '../graph/types.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization, QuantizedLayer } from '../quant/quantizer.ts';
import type { Compile, CompileOptions, Executor, RunOptions, StepProfile } from './engine.ts';
import { Model } from './model.ts';
import type { Plan } from './plan.ts';
import { batchOf, type Feeds, planFor } from './planning.ts';
import { Runner } from './runner.ts';
import { isSampleWise, samplesAtOnce, sliceOf } from './slices.ts';
import { sizeOf } from './storage.ts';

type Into = ReadonlyMap<string, Tensor> | undefined;

/** One after another of the slices of a batch: what it is fed and where its results go. */
interface Part {
  feeds: Feeds;
  into: Map<string, Tensor>;
}

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
  readonly #runner: Runner;
  readonly #quantization: Quantization | undefined;
  readonly #plans = new Map<string, Plan>();
  /** Per plan of a whole batch, how many samples run at a time. */
  readonly #counts = new Map<string, number>();
  readonly #types = new Map<number, ReadonlyMap<string, StaticType>>();
  /** Asynchronous runs take turns. */
  #last: Promise<unknown> = Promise.resolve();
  #underWay = 0;

  constructor(graph: Graph, kernels: Kernels, { quantization }: CompileOptions) {
    this.graph = graph;
    this.#quantization = quantization;
    this.#model = new Model(graph, kernels, quantization);
    this.#runner = new Runner(this.#model);
    this.floatNodes = quantization ? this.#model.floatNodes() : [];
  }

  run(feeds: Feeds, fetches: readonly string[], into?: Into): Map<string, Tensor> {
    this.#checkIdle();
    const sliced = this.#slices(feeds, fetches, into);
    if (!sliced) return this.#runner.run(this.#plan(feeds, fetches), feeds, into);
    for (const part of sliced.parts) this.#runner.run(this.#plan(part.feeds, fetches), part.feeds, part.into);
    return sliced.whole;
  }

  async runLater(
    feeds: Feeds,
    fetches: readonly string[],
    options: RunOptions = {},
  ): Promise<Map<string, Tensor>> {
    const { into, signal } = options;
    const begin = async (held: Feeds) => {
      signal?.throwIfAborted();
      const sliced = this.#slices(held, fetches, into);
      if (!sliced) return this.#runner.later(this.#plan(held, fetches), held, into, signal);
      for (const part of sliced.parts)
        await this.#runner.later(this.#plan(part.feeds, fetches), part.feeds, part.into, signal);
      return sliced.whole;
    };
    // Whoever runs at once, and in one piece, copies the feeds itself.
    const atOnce = this.#underWay === 0 && !this.#slices(feeds, fetches, into);
    this.#underWay++;
    const copies = atOnce ? feeds : copied(feeds);
    const made = atOnce ? begin(feeds) : this.#last.then(() => begin(copies));
    // Before whoever awaits the run goes on: it is idle then.
    const ended = () => void this.#underWay--;
    this.#last = made.then(ended, ended);
    return made;
  }

  profile(feeds: Feeds, fetches: readonly string[], now: () => number): StepProfile[] {
    this.#checkIdle();
    return this.#runner.profile(this.#plan(feeds, fetches), feeds, now);
  }

  #checkIdle(): void {
    if (this.#underWay > 0)
      throw new SigmaQuantError('BUSY', 'Expected no asynchronous run under way but one is: await it first.');
  }

  /** A batch whose values would not stay in a cache, in slices that do; null where it runs at once. */
  #slices(
    feeds: Feeds,
    fetches: readonly string[],
    into: Into,
  ): { parts: Part[]; whole: Map<string, Tensor> } | null {
    const batch = batchOf(this.graph, feeds);
    const count = this.#samplesAtOnce(batch, feeds, fetches);
    if (count === batch || !this.#fits(batch, feeds, into)) return null;
    const whole = new Map(fetches.map((name) => [name, this.#room(name, batch, into?.get(name))]));
    const parts: Part[] = [];
    for (let first = 0; first < batch; first += count) {
      const some = Math.min(count, batch - first);
      const part = ([name, tensor]: [string, Tensor]): [string, Tensor] => [
        name,
        sliceOf(tensor, batch, first, some),
      ];
      parts.push({ feeds: new Map([...feeds].map(part)), into: new Map([...whole].map(part)) });
    }
    return { parts, whole };
  }

  /** Room for a fetched value of a batch, in the caller's array where there is one. */
  #room(name: string, batch: number, given: Tensor | undefined): Tensor {
    const { shape } = this.#typesOf(batch).get(name)!;
    if (given) return { ...given, shape };
    const isOutput = this.graph.outputs.some((output) => output.name === name);
    return !isOutput && this.#model.quantizer(name)
      ? { dtype: 'uint8', shape, data: new Uint8Array(sizeOf(shape)) }
      : { dtype: 'float32', shape, data: new Float32Array(sizeOf(shape)) };
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

  /** Whether all tensors are as they should be; the whole run tells what is wrong with one that is not. */
  #fits(batch: number, feeds: Feeds, into: Into): boolean {
    const types = this.#typesOf(batch);
    const isLong = ([name, { data }]: [string, Tensor]) =>
      data.length === sizeOf(types.get(name)?.shape ?? []);
    const isShaped = ([name, { shape }]: [string, Tensor]) =>
      String(shape) === String(types.get(name)?.shape);
    return [...feeds].every(isShaped) && [...feeds, ...(into ?? [])].every(isLong);
  }

  #plan(feeds: Feeds, fetches: readonly string[]): Plan {
    const batch = batchOf(this.graph, feeds);
    const key = keyOf(batch, feeds, fetches);
    let plan = this.#plans.get(key);
    if (plan) this.#plans.delete(key);
    else plan = planFor(this.#model, this.#typesOf(batch), feeds, fetches);
    this.#plans.set(key, plan); // most recently used last
    if (this.#plans.size > PLAN_LIMIT) {
      const [oldest, unused] = this.#plans.entries().next().value!;
      this.#plans.delete(oldest);
      this.#runner.forget(unused);
    }
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

  replaceWeights(layer: string, weights: Float32Array | null, bias?: Float32Array | null): void {
    this.#checkIdle();
    if (this.#quantization) refuse('a float executor', 'replaceWeights', 'a quantized one');
    this.#model.replaceFloat(layer, weights, bias);
    this.#runner.weightsChanged();
  }

  replaceLayer(layer: string, quantization: Quantization): void {
    this.#checkIdle();
    if (!this.#quantization) refuse('a quantized executor', 'replaceLayer', 'a float one');
    const replacement: QuantizedLayer | undefined = quantization.layers.get(layer);
    if (!replacement) refuse(`a quantization of ${layer}`, 'quantization', undefined);
    this.#model.replaceIntegers(layer, replacement);
    this.#runner.weightsChanged();
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
    this.#runner.dispose();
    this.#plans.clear();
    this.#model.dispose();
  }
}

function copied(feeds: Feeds): Feeds {
  return new Map(
    [...feeds].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() } as Tensor]),
  );
}

/** What a plan is made for. */
function keyOf(batch: number, feeds: Feeds, fetches: readonly string[]): string {
  const fed = [...feeds].map(([name, { dtype }]) => `${name}\t${dtype}`);
  return [batch, ...fed, '', ...fetches].join('\n');
}
