import { SigmaQuantError } from '../errors.ts';
import type { Tensor, TensorData } from '../graph/graph.ts';
import type { StaticType } from '../graph/types.ts';
import type { Kernels, Region } from '../kernels/kernels.ts';
import type { StepProfile } from './engine.ts';
import type { Model } from './model.ts';
import type { Plan, PlanPort } from './plan.ts';
import type { Feeds } from './planning.ts';
import { type Piece, piecesOf, Staging } from './playback.ts';
import { byteLength, forget, type Slot, type Stored } from './storage.ts';

type Into = ReadonlyMap<string, Tensor> | undefined;

const NOTHING: ReadonlySet<Slot> = new Set();

/** A plan that has run: its pieces, once it is worth making them, and room for feeds of asynchronous runs. */
interface Prepared {
  runs: number;
  pieces: Piece[] | null;
  laterPieces: Piece[] | null;
  staging: Staging | null;
}

/** Runs the plans of one model, one at a time, all in one piece of arena that is grown to the largest. */
export class Runner {
  readonly #model: Model;
  readonly #kernels: Kernels;
  #region: Region | null = null;
  /** The plans whose views are of this region at this epoch, with these weights. */
  #prepared = new Map<Plan, Prepared>();
  #epoch = -1;

  constructor(model: Model) {
    this.#model = model;
    this.#kernels = model.kernels;
  }

  run(plan: Plan, feeds: Feeds, into: Into): Map<string, Tensor> {
    lend(plan, feeds);
    const prepared = this.#place(plan);
    // The first run shows whether there will be a second.
    if (this.#kernels.record && prepared.runs++ > 0) {
      prepared.pieces ??= piecesOf(this.#kernels, plan.steps, new Set(plan.feeds.map(slotOf)));
      for (const piece of prepared.pieces) piece.run();
    } else {
      for (const step of plan.steps) {
        step.run();
        this.#follow(plan);
      }
    }
    return results(plan, into);
  }

  /** As `run`, off the calling thread where the backend can. The feeds are copied before this returns. */
  async later(
    plan: Plan,
    feeds: Feeds,
    into: Into,
    signal: AbortSignal | undefined,
  ): Promise<Map<string, Tensor>> {
    lend(plan, feeds);
    const prepared = this.#place(plan);
    prepared.staging ??= new Staging(this.#kernels, plan.feeds);
    prepared.staging.take();
    prepared.laterPieces ??= piecesOf(this.#kernels, plan.steps, NOTHING);
    for (const piece of prepared.laterPieces) {
      await piece.later(signal ? { signal } : {});
      if (this.#follow(plan)) prepared.staging.lend();
    }
    return results(plan, into);
  }

  /** Runs step by step with a look at the clock, in milliseconds, before and after each. */
  profile(plan: Plan, feeds: Feeds, now: () => number): StepProfile[] {
    lend(plan, feeds);
    this.#place(plan);
    const profiles: StepProfile[] = [];
    for (const { node, uses, run } of plan.steps) {
      const start = now();
      run();
      const milliseconds = now() - start;
      this.#follow(plan);
      const bytes = [...new Set(uses)].reduce((sum, slot) => sum + byteLength(slot), 0);
      profiles.push({ node: node?.name ?? '', op: node?.op ?? '', milliseconds, bytes });
    }
    for (const { stored } of plan.feeds) forget(stored);
    return profiles;
  }

  /** After weights were replaced: what was recorded names the old ones. */
  weightsChanged(): void {
    for (const prepared of this.#prepared.values()) {
      prepared.pieces = prepared.laterPieces = null;
      prepared.runs = 0;
    }
  }

  /** Lets go of what was kept for a plan that will not run again. */
  forget(plan: Plan): void {
    this.#prepared.get(plan)?.staging?.release();
    this.#prepared.delete(plan);
  }

  dispose(): void {
    this.#forgetAll();
    this.#region?.release();
    this.#region = null;
  }

  #forgetAll(): void {
    for (const { staging } of this.#prepared.values()) staging?.release();
    this.#prepared.clear();
  }

  /** Makes the region large enough and the plan's and the weights' views good. */
  #place(plan: Plan): Prepared {
    const { arena } = this.#kernels;
    if (!this.#region || this.#region.byteLength < plan.planned) {
      this.#region?.release();
      this.#region = null;
      this.#region = arena.allocate(plan.planned);
      this.#forgetAll();
    }
    if (arena.epoch !== this.#epoch) {
      this.#epoch = arena.epoch;
      this.#forgetAll();
      this.#model.refresh();
    }
    let prepared = this.#prepared.get(plan);
    if (!prepared) {
      plan.place(this.#region);
      this.#prepared.set(plan, (prepared = { runs: 0, pieces: null, laterPieces: null, staging: null }));
    }
    return prepared;
  }

  /** Takes all views again if the backend's own scratch made the arena move. */
  #follow(plan: Plan): boolean {
    if (this.#kernels.arena.epoch === this.#epoch) return false;
    const kept = this.#prepared.get(plan)!;
    this.#prepared.delete(plan); // its staging lives on
    this.#place(plan);
    this.#prepared.set(plan, kept);
    return true;
  }
}

const slotOf = ({ stored }: PlanPort): Slot => stored as Slot;

/** Lends the caller's tensors to the plan. */
function lend(plan: Plan, feeds: Feeds): void {
  for (const { name, stored, type } of plan.feeds) feed(name, stored, type, feeds.get(name)!);
}

function results(plan: Plan, into: Into): Map<string, Tensor> {
  const collected = new Map(plan.fetches.map((port) => [port.name, collect(port, into?.get(port.name))]));
  for (const { stored } of plan.feeds) forget(stored);
  return collected;
}

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
  return { ...source, data: target.data };
}
