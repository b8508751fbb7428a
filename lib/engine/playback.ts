import type { Kernels, LaterOptions, Region } from '../kernels/kernels.ts';
import { nextTask } from '../kernels/later.ts';
import { align } from './memory-plan.ts';
import type { PlanPort, Step } from './plan.ts';
import { byteLength, type Slot } from './storage.ts';

/** Some steps of a placed plan that run as one. */
export interface Piece {
  run(): void;
  /** Off the calling thread where the backend can. */
  later(options: LaterOptions): Promise<void>;
}

/**
 * The steps as pieces: neighbours that can be recorded as one tape, all others by themselves. `reads` are slots whose
 * arrays are others each time, so that what reads them cannot be recorded.
 */
export function piecesOf(kernels: Kernels, steps: readonly Step[], reads: ReadonlySet<Slot>): Piece[] {
  const pieces: Piece[] = [];
  let recorded: Step[] = [];
  const flush = () => {
    if (recorded.length > 0) pieces.push(tapeOf(kernels, recorded));
    recorded = [];
  };
  for (const step of steps) {
    if (kernels.record && step.onlyCalls && !step.uses.some((slot) => reads.has(slot))) recorded.push(step);
    else {
      flush();
      pieces.push(singly(step));
    }
  }
  flush();
  return pieces;
}

function tapeOf(kernels: Kernels, steps: readonly Step[]): Piece {
  const tape = kernels.record!(() => {
    for (const step of steps) step.run();
  });
  return { run: () => tape.play(), later: (options) => tape.later(options) };
}

function singly(step: Step): Piece {
  return {
    run: step.run,
    later: async ({ signal }) => {
      await nextTask();
      signal?.throwIfAborted();
      step.run();
    },
  };
}

/** Room for what is fed to a plan, where nobody else can change it or take it away while it is read. */
export class Staging {
  readonly #region: Region;
  readonly #slots: readonly Slot[];
  readonly #offsets: number[] = [];

  constructor(kernels: Kernels, feeds: readonly PlanPort[]) {
    this.#slots = feeds.flatMap(({ stored }) => (stored.dtype === 'tensor' ? [] : [stored]));
    let bytes = 0;
    for (const slot of this.#slots) {
      this.#offsets.push(bytes);
      bytes += align(byteLength(slot));
    }
    this.#region = kernels.arena.allocate(bytes);
  }

  /** Copies what the slots were lent and lets them read the copies. */
  take(): void {
    const given = this.#slots.map(({ data }) => data as Float32Array);
    this.lend();
    this.#slots.forEach(({ data }, i) => void (data as Float32Array).set(given[i]));
  }

  /** Lets the slots read the copies, where those are now. */
  lend(): void {
    this.#slots.forEach((slot, i) => {
      if (slot.dtype === 'float32') slot.data = this.#region.float32(this.#offsets[i], slot.length);
      else slot.data = this.#region.bytes(this.#offsets[i], slot.length);
    });
  }

  release(): void {
    this.#region.release();
  }
}
