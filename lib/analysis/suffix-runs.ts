import type { Evaluator } from '../engine/index.ts';
import type { Graph, Layer, Tensor } from '../graph/graph.ts';
import { liveBefore } from './experiments.ts';

/** How much longer than from its own layer a run may take because it begins at an earlier one. */
const DETOURS = [1.03, 1.06, 1.12, 1.25, 1.5, 2, 4];

/** Keys remembered: of thousands of evaluations. */
const SEEN_LIMIT = 100_000;

export interface SuffixOptions {
  /** Of all batches together. */
  samples: number;
  /** Bytes of activations that may be kept. */
  ceiling: number;
}

/** A layer before which a run may begin: what must be fed there. */
interface Cut {
  /** Position of the layer. */
  layer: number;
  values: readonly string[];
  bytesPerSample: number;
}

/** What was computed up to a cut, by number of batch. */
interface Kept {
  batches: Map<number, ReadonlyMap<string, Tensor>>;
  bytes: number;
}

/**
 * Runs an executor whose layers change from one round over the same batches to the next: each run begins at the last
 * kept activations that come before every changed layer. At a cut, the first activations are kept, and others when they
 * are computed for the second time: most changes are tried once and taken back, and copying what nobody asks for again
 * would cost as much as computing it. What was used longest ago gives way at the ceiling.
 */
export class SuffixRuns {
  readonly #executor: Evaluator;
  readonly #cuts: readonly Cut[];
  readonly #outputs: readonly string[];
  readonly #ceiling: number;
  readonly #layers: ReadonlyMap<string, number>;
  readonly #versions: (string | number)[];
  /** By cut and versions of all layers before it; least recently used first. */
  readonly #kept = new Map<string, Kept>();
  /** By the same keys, the batches that were run through the cut. */
  readonly #seen = new Map<string, Set<number>>();
  /** Per cut, the batches that are kept in some version. */
  readonly #first: readonly Set<number>[];
  #keys: string[] = [];
  #bytes = 0;

  /** Layers in execution order. */
  constructor(executor: Evaluator, layers: readonly Layer[], { samples, ceiling }: SuffixOptions) {
    const { graph } = executor;
    this.#executor = executor;
    this.#cuts = chosenCuts(layers, allCuts(graph, layers), samples, ceiling);
    this.#outputs = graph.outputs.map(({ name }) => name);
    this.#ceiling = ceiling;
    this.#layers = new Map(layers.map(({ name }, i) => [name, i]));
    this.#versions = layers.map(() => '');
    this.#first = this.#cuts.map(() => new Set());
    this.#rename();
  }

  /** Bytes of activations that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** To be called whenever a layer of the executor was replaced; the same version means the same integers. */
  changed(layer: string, version: string | number): void {
    const position = this.#layers.get(layer);
    if (position === undefined) throw new Error(`${layer} is not among the layers.`);
    this.#versions[position] = version;
    this.#rename();
  }

  /** Whether `run` can do without the samples of this batch. */
  knows(batch: number): boolean {
    return this.#start(batch) >= 0;
  }

  /** The network's outputs for a batch; its samples are needed unless it `knows` them. */
  run(batch: number, samples: ReadonlyMap<string, Tensor> | null): Map<string, Tensor> {
    const start = this.#start(batch);
    const feeds = start >= 0 ? this.#used(start).batches.get(batch)! : samples!;
    const kept = this.#wanted(start, batch);
    const fetches = [...new Set([...this.#outputs, ...kept.flatMap((cut) => this.#cuts[cut].values)])];
    const fetched = this.#executor.run(
      feeds,
      fetches.filter((name) => !feeds.has(name)),
    );
    const found = (name: string) => feeds.get(name) ?? fetched.get(name)!;
    for (const cut of kept)
      this.#keep(cut, batch, new Map(this.#cuts[cut].values.map((name) => [name, found(name)])));
    return new Map(this.#outputs.map((name) => [name, found(name)]));
  }

  #rename(): void {
    this.#keys = this.#cuts.map(({ layer }, cut) => `${cut} ${this.#versions.slice(0, layer).join()}`);
  }

  /** The cuts behind `start` whose activations are worth keeping now. */
  #wanted(start: number, batch: number): number[] {
    if (this.#seen.size > SEEN_LIMIT) this.#seen.clear();
    const wanted: number[] = [];
    for (let cut = start + 1; cut < this.#cuts.length; cut++) {
      const key = this.#keys[cut];
      const seen = this.#seen.get(key) ?? new Set();
      this.#seen.set(key, seen);
      if (seen.has(batch) || !this.#first[cut].has(batch)) wanted.push(cut);
      seen.add(batch);
      this.#first[cut].add(batch);
    }
    return wanted;
  }

  /** The last cut that has this batch, or -1. */
  #start(batch: number): number {
    return this.#keys.findLastIndex((key) => this.#kept.get(key)?.batches.has(batch));
  }

  /** What is kept at a cut, now the most recently used. */
  #used(cut: number): Kept {
    const key = this.#keys[cut];
    const kept = this.#kept.get(key) ?? { batches: new Map(), bytes: 0 };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept;
  }

  #keep(cut: number, batch: number, values: ReadonlyMap<string, Tensor>): void {
    let size = 0;
    for (const { data } of values.values()) size += (data as Uint8Array).byteLength;
    const kept = this.#used(cut);
    for (const [key, oldest] of this.#kept) {
      if (this.#bytes + size <= this.#ceiling || oldest === kept) break;
      this.#bytes -= oldest.bytes;
      this.#kept.delete(key);
    }
    if (this.#bytes + size > this.#ceiling) return;
    kept.batches.set(batch, values);
    kept.bytes += size;
    this.#bytes += size;
  }
}

/** Everywhere that a run could begin: before each layer but the first, where all that is read later is of known size. */
function allCuts(graph: Graph, layers: readonly Layer[]): Cut[] {
  return layers.flatMap((layer, position) => {
    const values = liveBefore(graph, layer);
    const sizes = values.map((value) => bytesPerSample(graph, value));
    if (position === 0 || sizes.includes(null)) return [];
    const total = (sizes as number[]).reduce((sum, bytes) => sum + bytes, 0);
    return [{ layer: position, values, bytesPerSample: total }];
  });
}

/** Null for what is no float with the batch in front, and for the network's own inputs. */
function bytesPerSample(graph: Graph, value: string): number | null {
  const type = graph.types.get(value);
  if (type?.dtype !== 'float32' || typeof type.shape[0] !== 'string') return null;
  let elements = 1;
  for (const length of type.shape.slice(1)) {
    if (typeof length !== 'number') return null;
    elements *= length;
  }
  return elements; // quantized: one byte each
}

/** As many cuts as the ceiling allows, so that no run makes a larger detour than it must. */
function chosenCuts(layers: readonly Layer[], all: readonly Cut[], samples: number, ceiling: number): Cut[] {
  for (const detour of DETOURS) {
    const cuts = cutsFor(layers, all, detour);
    if (cuts.reduce((sum, cut) => sum + cut.bytesPerSample, 0) * samples <= ceiling) return cuts;
  }
  return [];
}

/** The smallest cuts that keep every layer's detour below the given one. */
function cutsFor(layers: readonly Layer[], all: readonly Cut[], detour: number): Cut[] {
  const after = new Array<number>(layers.length + 1).fill(0);
  for (let i = layers.length - 1; i >= 0; i--) after[i] = after[i + 1] + layers[i].macs;
  const chosen: Cut[] = [];
  let last = 0;
  for (const { layer } of all) {
    if (after[last] <= detour * after[layer]) continue;
    const near = all.filter(
      (cut) => cut.layer > last && cut.layer <= layer && after[cut.layer] <= detour * after[layer],
    );
    const best = near.reduce((a, b) => (b.bytesPerSample <= a.bytesPerSample ? b : a));
    chosen.push(best);
    last = best.layer;
  }
  return chosen;
}
