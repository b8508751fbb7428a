import { SigmaQuantError } from '../errors.ts';
import type { Tensor } from '../graph/graph.ts';
import { BlockingWorker } from './blocking-worker.ts';
import { findInstallation, type Installation } from './installation.ts';

/** A model that onnxruntime has loaded. */
export interface Session {
  /** Waits for the results. Throws INTERNAL with onnxruntime's reason, BACKEND_UNAVAILABLE where it died. */
  run(feeds: ReadonlyMap<string, Tensor>, fetches: readonly string[]): ReadonlyMap<string, Tensor>;
  release(): void;
}

/** The user's onnxruntime in a worker of its own. */
export class Onnxruntime {
  readonly version: string;
  readonly #worker: BlockingWorker;
  #sessions = 0;

  private constructor(version: string, worker: BlockingWorker) {
    this.version = version;
    this.#worker = worker;
  }

  /** Rejects with BACKEND_UNAVAILABLE as findInstallation does, and where the installation cannot be loaded. */
  static async start(installation?: Installation): Promise<Onnxruntime> {
    const { version, path } = installation ?? findInstallation();
    return new Onnxruntime(version, await BlockingWorker.start(path));
  }

  /**
   * Throws UNSUPPORTED_OPERATOR with onnxruntime's reason where it does not take the model, BACKEND_UNAVAILABLE where it
   * dies.
   */
  session(model: Uint8Array, threads: number): Session {
    const id = this.#sessions++;
    const created = this.#worker.call({ kind: 'create', id, model, threads });
    if (created.kind === 'failed')
      throw new SigmaQuantError(
        'UNSUPPORTED_OPERATOR',
        `Expected a model that onnxruntime ${this.version} can load but it refused: ${reason(created.message)}.`,
      );
    return {
      run: (feeds, fetches) => {
        const done = this.#worker.call({ kind: 'run', id, feeds, fetches });
        if (done.kind === 'done') return done.tensors;
        throw new SigmaQuantError(
          'INTERNAL',
          `Expected onnxruntime ${this.version} to run the model but it failed: ${reason(done.message)}.`,
        );
      },
      release: () => void this.#worker.call({ kind: 'release', id }),
    };
  }

  dispose(): void {
    this.#worker.dispose();
  }
}

/** One line without a full stop, which the sentence around it has. */
function reason(message: string): string {
  return message.trim().replace(/\s+/g, ' ').replace(/\.$/, '');
}
