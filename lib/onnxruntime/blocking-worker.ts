import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { SigmaQuantError } from '../errors.ts';
import type { Answer, Greeting, Request, WorkerSetup } from './protocol.ts';

/** The worker beside this module. No worker inherits what loads the sources: beside them the built one serves. */
const BUILT = import.meta.url.endsWith('.ts') ? '../../dist/onnxruntime/worker.js' : './worker.js';
const WORKER = new URL(BUILT, import.meta.url);
/** Milliseconds after which a worker that does not answer is given up: a batch takes seconds at most. */
const PATIENCE = 600_000;

/**
 * A worker that is asked and waited for, so that what is asynchronous there is synchronous here. The event loop of
 * the caller stands still meanwhile.
 */
export class BlockingWorker {
  readonly #flag = new Int32Array(new SharedArrayBuffer(4));
  readonly #port: MessagePort;
  readonly #worker: Worker;
  #ended: string | null = null;

  /**
   * `path`: main module of onnxruntime-node. Rejects with BACKEND_UNAVAILABLE where it cannot be loaded: only a worker
   * that has begun can tell when it ends.
   */
  static async start(path: string): Promise<BlockingWorker> {
    const started = new BlockingWorker(path);
    const greeting = await new Promise<Greeting>((resolve) => {
      const failed = (message: string) => resolve({ kind: 'failed', message });
      started.#worker.once('message', resolve);
      started.#worker.once('error', ({ message }) => failed(message));
      started.#worker.once('exit', (code) => failed(`exit code ${code}`));
    });
    if (greeting.kind === 'ready') {
      started.#worker.unref();
      return started;
    }
    started.dispose();
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected onnxruntime-node at ${path} to load but it failed (${greeting.message}): install it again.`,
    );
  }

  private constructor(path: string) {
    const { port1, port2 } = new MessageChannel();
    const workerData: WorkerSetup = { path, flag: this.#flag, port: port2 };
    this.#port = port1;
    // Without the flags of this process: what they load is not for the worker.
    this.#worker = new Worker(WORKER, { workerData, transferList: [port2], execArgv: [] });
    this.#worker.on('error', ({ message }) => (this.#ended ??= message));
    this.#worker.on('exit', (code) => (this.#ended ??= `exit code ${code}`));
    this.#port.unref();
  }

  /** Throws BACKEND_UNAVAILABLE where the worker has ended or ends meanwhile. */
  call(request: Request): Exclude<Answer, { kind: 'ended' }> {
    if (this.#ended !== null) this.#fail(this.#ended);
    Atomics.store(this.#flag, 0, 0);
    this.#worker.postMessage(request);
    if (Atomics.wait(this.#flag, 0, 0, PATIENCE) === 'timed-out')
      this.#fail(`no answer within ${PATIENCE / 1000} s`);
    const answer = receiveMessageOnPort(this.#port)?.message as Answer | undefined;
    if (answer?.kind === 'done' || answer?.kind === 'failed') return answer;
    return this.#fail(answer ? `exit code ${answer.code}` : 'no answer');
  }

  #fail(why: string): never {
    this.#ended = why;
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected the worker of onnxruntime to answer but it ended (${why}); try again, with fewer --threads where memory is short.`,
    );
  }

  dispose(): void {
    this.#ended ??= 'disposed';
    this.#port.close();
    void this.#worker.terminate();
  }
}
