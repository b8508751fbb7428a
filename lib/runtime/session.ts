import { compile, type Executor } from '../engine/index.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import type { Graph, Port, Tensor, TensorData } from '../graph/graph.ts';
import { checked } from '../kernels/checked.ts';
import type { BackendName, Isa, Kernels, KernelsOptions } from '../kernels/kernels.ts';
import { type PackedModel, readSqnt } from '../sqnt/index.ts';
import { abortable } from './abortable.ts';
import type { Host } from './host.ts';
import { type LayerProfile, profileOf } from './profile.ts';
import { RemoteSession } from './remote.ts';
import { checkElements, type Inputs, inputTensors } from './tensors.ts';
import { readOptions, unpackedModel } from './unpack.ts';

export interface SessionOptions extends KernelsOptions {
  /** Rejects loading with its reason. */
  signal?: AbortSignal;
}

/** What a run returns, and into which arrays. */
export interface RunOptions {
  /** Which outputs are wanted; all of them by default. */
  outputs?: readonly string[];
  /** Output name -> array that is filled and returned; others are made anew. */
  into?: Readonly<Record<string, TensorData>>;
}

/** The same of a run on another thread. */
export interface AsyncRunOptions extends RunOptions {
  /** Rejects with its reason at once; work that has begun ends by itself and is dropped. */
  signal?: AbortSignal;
}

/** Output name -> tensor. */
export type Outputs = Record<string, Tensor>;

/**
 * A quantized network that runs: integers from end to end, the same bits on every backend.
 *
 * `run` computes elsewhere (a thread of Node's, or a worker where the backend is WASM) and takes turns with other runs
 * of the session; `runSync` computes here and now. Sessions are independent of one another.
 */
export class Session {
  readonly name: string;
  /** A dimension with a name is open: the batch. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** What samples went through before they were fed to the network that this was made from. */
  readonly preprocessing: PackedModel['preprocessing'];
  readonly provenance: PackedModel['provenance'];
  readonly backend: BackendName;
  readonly isa: Isa;
  readonly threads: number;
  /** Names of nodes that run in float. */
  readonly floatNodes: readonly string[];
  readonly #host: Host;
  readonly #kernels: Kernels;
  readonly #executor: Executor;
  readonly #graph: Graph;
  readonly #bytes: Uint8Array;
  #remote: RemoteSession | null = null;
  /** Asynchronous runs whose work has not ended. */
  #underWay = 0;
  #disposed = false;

  /** Use `Session.load`. */
  constructor(host: Host, kernels: Kernels, bytes: Uint8Array) {
    const packed = readSqnt(bytes, readOptions(host, kernels));
    const { graph, quantization } = unpackedModel(packed);
    this.#host = host;
    this.#kernels = kernels;
    this.#graph = graph;
    this.#bytes = bytes;
    this.#executor = compile(graph, kernels, { quantization });
    this.name = packed.name;
    this.inputs = graph.inputs;
    this.outputs = graph.outputs;
    this.preprocessing = packed.preprocessing;
    this.provenance = packed.provenance;
    this.backend = kernels.backend;
    this.isa = kernels.isa;
    this.threads = kernels.threads;
    this.floatNodes = this.#executor.floatNodes;
  }

  /**
   * Runs the network on this thread. Inputs are read where they are. Throws INVALID_ARGUMENT and DATA_MISMATCH for
   * inputs that do not fit, BUSY while an asynchronous run of this session is under way.
   */
  runSync(inputs: Inputs, options: RunOptions = {}): Outputs {
    const { feeds, fetches, into } = this.#prepared(inputs, options);
    this.#checkIdle();
    return Object.fromEntries(this.#executor.run(feeds, fetches, into));
  }

  /**
   * Runs the network elsewhere; the event loop goes on meanwhile. Inputs are copied before this returns, so the
   * caller may use their arrays again at once; arrays of `into` belong to the run until the promise settles.
   * Rejects as `runSync` throws, but several runs take turns.
   */
  async run(inputs: Inputs, options: AsyncRunOptions = {}): Promise<Outputs> {
    const { signal } = options;
    signal?.throwIfAborted();
    const { feeds, fetches, into } = this.#prepared(inputs, options);
    this.#underWay++;
    const made = this.#runElsewhere(feeds, fetches, into, signal);
    const ended = () => {
      this.#underWay--;
      if (this.#disposed) this.#release();
    };
    made.then(ended, ended);
    return Object.fromEntries(await abortable(made, signal));
  }

  /**
   * What each layer takes: medians over `runs` runs on this thread. Layers whose work is part of another's (fused
   * activations) do not appear.
   */
  profile(inputs: Inputs, runs = 10): LayerProfile[] {
    if (!(Number.isInteger(runs) && runs >= 1)) refuse('a whole number above 0', 'runs', runs);
    const { feeds, fetches } = this.#prepared(inputs, {});
    this.#checkIdle();
    const once = () => this.#executor.profile(feeds, fetches, () => this.#host.now());
    return profileOf(this.#graph, Array.from({ length: runs }, once));
  }

  /** Bytes of the arena that a batch needs for its intermediate values, and what they would take without reuse. */
  memory(batch = 1): { planned: number; withoutReuse: number } {
    this.#checkAlive();
    return this.#executor.memory(batch);
  }

  /** Frees memory and threads. Runs that are under way end first; later ones are refused. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
  }

  #release(): void {
    if (this.#underWay > 0) return;
    this.#remote?.end();
    this.#executor.dispose();
    this.#kernels.dispose();
  }

  /** As `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkAlive(): void {
    if (this.#disposed) refuse('a session that is not disposed', 'session', `${this.name}, which is`);
  }

  #checkIdle(): void {
    if (this.#underWay > 0)
      throw new SigmaQuantError('BUSY', 'Expected no asynchronous run under way but one is: await it first.');
  }

  #prepared(inputs: Inputs, { outputs, into }: RunOptions) {
    this.#checkAlive();
    const feeds = inputTensors(this.inputs, inputs);
    const fetches = outputs ?? this.outputs.map(({ name }) => name);
    const portOf = (name: string, of: string) =>
      this.outputs.find((port) => port.name === name) ??
      refuse(`an output (${this.outputs.map((port) => JSON.stringify(port.name)).join(', ')})`, of, name);
    for (const name of fetches) portOf(name, 'outputs');
    const targets = Object.entries(into ?? {}).map(([name, data]): [string, Tensor] => {
      const port = portOf(name, 'into');
      if (!fetches.includes(name)) refuse('an output that is wanted', 'into', name);
      checkElements(port, data, `into ${name}`);
      return [name, { dtype: port.dtype, shape: [], data }];
    });
    return { feeds, fetches, into: targets.length > 0 ? new Map(targets) : undefined };
  }

  async #runElsewhere(
    feeds: ReadonlyMap<string, Tensor>,
    fetches: readonly string[],
    into: ReadonlyMap<string, Tensor> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ReadonlyMap<string, Tensor>> {
    if (this.#kernels.record)
      return this.#executor.runLater(feeds, fetches, { ...(into && { into }), ...(signal && { signal }) });
    // A worker that was killed is replaced by the next run.
    if (!this.#remote?.alive)
      this.#remote = new RemoteSession(() => this.#host.spawn(), this.#bytes, {
        backend: this.backend,
        threads: this.threads,
      });
    return this.#remote.run(feeds, fetches, into);
  }
}

/** `Session.load` for a host. */
export async function loadSession(
  host: Host,
  source: string | URL | Uint8Array | ArrayBuffer,
  options: SessionOptions = {},
): Promise<Session> {
  const { signal, ...kernelsOptions } = options;
  signal?.throwIfAborted();
  const bytes = await bytesOf(host, source);
  signal?.throwIfAborted();
  // A file may describe what no kernel should see.
  const kernels = checked(await host.createKernels(kernelsOptions));
  try {
    signal?.throwIfAborted();
    return new Session(host, kernels, bytes);
  } catch (error) {
    kernels.dispose();
    throw error;
  }
}

/** The file's bytes; those of the caller are copied, since a session reads them again later. */
async function bytesOf(host: Host, source: string | URL | Uint8Array | ArrayBuffer): Promise<Uint8Array> {
  if (typeof source === 'string' || source instanceof URL) return host.read(source);
  if (source instanceof ArrayBuffer) return new Uint8Array(source.slice(0));
  if (source instanceof Uint8Array) return new Uint8Array(source);
  return refuse('a path, a URL or the bytes of a .sqnt file', 'the model', source);
}
