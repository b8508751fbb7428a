/**
 * A run in a process of its own, as the main process sees it. `fork` starts the process: Electron's
 * `utilityProcess.fork`, or whatever has its `postMessage`, `on('message')`, `on('exit')` and `kill`.
 */

/** Milliseconds after which a process that was asked to stop is stopped. */
const PATIENCE = 1000;

/** `{ ended, cancel }`: `ended` resolves to the summary, to null after `cancel`, and rejects with what went wrong. */
export function startJob(fork, options, { onProgress }) {
  const child = fork();
  let cancelled = false;
  const ended = new Promise((resolve, reject) => {
    const failed = (code, message) => reject(Object.assign(new Error(message), { code }));
    child.on('message', (message) => {
      if (message.kind === 'progress') return onProgress(message);
      if (message.kind === 'done') resolve(message.summary);
      else if (message.kind === 'cancelled') resolve(null);
      else failed(message.code, message.message);
      child.kill();
    });
    // After an answer this changes nothing any more.
    child.on('exit', (code) => {
      if (cancelled) resolve(null);
      else failed('INTERNAL', `Expected the process to answer but it ended (exit code ${code}).`);
    });
  });
  child.postMessage({ kind: 'quantize', options });
  return {
    ended,
    cancel() {
      cancelled = true;
      child.postMessage({ kind: 'cancel' });
      const timer = setTimeout(() => child.kill(), PATIENCE);
      child.on('exit', () => clearTimeout(timer));
    },
  };
}
