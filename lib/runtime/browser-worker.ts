import { createBrowserKernels } from './browser-host.ts';
import { serve } from './serve.ts';

/** What is used here of a worker's scope, of which the compiler has no types. */
interface Scope {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  onmessage: (event: { data: unknown }) => void;
}

const scope = globalThis as unknown as Scope;

const take = serve({ createKernels: createBrowserKernels }, (message, transfer) =>
  scope.postMessage(message, transfer),
);
scope.onmessage = ({ data }) => take(data);
