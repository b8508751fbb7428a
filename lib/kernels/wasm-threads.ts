import type { WasmArena } from './wasm-memory.ts';
import type { WasmModule } from './wasm-module.ts';

/**
 * Threads of the WASM backend: workers that are instances of the same module over the same memory. A call is written
 * down once and every thread does its share of it, the calling one too; which share, the module decides by the number
 * of the thread, and no result depends on it. The caller spins while it waits: shares are alike, and the main thread
 * of a browser may do nothing else. Elsewhere it sleeps after a while, as idle workers do.
 */

/** Words of the control block. */
const CALL = 0;
const DONE = 1;
const READY = 2;
const VERB = 3;
const COUNT = 4;
const FAILED = 5;
const WORDS = 8;
/** The verbs that workers know, by number. Beyond them is the end. */
const VERBS = ['conv', 'floatConv', 'gradientRuns', 'peak', 'readWords', 'copyWords'] as const;
const MAX_PARAMETERS = 24;
/** Loads of a word before a thread goes to sleep, some 20 microseconds: what a call that follows at once may take. */
const SPINS = 20_000;
/** Multiply-adds below which waking the others takes longer than it saves. */
const WORTH_SHARING = 1 << 20;

export type SharedVerb = (typeof VERBS)[number];

/**
 * What a worker runs, as text: it then needs no file of its own that bundlers would have to find. Reads the numbers
 * above from its first message.
 */
const WORKER = `
const run = ({ compiled, memory, control, own, thread, threads, verbs, spins, at }) => {
  const wasm = new WebAssembly.Instance(compiled, { env: { memory } }).exports;
  wasm.useOwn(own);
  const words = new Int32Array(memory.buffer, control, at.words);
  const parameters = new Float64Array(memory.buffer, control + 4 * at.words, at.parameters);
  let seen = Atomics.load(words, at.call);
  Atomics.add(words, at.ready, 1);
  for (;;) {
    for (let i = 0; i < spins && Atomics.load(words, at.call) === seen; i++);
    while (Atomics.load(words, at.call) === seen) Atomics.wait(words, at.call, seen);
    seen = Atomics.load(words, at.call);
    const verb = verbs[words[at.verb]];
    if (verb === undefined) break;
    try {
      wasm[verb](...parameters.subarray(0, words[at.count]), thread, threads);
    } catch {
      Atomics.store(words, at.failed, 1);
    }
    if (Atomics.add(words, at.done, 1) === threads - 2) Atomics.notify(words, at.done);
  }
};
const threads = globalThis.process?.getBuiltinModule?.('worker_threads');
if (threads) run(threads.workerData);
else onmessage = ({ data }) => run(data);
`;

interface Started {
  end(): void;
}

/** Starts one worker; `failed` is called when it cannot run or ends. */
type Spawn = (data: object, failed: () => void) => Started;

interface BrowserWorker {
  postMessage(data: object): void;
  terminate(): void;
  onerror: () => void;
}

/** How workers are started here, or null where memory cannot be shared with them. */
async function spawner(): Promise<Spawn | null> {
  if (typeof SharedArrayBuffer === 'undefined') return null;
  if (globalThis.process?.versions?.node) {
    const { Worker } = await import('node:worker_threads');
    return (data, failed) => {
      const worker = new Worker(WORKER, { eval: true, workerData: data, execArgv: [] });
      worker.unref();
      worker.once('error', failed).once('exit', failed);
      return { end: () => void worker.terminate() };
    };
  }
  const { crossOriginIsolated, Worker } = globalThis as unknown as {
    crossOriginIsolated?: boolean;
    Worker?: new (url: string) => BrowserWorker;
  };
  if (!crossOriginIsolated || !Worker) return null;
  return (data, failed) => {
    const worker = new Worker(URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' })));
    worker.onerror = failed;
    worker.postMessage(data);
    return { end: () => worker.terminate() };
  };
}

/** Whether modules over shared memory can be used by several threads here. */
export async function canShare(): Promise<boolean> {
  return (await spawner()) !== null;
}

export class Team {
  readonly #module: WasmModule;
  readonly #spawn: Spawn;
  readonly #wanted: number;
  readonly #control: number;
  readonly #areas: number;
  readonly #words: Int32Array;
  readonly #parameters: Float64Array;
  #workers: Started[] | null = null;
  #ended = false;
  #maySleep = true;

  private constructor(module: WasmModule, spawn: Spawn, arena: WasmArena, threads: number) {
    this.#module = module;
    this.#spawn = spawn;
    this.#wanted = threads;
    this.#control = arena.take(4 * WORDS + 8 * MAX_PARAMETERS);
    // Shared memory keeps its place when it grows, so these views last.
    this.#words = new Int32Array(module.memory.buffer, this.#control, WORDS).fill(0);
    this.#parameters = new Float64Array(module.memory.buffer, this.#control + 4 * WORDS, MAX_PARAMETERS);
    this.#areas = arena.take(threads * module.verbs.ownSize());
    module.verbs.useOwn(this.#areas);
  }

  /** A team of `threads` over a module with shared memory; no worker is started yet. Null where none can be. */
  static async create(module: WasmModule, arena: WasmArena, threads: number): Promise<Team | null> {
    const spawn = await spawner();
    return spawn && new Team(module, spawn, arena, threads);
  }

  /** Threads that calls may use: one after a worker could not be started or has ended. */
  get threads(): number {
    return this.#ended ? 1 : this.#wanted;
  }

  /** How many calls were shared. */
  get calls(): number {
    return Atomics.load(this.#words, CALL);
  }

  /** Threads for a call of so much work. The first large one starts the workers and does not wait for them. */
  threadsFor(multiplyAdds: number): number {
    if (this.#ended || multiplyAdds < WORTH_SHARING) return 1;
    if (!this.#workers) this.#start();
    return Atomics.load(this.#words, READY) === this.#wanted - 1 ? this.#wanted : 1;
  }

  /** One call by all threads: the verb with these parameters, its thread and the number of threads. */
  run(verb: SharedVerb, parameters: readonly number[]): void {
    const words = this.#words;
    this.#parameters.set(parameters);
    words[VERB] = VERBS.indexOf(verb);
    words[COUNT] = parameters.length;
    Atomics.store(words, DONE, 0);
    Atomics.add(words, CALL, 1);
    Atomics.notify(words, CALL);
    this.#module.verbs[verb](...parameters, 0, this.#wanted);
    this.#wait();
    // Only a mistake in the module can do this.
    if (Atomics.load(words, FAILED)) throw new Error(`${verb} failed in a worker.`);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#words[VERB] = VERBS.length;
    Atomics.add(this.#words, CALL, 1);
    Atomics.notify(this.#words, CALL);
    for (const worker of this.#workers ?? []) worker.end();
  }

  #start(): void {
    const failed = () => this.end();
    const at = {
      words: WORDS,
      parameters: MAX_PARAMETERS,
      call: CALL,
      done: DONE,
      ready: READY,
      verb: VERB,
      count: COUNT,
      failed: FAILED,
    };
    this.#workers = [];
    const { compiled, memory, verbs } = this.#module;
    const shared = {
      compiled,
      memory,
      control: this.#control,
      threads: this.#wanted,
      verbs: VERBS,
      spins: SPINS,
      at,
    };
    try {
      for (let thread = 1; thread < this.#wanted; thread++)
        this.#workers.push(
          this.#spawn({ ...shared, thread, own: this.#areas + thread * verbs.ownSize() }, failed),
        );
    } catch {
      failed();
    }
  }

  #wait(): void {
    const words = this.#words;
    const all = this.#wanted - 1;
    for (let spins = 0; ; spins++) {
      const done = Atomics.load(words, DONE);
      if (done === all) return;
      if (spins < SPINS || !this.#maySleep) continue;
      try {
        Atomics.wait(words, DONE, done);
      } catch {
        this.#maySleep = false;
      }
    }
  }
}
