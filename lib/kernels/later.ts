import type { Later, LaterOptions, Verbs } from './kernels.ts';

export type Call = (...values: unknown[]) => unknown;

/** Whether a last argument is LaterOptions; shapes are plain objects too, but have neither of these. */
export function isOptions(value: unknown): value is LaterOptions {
  return typeof value === 'object' && value !== null && ('signal' in value || 'onStart' in value);
}

/** Every verb of `verbs`, which may be a whole backend, made into another function. */
export function each(verbs: Verbs, make: (name: keyof Verbs, verb: Call) => Call): Record<keyof Verbs, Call> {
  const made = Object.entries(verbs)
    .filter(([name, verb]) => typeof verb === 'function' && name !== 'dispose')
    .map(([name, verb]) => [name, make(name as keyof Verbs, verb as Call)]);
  return Object.fromEntries(made) as Record<keyof Verbs, Call>;
}

/**
 * The verbs one after another: each begins when the one before has settled and `before`, if given, has resolved.
 * A verb that returns a promise is waited for.
 */
export function queued(verbs: Verbs, before?: () => Promise<void>): Later {
  let last: Promise<void> = Promise.resolve();
  return each(verbs, (_, verb) => (...values) => {
    const { signal, onStart } = isOptions(values.at(-1)) ? (values.pop() as LaterOptions) : {};
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal?.reason);
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      last = last.then(async () => {
        try {
          if (!signal?.aborted) await before?.();
          signal?.throwIfAborted();
          signal?.removeEventListener('abort', abort);
          onStart?.();
          resolve(await verb(...values));
        } catch (error) {
          reject(error);
        }
      });
    });
  }) as unknown as Later;
}

/** Resolves after other tasks of the event loop had their turn. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
    } else {
      const { port1, port2 } = new MessageChannel();
      port1.addEventListener('message', () => {
        port1.close();
        resolve();
      });
      port1.start();
      port2.postMessage(null);
    }
  });
}

/** `later` of a backend that computes on the calling thread: other tasks have their turn before each call. */
export function sliced(verbs: Verbs): Later {
  return queued(verbs, nextTask);
}
