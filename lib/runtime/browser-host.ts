import { SigmaQuantError } from '../errors.ts';
import type { Kernels, KernelsOptions } from '../kernels/kernels.ts';
import { createReference } from '../kernels/reference.ts';
import { createWasm } from '../kernels/wasm.ts';
import { fetched } from './fetched.ts';
import type { Host, Remote } from './host.ts';

/** What is used here of browsers, of which the compiler has no types. */
interface WebWorker {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  terminate(): void;
  onmessage: (event: { data: unknown }) => void;
  onerror: (event: { message?: string }) => void;
}
declare const Worker: new (url: URL, options: { type: 'module' }) => WebWorker;

/** WASM, or the reference where that is asked for. Throws BACKEND_UNAVAILABLE. */
export async function createBrowserKernels(options: KernelsOptions): Promise<Kernels> {
  const { backend = 'wasm' } = options;
  if (backend === 'reference') return createReference();
  if (backend === 'wasm') return createWasm(options);
  throw new SigmaQuantError(
    'BACKEND_UNAVAILABLE',
    `Expected wasm or reference for backend in a browser but received ${backend}.`,
  );
}

function remote(worker: WebWorker): Remote {
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    listen(onMessage, onEnd) {
      worker.onmessage = ({ data }) => onMessage(data);
      worker.onerror = ({ message }) => {
        worker.terminate();
        const why = message ?? 'no reason given';
        onEnd(
          new SigmaQuantError(
            'INTERNAL',
            `Expected the worker of an asynchronous run to answer but it ended (${why}).`,
          ),
        );
      };
    },
    hold() {}, // a page ends when it is closed
    end: () => worker.terminate(),
  };
}

export const browserHost: Host = {
  read: fetched,
  createKernels: createBrowserKernels,
  now: () => performance.now(),
  spawn: async () => remote(new Worker(new URL('./browser-worker.js', import.meta.url), { type: 'module' })),
};
