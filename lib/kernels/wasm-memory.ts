import { SigmaQuantError } from '../errors.ts';
import type { Arena, Region } from './kernels.ts';

const PAGE = 65_536;
/** 4 GiB less a page, so that every end is a 32-bit number. */
const PAGE_LIMIT = 65_535;
const ALIGNMENT = 64;
/** Memory grows by at least this, so that views detach seldom. */
const GROWTH = 256 * PAGE;

/** WebAssembly.Memory, of which TypeScript knows only in browsers. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

const aligned = (x: number) => Math.ceil(x / ALIGNMENT) * ALIGNMENT;

interface Gap {
  start: number;
  end: number;
}

/** First-fit allocation over a growable WASM memory. `epoch` rises with every growth. */
export class WasmArena implements Arena {
  readonly memory: WasmMemory;
  epoch = 0;
  /** Free spans, ascending, never touching one another. */
  readonly #gaps: Gap[];

  constructor(memory: WasmMemory, start: number) {
    this.memory = memory;
    this.#gaps = [{ start: aligned(start), end: memory.buffer.byteLength }];
  }

  allocate(byteLength: number): Region {
    const at = this.take(byteLength);
    new Uint8Array(this.memory.buffer, at, byteLength).fill(0);
    return region(this, at, byteLength);
  }

  /** Address of `byteLength` free bytes, not zeroed. Throws OUT_OF_MEMORY. */
  take(byteLength: number): number {
    const size = aligned(Math.max(byteLength, 1));
    let index = this.#gaps.findIndex(({ start, end }) => end - start >= size);
    if (index < 0) {
      this.#grow(size);
      index = this.#gaps.length - 1;
    }
    const gap = this.#gaps[index];
    const at = gap.start;
    gap.start += size;
    if (gap.start === gap.end) this.#gaps.splice(index, 1);
    return at;
  }

  /** Gives back what `take(byteLength)` returned. */
  give(at: number, byteLength: number): void {
    const end = at + aligned(Math.max(byteLength, 1));
    let index = this.#gaps.findIndex((gap) => gap.start >= end);
    if (index < 0) index = this.#gaps.length;
    const [before, after] = [this.#gaps[index - 1], this.#gaps[index]];
    const joinsBefore = before?.end === at;
    const joinsAfter = after?.start === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#gaps.splice(index, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.start = at;
    else this.#gaps.splice(index, 0, { start: at, end });
  }

  #grow(size: number): void {
    const end = this.memory.buffer.byteLength;
    const last = this.#gaps.at(-1);
    const tail = last?.end === end ? last : undefined;
    const missing = size - (tail ? tail.end - tail.start : 0);
    const room = PAGE_LIMIT - end / PAGE;
    const needed = Math.ceil(missing / PAGE);
    try {
      if (needed > room) throw new RangeError('4 GiB is the limit');
      this.memory.grow(Math.min(Math.max(needed, GROWTH / PAGE), room));
    } catch (cause) {
      throw new SigmaQuantError(
        'OUT_OF_MEMORY',
        `Expected ${size} bytes of WASM memory but they are not to be had.`,
        { cause },
      );
    }
    this.epoch++;
    if (tail) tail.end = this.memory.buffer.byteLength;
    else this.#gaps.push({ start: end, end: this.memory.buffer.byteLength });
  }
}

/** Views are made anew on every call, so they are of the memory as it is now. */
function region(arena: WasmArena, at: number, byteLength: number): Region {
  const { memory } = arena;
  let released = false;
  return {
    byteLength,
    bytes: (offset = 0, length = byteLength - offset) => new Uint8Array(memory.buffer, at + offset, length),
    int8: (offset = 0, length = byteLength - offset) => new Int8Array(memory.buffer, at + offset, length),
    int32: (offset = 0, length = (byteLength - offset) >> 2) =>
      new Int32Array(memory.buffer, at + offset, length),
    float32: (offset = 0, length = (byteLength - offset) >> 2) =>
      new Float32Array(memory.buffer, at + offset, length),
    release() {
      if (!released) arena.give(at, byteLength);
      released = true;
    },
  };
}

export type View = Int8Array | Uint8Array | Int32Array | Float32Array | Float64Array;

/** What the stage keeps between calls: enough for the scratch of ordinary layers, so that calls do not grow memory. */
const STAGE_BYTES = 4 * 1024 * 1024;
/** A larger stage is given back after the call. */
const STAGE_KEEP = 64 * 1024 * 1024;
/** No verb has more arrays than this. */
const SLOTS = 6;

/**
 * Where arrays that do not lie in WASM memory are copied to for the length of one call, beside the call's scratch.
 * Addresses of arrays in place are taken before anything may grow, since growing detaches them.
 */
export class Stage {
  readonly #arena: WasmArena;
  #start: number;
  #capacity = STAGE_BYTES;
  readonly #outside: boolean[] = new Array(SLOTS).fill(false);
  /** Addresses of the arrays of the running call, 0 for null. */
  readonly at: number[] = new Array(SLOTS).fill(0);
  scratch = 0;

  constructor(arena: WasmArena) {
    this.#arena = arena;
    this.#start = arena.take(STAGE_BYTES);
  }

  /** Places the arrays; those from `firstOutput` on are not copied in unless `update` is set. */
  open(views: readonly (View | null)[], firstOutput: number, scratchBytes = 0, update = false): void {
    const { at } = this;
    const inside = this.#arena.memory.buffer;
    let needed = aligned(scratchBytes);
    for (let i = 0; i < views.length; i++) {
      const view = views[i];
      this.#outside[i] = view !== null && view.buffer !== inside;
      at[i] = view === null ? 0 : view.byteOffset;
      if (this.#outside[i]) needed += aligned(view!.byteLength);
    }
    if (needed > this.#capacity) this.#resize(needed);
    this.scratch = this.#start;
    let next = this.#start + aligned(scratchBytes);
    for (let i = 0; i < views.length; i++) {
      if (!this.#outside[i]) continue;
      const view = views[i]!;
      at[i] = next;
      if (i < firstOutput || update) bytesAt(this.#arena, next, view.byteLength).set(bytesOf(view));
      next += aligned(view.byteLength);
    }
  }

  /** Copies outputs back to where they came from and lets a large stage go. */
  close(views: readonly (View | null)[], firstOutput: number): void {
    for (let i = firstOutput; i < views.length; i++) {
      if (!this.#outside[i]) continue;
      const view = views[i]!;
      bytesOf(view).set(bytesAt(this.#arena, this.at[i], view.byteLength));
    }
    if (this.#capacity > STAGE_KEEP) this.#resize(STAGE_BYTES);
  }

  #resize(capacity: number): void {
    this.#arena.give(this.#start, this.#capacity);
    try {
      this.#start = this.#arena.take(capacity);
      this.#capacity = capacity;
    } catch (error) {
      // What was just given back is there again, so the next call finds a stage.
      this.#start = this.#arena.take(this.#capacity);
      throw error;
    }
  }
}

const bytesAt = (arena: WasmArena, at: number, length: number) =>
  new Uint8Array(arena.memory.buffer, at, length);
const bytesOf = (view: View) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
