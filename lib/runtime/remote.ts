import { type ErrorCode, SigmaQuantError } from '../errors.ts';
import type { Tensor, TensorData } from '../graph/graph.ts';
import type { KernelsOptions } from '../kernels/kernels.ts';
import type { Remote } from './host.ts';

/** To the worker. */
export type Request =
  | { kind: 'load'; bytes: Uint8Array; options: KernelsOptions }
  | { kind: 'run'; feeds: ReadonlyMap<string, Tensor>; fetches: readonly string[] };

/** From the worker: answers in the order of the requests. */
export type Answer =
  | { kind: 'done'; tensors: ReadonlyMap<string, Tensor> }
  | { kind: 'failed'; code: ErrorCode; message: string };

interface Waiting {
  resolve(tensors: ReadonlyMap<string, Tensor>): void;
  reject(reason: Error): void;
}

/** The memory of tensors that are given away. */
export function buffersOf(tensors: ReadonlyMap<string, Tensor>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { data } of tensors.values())
    if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) buffers.add(data.buffer);
  return [...buffers];
}

const copied = (tensors: ReadonlyMap<string, Tensor>) =>
  new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() } as Tensor]));

/** A session in a worker, for backends that compute on the calling thread. */
export class RemoteSession {
  readonly #started: Promise<Remote>;
  readonly #waiting: Waiting[] = [];
  #remote: Remote | null = null;
  #ended: Error | null = null;

  constructor(spawn: () => Promise<Remote>, bytes: Uint8Array, options: KernelsOptions) {
    this.#started = spawn().then((remote) => {
      this.#remote = remote;
      remote.listen(
        (answer) => this.#settle(answer as Answer),
        (reason) => this.#end(reason),
      );
      if (this.#ended) remote.end();
      return remote;
    });
    this.#started.catch((reason) => this.#end(reason));
    void this.#ask({ kind: 'load', bytes, options }, []).catch(() => {});
  }

  get alive(): boolean {
    return this.#ended === null;
  }

  /** Copies the feeds before it returns. */
  async run(
    feeds: ReadonlyMap<string, Tensor>,
    fetches: readonly string[],
    into: ReadonlyMap<string, Tensor> | undefined,
  ): Promise<ReadonlyMap<string, Tensor>> {
    const own = copied(feeds);
    const tensors = await this.#ask({ kind: 'run', feeds: own, fetches }, buffersOf(own));
    return new Map([...tensors].map(([name, tensor]) => [name, filled(name, tensor, into?.get(name))]));
  }

  /** To be called when no run is under way. */
  end(): void {
    this.#end(new SigmaQuantError('INVALID_ARGUMENT', 'Expected a session that is not disposed.'));
    this.#remote?.end();
  }

  async #ask(request: Request, transfer: readonly ArrayBuffer[]): Promise<ReadonlyMap<string, Tensor>> {
    const answered = new Promise<ReadonlyMap<string, Tensor>>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    answered.catch(() => {});
    const remote = await this.#started;
    if (this.#ended) throw this.#ended;
    remote.hold(true);
    remote.post(request, transfer);
    return answered;
  }

  #settle(answer: Answer): void {
    const next = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#remote?.hold(false);
    if (answer.kind === 'done') next?.resolve(answer.tensors);
    else next?.reject(new SigmaQuantError(answer.code, answer.message));
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }
}

/** The result, in the caller's array where there is one. */
function filled(name: string, tensor: Tensor, target: Tensor | undefined): Tensor {
  if (!target) return tensor;
  const { length } = tensor.data;
  if (target.data.length !== length)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected room for ${length} elements of ${tensor.dtype} for ${name} but received ${target.data.length} of ${target.dtype}.`,
    );
  (target.data as Float32Array).set(tensor.data as Float32Array);
  return { ...tensor, data: target.data as TensorData };
}
